"""What every inbox promises; each test is one promise of pushgate.inbox.base.

New backend: a row in BACKENDS, one in `new_inbox` of the conftest, and for what can die one in `server`.
What only a server elsewhere can be held to is in test_inbox_faults, the comparison with the model in test_inbox_model.
"""

import asyncio
import itertools
import random
from collections.abc import Callable, Sequence

import pytest

from pushgate.api.drive import Drive
from pushgate.errors import InboxUnavailable
from pushgate.inbox import (
    EVERYONE,
    Appended,
    Cursor,
    Device,
    Draft,
    Entry,
    Inbox,
    Limits,
    Outcome,
    Refused,
    Unknown,
)
from pushgate.messages.shard import shard_of
from tests.fakes.follower import FREE, TENANT, following

InboxMaker = Callable[..., Inbox]


def draft(uid: str, number: object, **more: object) -> Draft:
    """Return an entry whose id and payload say a number."""
    fields: dict[str, object] = {"id": f"id {number}", "payload": f"{number}".encode(), "ttl": 3600} | more
    return Draft(uid, **fields)  # type: ignore[arg-type]


async def append(inbox: Inbox, *drafts: Draft) -> list[int]:
    """Append entries that are not there yet; returns their offsets."""
    outcomes = await inbox.append(TENANT, drafts)
    assert all(isinstance(outcome, Appended) and not outcome.duplicate for outcome in outcomes), outcomes
    return [outcome.offset for outcome in outcomes if isinstance(outcome, Appended)]


def codes(outcomes: Sequence[Outcome]) -> list[str]:
    """Return each outcome as a word."""
    return [
        outcome.code
        if isinstance(outcome, Refused)
        else "unknown"
        if isinstance(outcome, Unknown)
        else "duplicate"
        if outcome.duplicate
        else "appended"
        for outcome in outcomes
    ]


async def read(inbox: Inbox, uid: str, after: int = 0, limit: int = 1000) -> list[bytes]:
    return [entry.payload for entry in await inbox.read(TENANT, uid, after, limit)]


async def gone(inbox: Inbox, uid: str) -> None:
    """Wait until a log is empty."""
    async with asyncio.timeout(10):
        while await read(inbox, uid):
            await asyncio.sleep(0.02)  # what is waited for has no event of its own


async def test_what_is_appended_is_followed_and_read_with_its_offset(new_inbox: InboxMaker) -> None:
    inbox = new_inbox()
    async with following(inbox) as follower:
        assert inbox.connected
        first, second = await append(inbox, draft("alice", 1), draft("alice", 2))
        assert 0 < first < second < 2**53
        await follower.has(2)
        entries = [Entry(TENANT, "alice", first, b"1"), Entry(TENANT, "alice", second, b"2")]
        assert follower.entries == entries
        assert await inbox.read(TENANT, "alice", 0, 10) == entries
        assert await inbox.read(TENANT, "alice", first, 10) == entries[1:]
        assert await inbox.read(TENANT, "alice", second, 10) == []
        assert await inbox.read(TENANT, "bob", 0, 10) == []


async def test_offsets_grow_through_all_logs_of_a_tenant(new_inbox: InboxMaker) -> None:
    inbox = new_inbox()
    async with following(inbox) as follower:
        offsets = []
        for number in range(50):
            offsets += await append(inbox, draft(["alice", "bob", EVERYONE][number % 3], number))
        offsets += await append(inbox, *(draft(f"user {number}", "x") for number in range(500)))
        assert offsets == sorted(set(offsets))
        await follower.has(550)
        assert [entry.offset for entry in follower.entries] == offsets
        assert await inbox.newest(TENANT) >= offsets[-1]


async def test_payloads_and_uids_stay_what_they_are(new_inbox: InboxMaker) -> None:
    payloads = [b"", b"\r\n", b"PING\r\n", b"NATS/1.0\r\nNats-TTL: 1\r\n\r\n", bytes(range(256)), b"\xff" * 2**20]
    uids = [
        "a b",
        "*",
        ">",
        "a.b",
        "A",
        "a",
        "$JS",
        "ü",
        "é",
        "e\u0301",
        "\u2603" * 255,
        "\U0001f388" * 255,
        "x" * 255,
        "u",
    ]
    inbox = new_inbox()
    async with following(inbox) as follower:
        await append(inbox, *(Draft("p", str(number), payload, 60) for number, payload in enumerate(payloads)))
        await append(inbox, *(draft(uid, number) for number, uid in enumerate(uids)))
        await follower.has(len(payloads) + len(uids))
        assert follower.payloads[: len(payloads)] == payloads
        assert await read(inbox, "p") == payloads
        assert [entry.uid for entry in follower.entries[len(payloads) :]] == uids
        for number, uid in enumerate(uids):
            assert await read(inbox, uid) == [b"%d" % number]


async def test_a_user_reads_his_log_and_everyones_in_one_order(new_inbox: InboxMaker) -> None:
    inbox = new_inbox()
    async with following(inbox):
        for number in range(60):
            await append(inbox, draft(["alice", EVERYONE, "bob"][number % 3], number))
        expected = [b"%d" % number for number in range(60) if number % 3 != 2]
        assert await read(inbox, "alice") == expected
        assert await read(inbox, EVERYONE) == expected[1::2]
        entries = await inbox.read(TENANT, "alice", 0, 1000)
        assert [entry.uid for entry in entries[:4]] == ["alice", EVERYONE, "alice", EVERYONE]


@pytest.mark.parametrize("limit", [1, 7, 64, 1000])
async def test_a_long_log_is_read_piece_by_piece(new_inbox: InboxMaker, limit: int) -> None:
    inbox = new_inbox()
    async with following(inbox):
        drafts = [draft("alice" if number % 4 else EVERYONE, number) for number in range(700)]
        drafts[100::100] = [draft("alice", number, collapse=f"key {number}") for number in range(100, 700, 100)]
        drafts += [draft("alice", 700, collapse="key 300"), draft("alice", 701)]
        await append(inbox, *drafts)
        collected: list[Entry] = []
        while True:
            entries = await inbox.read(TENANT, "alice", collected[-1].offset if collected else 0, limit)
            collected += entries
            if len(entries) < limit:
                break
        assert [int(entry.payload) for entry in collected] == [number for number in range(702) if number != 300]


async def test_reading_while_others_append_leaves_nothing_out(new_inbox: InboxMaker) -> None:
    """What is read piece by piece, and what had been followed before each piece was asked for, is never passed over."""

    async def push() -> None:
        for number in range(300):
            uid = dice.choice(["alice", EVERYONE])
            key = dice.choice([None, None, f"key {number}"])
            await append(inbox, draft(uid, number, collapse=key), draft("bob", number))
            await asyncio.sleep(0)  # with `memory` nothing else gives the reader a turn

    dice = random.Random(0)
    inbox = new_inbox()
    async with following(inbox) as follower:
        pushing = asyncio.create_task(push())
        collected: list[Entry] = []
        while not pushing.done() or len(collected) < 300:
            followed = [entry for entry in follower.entries if entry.uid != "bob"]
            entries = await inbox.read(TENANT, "alice", collected[-1].offset if collected else 0, dice.randint(1, 20))
            collected += entries
            if len(entries) == 0:
                assert collected[: len(followed)] == followed
            await asyncio.sleep(0)
        await pushing
        assert [int(entry.payload) for entry in collected] == list(range(300))
        await follower.has(600)
        assert collected == [entry for entry in follower.entries if entry.uid != "bob"]


async def test_an_id_is_appended_once_to_a_log(new_inbox: InboxMaker) -> None:
    inbox = new_inbox()
    async with following(inbox) as follower:
        (offset,) = await append(inbox, draft("alice", 1))
        again = Draft("alice", "id 1", b"another payload", 60)
        assert await inbox.append(TENANT, [again]) == [Appended(offset, duplicate=True)]
        outcomes = await inbox.append(TENANT, [draft("alice", 2), again, draft("bob", 1), draft("bob", 1)])
        assert codes(outcomes) == ["appended", "duplicate", "appended", "duplicate"]
        assert outcomes[1] == Appended(offset, duplicate=True)
        await append(inbox, draft(EVERYONE, 1), draft("alice", "end"))
        await follower.has(5)
        assert await read(inbox, "alice") == [b"1", b"2", b"1", b"end"]
        assert [entry.uid for entry in follower.entries] == ["alice", "alice", "bob", EVERYONE, "alice"]


async def test_the_same_id_from_many_callers_at_once_is_appended_once(new_inbox: InboxMaker) -> None:
    inbox = new_inbox()
    async with following(inbox):
        calls = (inbox.append(TENANT, [draft("alice", number % 3)]) for number in range(30))
        outcomes = [outcome for (outcome,) in await asyncio.gather(*calls)]
        assert sorted(codes(outcomes)) == ["appended"] * 3 + ["duplicate"] * 27
        assert len({outcome.offset for outcome in outcomes if isinstance(outcome, Appended)}) == 3
        assert sorted(await read(inbox, "alice")) == [b"0", b"1", b"2"]


async def test_ids_are_forgotten_after_the_window(new_inbox: InboxMaker) -> None:
    inbox = new_inbox(duplicate_window=1)
    async with following(inbox), asyncio.timeout(10):
        await append(inbox, draft("alice", 1))
        while codes(await inbox.append(TENANT, [draft("alice", 1)])) == ["duplicate"]:
            await asyncio.sleep(0.05)  # the window passes, and nothing says so
        assert await read(inbox, "alice") == [b"1", b"1"]


async def test_a_message_goes_when_its_time_is_over(new_inbox: InboxMaker) -> None:
    inbox = new_inbox()
    async with following(inbox):
        await append(inbox, draft("alice", 1, ttl=1), draft("alice", 2), draft("bob", 3, ttl=1))
        assert await read(inbox, "alice") == [b"1", b"2"]
        await gone(inbox, "bob")
        assert await read(inbox, "alice") == [b"2"]


async def test_of_a_collapse_key_only_the_newest_stays(new_inbox: InboxMaker) -> None:
    inbox = new_inbox()
    async with following(inbox) as follower:
        for number in range(3):
            await append(inbox, draft("alice", number, collapse="score"))
        await append(inbox, draft("alice", 3), draft("alice", 4, collapse="*"), draft("bob", 5, collapse="score"))
        await append(inbox, draft("alice", 6, collapse="score"), draft("alice", 7, collapse="score"))
        assert await read(inbox, "alice") == [b"3", b"4", b"7"]
        assert await read(inbox, "bob") == [b"5"]
        assert codes(await inbox.append(TENANT, [draft("alice", 0, collapse="score")])) == ["duplicate"]
        await append(inbox, draft(EVERYONE, 8, collapse="k" * 1000), draft(EVERYONE, 9, collapse="k" * 1000))
        assert await read(inbox, "alice") == [b"3", b"4", b"7", b"9"]
        await append(inbox, draft("alice", "end"))
        await follower_ends(follower.entries)
        assert {b"3", b"4", b"5", b"7", b"9"} <= set(follower.payloads), (
            "the others may be collapsed before they are read"
        )
        numbers = [entry.offset for entry in follower.entries]
        assert numbers == sorted(set(numbers))


async def follower_ends(entries: list[Entry]) -> None:
    async with asyncio.timeout(10):
        while not entries or entries[-1].payload != b"end":
            await asyncio.sleep(0.005)


async def test_more_collapse_keys_than_a_server_looks_at_together(new_inbox: InboxMaker) -> None:
    inbox = new_inbox()
    async with following(inbox):
        await append(inbox, *(draft("alice", number, collapse=f"key {number}") for number in range(1100)))
        await append(inbox, draft(EVERYONE, 1100), draft("alice", 1101), draft("alice", 1102, collapse="key 5"))
        expected = [b"%d" % number for number in range(1103) if number != 5]
        assert await read(inbox, "alice", limit=5000) == expected
        assert await read(inbox, "alice", limit=10) == expected[:10]


async def test_a_log_has_so_many_entries_and_no_more(new_inbox: InboxMaker) -> None:
    inbox = new_inbox()
    async with following(inbox, {TENANT: Limits(0, 3)}) as follower:
        outcomes = await inbox.append(TENANT, [draft("alice", number, ttl=1 + number) for number in range(5)])
        assert codes(outcomes) == ["appended"] * 3 + ["user_full"] * 2
        outcomes = await inbox.append(
            TENANT, [draft("bob", 5), draft("alice", 6), draft("alice", 7, collapse="a key"), draft("alice", 0)]
        )
        assert codes(outcomes) == ["appended", "user_full", "appended", "duplicate"]
        outcomes = await inbox.append(TENANT, [draft(EVERYONE, number) for number in range(8, 12)])
        assert codes(outcomes) == ["appended"] * 3 + ["user_full"]
        async with asyncio.timeout(10):  # the first one's time passes, and then there is room
            while codes(await inbox.append(TENANT, [draft("alice", 20)])) != ["appended"]:
                await asyncio.sleep(0.02)
        await follower.has(9)
        assert follower.payloads == [b"0", b"1", b"2", b"5", b"7", b"8", b"9", b"10", b"20"]


async def test_a_tenant_has_so_many_bytes_and_others_are_not_touched(new_inbox: InboxMaker) -> None:
    inbox = new_inbox()
    async with following(inbox, {TENANT: Limits(100_000, 0), "other": Limits(100_000, 0)}):
        big = [draft("alice", number, payload=bytes(30_000), ttl=1) for number in range(5)]
        outcomes = await inbox.append(TENANT, big)
        assert codes(outcomes) == ["appended"] * 3 + ["inbox_full"] * 2
        assert codes(await inbox.append(TENANT, [draft("bob", 1, payload=bytes(30_000))])) == ["inbox_full"]
        assert codes(await inbox.append("other", [draft("alice", 1, payload=bytes(30_000))])) == ["appended"]
        assert len(await read(inbox, "alice")) == 3
        usage = await inbox.usage(TENANT)
        assert usage.max_bytes == 100_000
        assert 90_000 < usage.bytes < 95_000
        await gone(inbox, "alice")
        async with asyncio.timeout(10):  # what no read brings any more may take its room for a moment
            while (await inbox.usage(TENANT)).bytes > 1000:
                await asyncio.sleep(0.02)
        await append(inbox, draft("bob", 1, payload=bytes(30_000)))


async def test_limits_change_when_a_tenant_is_opened_again(new_inbox: InboxMaker) -> None:
    inbox = new_inbox()
    async with following(inbox, {TENANT: Limits(0, 2)}):
        assert (await inbox.usage(TENANT)).max_bytes == 0
        assert codes(await inbox.append(TENANT, [draft("alice", number) for number in range(3)])) == [
            *["appended"] * 2,
            "user_full",
        ]
        await inbox.open({TENANT: Limits(0, 0)})
        await append(inbox, *(draft("alice", number) for number in range(3, 8)))
        await inbox.open({TENANT: Limits(10, 0)})
        assert codes(await inbox.append(TENANT, [draft("alice", 8)])) == ["inbox_full"]
        await inbox.open({TENANT: FREE})
        await append(inbox, draft("alice", 8))


async def test_a_lower_limit_removes_nothing(new_inbox: InboxMaker) -> None:
    inbox = new_inbox()
    async with following(inbox, {TENANT: Limits(0, 10)}):
        await append(inbox, *(draft("alice", number, ttl=1) for number in range(10)))
        await inbox.open({TENANT: Limits(0, 2)})
        assert len(await read(inbox, "alice")) == 10
        assert codes(await inbox.append(TENANT, [draft("alice", 10)])) == ["user_full"]
        await gone(inbox, "alice")
        async with asyncio.timeout(10):
            for round in itertools.count():  # it may have to wait for the server to see that they have expired
                await inbox.open({TENANT: Limits(0, 3)})
                outcomes = await inbox.append(
                    TENANT, [draft("alice", f"{round} {number}", ttl=1) for number in range(4)]
                )
                if codes(outcomes) == ["appended"] * 3 + ["user_full"]:
                    break
                await gone(inbox, "alice")


async def test_each_of_a_call_and_of_calls_at_once_has_its_own_outcome(new_inbox: InboxMaker) -> None:
    inbox = new_inbox()
    async with following(inbox, {TENANT: Limits(0, 40)}) as follower:
        await append(inbox, *(draft("full", number) for number in range(40)), draft("alice", 0))
        calls = (
            inbox.append(TENANT, [draft("alice", number), draft("full", f"x{number}"), draft("alice", 0)])
            for number in range(1, 21)
        )
        for outcomes in await asyncio.gather(*calls):
            assert codes(outcomes) == ["appended", "user_full", "duplicate"]
        await follower.has(61)
        assert follower.payloads[40:] == [b"%d" % number for number in range(21)]


async def test_many_callers_at_once_each_keep_their_order(new_inbox: InboxMaker) -> None:
    async def call(caller: int) -> None:
        for number in range(20):
            await append(inbox, draft("alice", f"{caller} {number} a"), draft("alice", f"{caller} {number} b"))

    inbox = new_inbox()
    async with following(inbox) as follower:
        await asyncio.gather(*map(call, range(50)))
        await follower.has(2000)
        by_caller: dict[bytes, list[bytes]] = {}
        for payload in follower.payloads:
            caller, _, rest = payload.partition(b" ")
            by_caller.setdefault(caller, []).append(rest)
        expected = [b"%d %b" % (number, half) for number in range(20) for half in (b"a", b"b")]
        assert len(by_caller) == 50
        assert all(payloads == expected for payloads in by_caller.values())


async def test_a_cancelled_caller_does_not_disturb_the_others(new_inbox: InboxMaker) -> None:
    inbox = new_inbox()
    async with following(inbox) as follower:
        calls = [asyncio.create_task(inbox.append(TENANT, [draft("alice", number)])) for number in range(10)]
        await asyncio.sleep(0)
        calls[3].cancel()
        results = await asyncio.gather(*calls, return_exceptions=True)
        others = [result for number, result in enumerate(results) if number != 3]
        assert all(isinstance(result, list) and codes(result) == ["appended"] for result in others)
        await append(inbox, draft("alice", "end"))
        await follower_ends(follower.entries)
        assert {b"%d" % number for number in range(10) if number != 3} <= set(follower.payloads)


async def test_an_append_can_be_stepped_without_a_task(new_inbox: InboxMaker) -> None:
    inbox = new_inbox()
    async with following(inbox):
        outcomes: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()

        def begin() -> None:  # runs outside of any task
            assert asyncio.current_task() is None
            coroutine = inbox.append(TENANT, [draft("alice", 1)])
            try:
                future = coroutine.send(None)
            except StopIteration as stop:
                outcomes.set_result(stop.value)
            else:
                Drive(coroutine, future, outcomes.set_result)

        asyncio.get_running_loop().call_soon(begin)
        assert codes(await outcomes) == ["appended"]


async def test_only_followed_shards_and_everyones_log_are_followed(new_inbox: InboxMaker) -> None:
    uids = [f"user {number}" for number in range(100)]
    shards = [shard for shard in range(256) if shard % 3 == 1]
    inbox = new_inbox()
    async with following(inbox, shards=shards) as follower:
        for uid in (*uids, EVERYONE):
            await append(inbox, draft(uid, uid), draft(uid, f"collapsed {uid}", collapse="key"))
        wanted = [uid for uid in uids if shard_of(TENANT, uid) in shards]
        await follower.has(2 * len(wanted) + 2)
        assert [entry.uid for entry in follower.entries] == [uid for uid in (*wanted, EVERYONE) for _ in range(2)]


async def test_tenants_are_apart_and_can_be_opened_later(new_inbox: InboxMaker) -> None:
    inbox = new_inbox()
    async with following(inbox, {"one": FREE}) as follower:
        assert codes(await inbox.append("two", [draft("alice", 1)])) == ["unknown"]
        with pytest.raises(InboxUnavailable):
            await inbox.read("two", "alice", 0, 1)
        with pytest.raises(InboxUnavailable):
            inbox.epoch("two")
        await inbox.open({"two": FREE})
        for tenant in ("one", "two"):
            assert codes(await inbox.append(tenant, [draft("alice", tenant), draft(EVERYONE, 1)])) == ["appended"] * 2
        await follower.has(4)
        assert {entry.tenant for entry in follower.entries} == {"one", "two"}
        assert [entry.payload for entry in await inbox.read("one", "alice", 0, 10)] == [b"one", b"1"]
        assert inbox.epoch("one") != inbox.epoch("two")


async def test_following_begins_with_what_is_appended_after_open(new_inbox: InboxMaker) -> None:
    inbox = new_inbox()
    async with following(inbox) as follower:
        await append(inbox, draft("alice", 1))
        await inbox.open({TENANT: FREE})  # a second time changes nothing
        await append(inbox, draft("alice", 2))
        await follower.has(2)
        assert follower.payloads == [b"1", b"2"]


async def test_an_inbox_that_does_not_run_refuses(new_inbox: InboxMaker) -> None:
    inbox = new_inbox()
    assert not inbox.connected
    assert codes(await inbox.append(TENANT, [draft("alice", 1)])) == ["unknown"]
    async with following(inbox):
        pass
    assert not inbox.connected
    assert codes(await inbox.append(TENANT, [draft("alice", 1)] * 2)) == ["unknown"] * 2
    with pytest.raises(InboxUnavailable):
        await inbox.read(TENANT, "alice", 0, 10)
    with pytest.raises(InboxUnavailable):
        await inbox.newest(TENANT)
    with pytest.raises(InboxUnavailable):
        await inbox.load_cursors([Device(TENANT, "alice", "phone")])
    with pytest.raises(InboxUnavailable):
        await inbox.find_cursors(TENANT, "alice")
    with pytest.raises(InboxUnavailable):
        await inbox.store_cursors({Device(TENANT, "alice", "phone"): (1, "e")})
    await inbox.stop()


async def test_a_lineage_is_part_of_every_epoch(new_inbox: InboxMaker) -> None:
    one, two = new_inbox(lineage="-one"), new_inbox(lineage="-two")
    async with following(one), following(two):
        assert one.epoch(TENANT).endswith("-one")
        assert two.epoch(TENANT).endswith("-two")


class TestCursors:
    async def test_they_are_loaded_as_they_were_stored(self, new_inbox: InboxMaker) -> None:
        phone, tablet = Device(TENANT, "alice", "phone"), Device(TENANT, "alice", "a.b:c_d-e")
        inbox = new_inbox()
        async with following(inbox):
            assert await inbox.load_cursors([phone, tablet]) == [None, None]
            assert await inbox.find_cursors(TENANT, "alice") == {}
            await inbox.store_cursors({phone: (5, "e1"), tablet: (2**53 - 1, "e2")})
            loaded = await inbox.load_cursors([tablet, Device("other", "alice", "phone"), phone, phone])
            assert [cursor and cursor[:2] for cursor in loaded] == [(2**53 - 1, "e2"), None, (5, "e1"), (5, "e1")]
            await inbox.store_cursors({phone: (7, "e1")})
            found = await inbox.find_cursors(TENANT, "alice")
            assert {device: cursor[:2] for device, cursor in found.items()} == {
                "phone": (7, "e1"),
                "a.b:c_d-e": (2**53 - 1, "e2"),
            }

    async def test_many_at_once(self, new_inbox: InboxMaker) -> None:
        devices = [Device(TENANT, f"user {number} " + "*" * (number % 300), "d") for number in range(2500)]
        inbox = new_inbox()
        async with following(inbox):
            await inbox.store_cursors({device: (number, "e") for number, device in enumerate(devices[:2400])})
            loaded = await inbox.load_cursors(devices)
            assert [cursor.offset if cursor else -1 for cursor in loaded] == [*range(2400), *[-1] * 100]

    async def test_more_devices_of_one_user_than_a_server_looks_at_together(self, new_inbox: InboxMaker) -> None:
        devices = {Device(TENANT, "alice", f"device-{number}"): (number, "e") for number in range(1100)}
        inbox = new_inbox()
        async with following(inbox):
            await inbox.store_cursors(devices)
            found = await inbox.find_cursors(TENANT, "alice")
            assert {name: cursor.offset for name, cursor in found.items()} == {
                device.device: offset for device, (offset, _) in devices.items()
            }

    async def test_of_two_that_are_stored_at_once_the_larger_stays_unless_the_epoch_differs(
        self, new_inbox: InboxMaker
    ) -> None:
        phone, tablet = Device(TENANT, "alice", "phone"), Device(TENANT, "alice", "tablet")
        inbox = new_inbox()
        async with following(inbox):
            await asyncio.gather(
                inbox.store_cursors({phone: (5, "e"), tablet: (5, "e")}),
                inbox.store_cursors({phone: (9, "e"), tablet: (9, "e")}),
                inbox.store_cursors({phone: (7, "e"), tablet: (1, "new")}),
            )
            loaded = await inbox.load_cursors([phone, tablet])
            assert [cursor and cursor[:2] for cursor in loaded] == [(9, "e"), (1, "new")]

    async def test_a_smaller_one_stored_later_changes_nothing_unless_the_epoch_differs(
        self, new_inbox: InboxMaker
    ) -> None:
        phone, tablet, watch = (Device(TENANT, "alice", name) for name in ("phone", "tablet", "watch"))
        inbox = new_inbox()
        async with following(inbox):
            await inbox.store_cursors({phone: (9, "e"), tablet: (9, "e")})
            await inbox.store_cursors({phone: (5, "e"), tablet: (1, "new"), watch: (2, "e")})
            loaded = await inbox.load_cursors([phone, tablet, watch])
            assert [cursor and cursor[:2] for cursor in loaded] == [(9, "e"), (1, "new"), (2, "e")]
            await inbox.store_cursors({phone: (10, "e"), tablet: (0, "new")})
            loaded = await inbox.load_cursors([phone, tablet])
            assert [cursor and cursor[:2] for cursor in loaded] == [(10, "e"), (1, "new")]

    async def test_what_one_process_stores_late_lowers_nothing_that_another_stored(
        self, two_inboxes: tuple[Inbox, Inbox]
    ) -> None:
        """A device that moves: the first process may have read its cursor, stored it, or never seen it."""
        first, second = two_inboxes
        seen, read, unseen, ahead = (Device(TENANT, "alice", name) for name in ("seen", "read", "unseen", "ahead"))
        async with following(first), following(second):
            await first.store_cursors({seen: (5, "e"), ahead: (5, "e")})
            await second.store_cursors({read: (5, "e")})
            await first.load_cursors([read])
            await second.store_cursors({seen: (9, "e"), read: (9, "e"), unseen: (9, "e"), ahead: (6, "e")})
            await first.store_cursors({seen: (7, "e"), read: (7, "e"), unseen: (7, "e"), ahead: (8, "e")})
            for inbox in two_inboxes:
                loaded = await inbox.load_cursors([seen, read, unseen, ahead])
                assert [cursor and cursor[:2] for cursor in loaded] == [(9, "e"), (9, "e"), (9, "e"), (8, "e")]
                found = await inbox.find_cursors(TENANT, "alice")
                assert {name: cursor.offset for name, cursor in found.items()} == {
                    "seen": 9,
                    "read": 9,
                    "unseen": 9,
                    "ahead": 8,
                }
            await second.store_cursors({ahead: (7, "e"), seen: (10, "e")})
            loaded = await first.load_cursors([seen, ahead])
            assert [cursor and cursor.offset for cursor in loaded] == [10, 8]

    async def test_a_late_one_among_many_holds_none_of_the_others_back(self, two_inboxes: tuple[Inbox, Inbox]) -> None:
        first, second = two_inboxes
        devices = [Device(TENANT, f"user {number}", "d") for number in range(300)]
        async with following(first), following(second):
            await first.store_cursors(dict.fromkeys(devices, (1, "e")))
            await second.store_cursors(dict.fromkeys(devices[::50], (9, "e")))
            await first.store_cursors(dict.fromkeys(devices, (5, "e")))
            loaded = await second.load_cursors(devices)
            assert [cursor and cursor.offset for cursor in loaded] == [5 if number % 50 else 9 for number in range(300)]

    async def test_however_many_store_at_once_no_cursor_ever_falls(self, two_inboxes: tuple[Inbox, Inbox]) -> None:
        async def store(inbox: Inbox) -> None:
            for _ in range(8):
                some = dice.sample(devices, 20)
                given.append({device: dice.randint(1, 1000) for device in some})
                await inbox.store_cursors({device: (offset, "e") for device, offset in given[-1].items()})

        async def look(inbox: Inbox) -> None:
            low = [0] * len(devices)
            while not storing.done():
                loaded = await inbox.load_cursors(devices)
                now = [cursor.offset if cursor else 0 for cursor in loaded]
                assert all(before <= after for before, after in zip(low, now, strict=True))
                low = now
                await asyncio.sleep(0)  # with `memory` nothing else gives the others a turn

        dice = random.Random(0)
        given: list[dict[Device, int]] = []
        devices = [Device(TENANT, "alice", f"device-{number}") for number in range(40)]
        first, second = two_inboxes
        async with following(first), following(second), asyncio.timeout(20):
            storing = asyncio.gather(*(store(inbox) for inbox in (first, first, second)))
            await asyncio.gather(storing, look(second))
            loaded = await first.load_cursors(devices)
            assert [cursor.offset if cursor else 0 for cursor in loaded] == [
                max((each.get(device, 0) for each in given), default=0) for device in devices
            ]

    async def test_they_are_forgotten_when_they_are_not_stored_for_long(self, new_inbox: InboxMaker) -> None:
        phone, tablet = Device(TENANT, "alice", "phone"), Device(TENANT, "alice", "tablet")
        inbox = new_inbox(cursor_ttl=2)
        async with following(inbox), asyncio.timeout(10):
            await inbox.store_cursors({phone: (5, "e")})
            while True:
                await inbox.store_cursors({tablet: (5, "e")})
                old, kept = await inbox.load_cursors([phone, tablet])
                assert isinstance(kept, Cursor)
                if old is None:
                    break
                await asyncio.sleep(0.1)  # time passes
            await inbox.store_cursors({phone: (3, "e")})
            (again,) = await inbox.load_cursors([phone])
            assert again is not None
            assert again.offset == 3, "what is forgotten keeps nothing down"
