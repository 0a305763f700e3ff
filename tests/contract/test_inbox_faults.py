"""What an inbox that lives elsewhere promises when something dies: the server, a connection, a consumer, a stream."""

import asyncio
import json
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from pushgate.errors import InboxUnavailable
from pushgate.inbox import (
    EVERYONE,
    Appended,
    Device,
    Draft,
    Inbox,
    Limits,
    Options,
    Outcome,
    Unknown,
    create_inbox,
    nats_append,
    nats_follow,
    redis_write,
)
from pushgate.inbox.nats import NatsInbox
from pushgate.inbox.nats_consumer import Consumer
from pushgate.inbox.nats_stream import log_stream
from pushgate.metrics.catalogue import INBOX_APPENDS, INBOX_GAPS
from pushgate.metrics.rows import Rows
from pushgate.nats import replies
from tests.contract.conftest import Server
from tests.fakes.follower import FREE, TENANT, Follower, following
from tests.fakes.nats import PlainNats, RealNats
from tests.fakes.subscriber import until

slow = pytest.mark.asyncio(loop_factories=["uvloop"])
"""On the loop of workers alone, for the time that it takes."""


def make(server: RealNats, prefix: str = "pushgate") -> NatsInbox:
    inbox = create_inbox(server.url, prefix, Rows(1).row(0), Options())
    assert isinstance(inbox, NatsInbox)
    return inbox


def make_any(server: Server, prefix: str = "pushgate") -> Inbox:
    return create_inbox(server.url, prefix, Rows(1).row(0), Options())


async def ask(inbox: NatsInbox, call: str, body: object = None) -> None:
    """Ask JetStream behind the inbox's back."""
    link = await inbox._main.ready()
    (reply,) = await link.ask(f"$JS.API.{call}", json.dumps(body).encode() if body else b"")
    assert b'"error"' not in reply.payload


async def append(inbox: Inbox, *payloads: bytes, uid: str = "alice") -> list[Outcome]:
    return await inbox.append(
        TENANT, [Draft(uid, f"{len(payload)} {payload[:50]!r}", payload, 3600) for payload in payloads]
    )


async def append_all(inbox: Inbox, *payloads: bytes, uid: str = "alice") -> None:
    outcomes = await append(inbox, *payloads, uid=uid)
    assert all(isinstance(outcome, Appended) for outcome in outcomes), outcomes


async def read_all(inbox: Inbox, uid: str) -> list[bytes]:
    """Read a log as soon as the inbox is back."""
    async with asyncio.timeout(10):
        while True:
            try:
                return [entry.payload for entry in await inbox.read(TENANT, uid, 0, 1_000_000)]
            except InboxUnavailable:
                await asyncio.sleep(0.05)


class Load:
    """Callers that append to logs of their own, one after the other, until they are told to stop."""

    def __init__(self, inbox: Inbox, callers: int = 20) -> None:
        self.appended: dict[bytes, int] = {}
        self.unknown: set[bytes] = set()
        self._inbox = inbox
        self._stopped = False
        self._calls = [asyncio.create_task(self._call(caller)) for caller in range(callers)]

    async def _call(self, caller: int) -> None:
        number = 0
        while not self._stopped:
            number += 1
            payload = b"%d %d" % (caller, number)
            (outcome,) = await append(self._inbox, payload, uid=f"user {caller}")
            if isinstance(outcome, Appended):
                assert not outcome.duplicate
                self.appended[payload] = outcome.offset
            else:
                assert isinstance(outcome, Unknown)
                self.unknown.add(payload)
                await asyncio.sleep(0.1)

    async def has(self, more: int, seconds: float = 15.0) -> None:
        count = len(self.appended) + more
        await until(lambda: len(self.appended) >= count, seconds)

    async def stop(self) -> None:
        self._stopped = True
        await asyncio.gather(*self._calls)


async def check(inbox: Inbox, load: Load, follower: Follower, callers: int = 20) -> None:
    """Everything answered is there once, in order, and was followed once, in order."""
    await append_all(inbox, b"end", uid=EVERYONE)
    await until(lambda: follower.payloads[-1:] == [b"end"], 15)
    offsets = [entry.offset for entry in follower.entries]
    assert offsets == sorted(set(offsets))
    followed = dict(zip(follower.payloads, offsets, strict=True))
    assert len(followed) == len(offsets), "twice"
    assert {payload: followed.get(payload) for payload in load.appended} == load.appended
    assert set(followed) - set(load.appended) - {b"end"} <= load.unknown
    for caller in range(callers):
        log = await read_all(inbox, f"user {caller}")
        assert log == [payload for payload in follower.payloads if payload.startswith(b"%d " % caller)] + [b"end"]
    assert follower.epochs == []


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try an append for a second."""
    for module in (nats_append, redis_write):
        monkeypatch.setattr(module, "PATIENCE", 1.0)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Notice a lost consumer after 1.5 s."""
    monkeypatch.setattr(nats_follow, "SILENCE", 6)


@slow
async def test_killed_again_and_again_under_fire_nothing_is_lost_and_nothing_twice(inbox_server: Server) -> None:
    inbox = make_any(inbox_server)
    async with following(inbox) as follower:
        load = Load(inbox)
        for _ in range(3):
            await load.has(300)
            inbox_server.kill()
            inbox_server.start()
        await load.has(300)
        await load.stop()
        await check(inbox, load, follower)
        assert load.unknown == set(), "within the ten seconds of a call it was back"


@slow
@pytest.mark.usefixtures("impatient")
async def test_what_is_unknown_can_be_repeated(inbox_server: Server) -> None:
    inbox = make_any(inbox_server)
    async with following(inbox) as follower:
        load = Load(inbox)
        await load.has(300)
        inbox_server.freeze()  # what is on its way may be stored once it goes on
        await until(lambda: len(load.unknown) >= 20)
        inbox_server.thaw()
        await load.has(300)
        await load.stop()
        for payload in load.unknown:
            await append_all(inbox, payload, uid=f"user {payload.split()[0].decode()}")
        await check(inbox, load, follower)
        assert load.unknown <= set(follower.payloads)


@slow
async def test_a_server_that_stands_still_for_five_seconds_costs_nothing_but_time(inbox_server: Server) -> None:
    inbox = make_any(inbox_server)
    async with following(inbox) as follower:
        load = Load(inbox)
        await load.has(300)
        inbox_server.freeze()
        asyncio.get_running_loop().call_later(5, inbox_server.thaw)
        await until(lambda: not inbox.connected, 6)
        with pytest.raises(InboxUnavailable):
            await inbox.read(TENANT, "user 1", 0, 1)
        await load.has(300)
        await load.stop()
        await check(inbox, load, follower)
        assert load.unknown == set()


@slow
@pytest.mark.usefixtures("impatient")
async def test_while_the_server_is_away_an_append_is_tried_for_ten_seconds(inbox_server: Server) -> None:
    inbox = make_any(inbox_server)
    async with following(inbox):
        inbox_server.kill()
        began = time.monotonic()
        assert {type(outcome) for outcome in await append(inbox, b"1", b"2")} == {Unknown}
        assert 0.9 < time.monotonic() - began < 3
        for call in (
            inbox.read(TENANT, "alice", 0, 1),
            inbox.newest(TENANT),
            inbox.load_cursors([Device(TENANT, "alice", "d")]),
            inbox.find_cursors(TENANT, "alice"),
            inbox.store_cursors({Device(TENANT, "alice", "d"): (1, "e")}),
            inbox.open({TENANT: Limits(1000, 0)}),
        ):
            with pytest.raises(InboxUnavailable):
                await call


@slow
@pytest.mark.usefixtures("impatient")
async def test_more_than_can_wait_is_not_taken_on(inbox_server: Server) -> None:
    inbox = make_any(inbox_server)
    async with following(inbox):
        inbox_server.kill()
        first = asyncio.create_task(append(inbox, *(bytes(2**22 - number) for number in range(1000, 1016))))
        await asyncio.sleep(0)
        began = time.monotonic()
        assert await append(inbox, bytes(50_000)) == [Unknown("the inbox does not keep up")]
        assert time.monotonic() - began < 0.5
        assert not isinstance((await first)[0], Appended)
        inbox_server.start()
        await until(lambda: inbox.connected)
        await append_all(inbox, bytes(50_000))


async def test_a_cut_connection_is_no_gap(server: RealNats) -> None:
    inbox = make(server)
    async with following(inbox) as follower:
        load = Load(inbox)
        for connection in (inbox._main, inbox._main, inbox._reads, inbox._main):
            await load.has(200)
            (await connection.ready()).drop("cut by the test")
        await load.has(200)
        await load.stop()
        await check(inbox, load, follower)
        assert inbox._row[INBOX_GAPS] == 3


@pytest.mark.usefixtures("quick")
async def test_a_consumer_that_was_deleted_is_made_again_and_nothing_is_missed(server: RealNats) -> None:
    inbox = make(server)
    async with following(inbox) as follower:
        load = Load(inbox)
        await load.has(100)
        consumer = inbox._logs[TENANT].follower.consumer
        assert consumer is not None
        await ask(inbox, f"CONSUMER.DELETE.pushgate+inbox+{TENANT}.{consumer.name}")
        await load.has(100)
        await load.stop()
        await check(inbox, load, follower)
        assert inbox._row[INBOX_GAPS] == 1


@pytest.mark.parametrize("lost", [1, 7])
async def test_a_hole_shows_at_the_next_message_or_the_heartbeat_and_is_filled(server: RealNats, lost: int) -> None:
    inbox = make(server)
    async with following(inbox) as follower:
        await append_all(inbox, b"before")
        await follower.has(1)
        link = await inbox._main.ready()
        consumer = inbox._logs[TENANT].follower.consumer
        assert consumer is not None
        take = link._takers[consumer._sid]
        swallowed: list[tuple[bytes, ...]] = []

        def swallow(*message: bytes) -> None:
            if not message[2].startswith(b"NATS/1.0 100") and len(swallowed) < 3:
                swallowed.append(message)
            else:
                take(*message)

        link._takers[consumer._sid] = swallow
        payloads = [b"%d" % number for number in range(3 if lost == 1 else 10)]
        await append_all(inbox, *payloads)
        await follower.has(1 + len(payloads))
        assert follower.payloads == [b"before", *payloads]
        assert inbox._row[INBOX_GAPS] == 1


async def test_many_entries_with_a_slow_worker_all_arrive(server: RealNats, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flow control: the server must not cut a worker that is slow to take."""
    monkeypatch.setattr(nats_append, "PATIENCE", 60.0)  # 40 MB in one call, on a machine with much to do
    inbox, other = make(server), make(server)
    async with following(inbox) as follower, following(other):
        payloads = [b"%d" % number + bytes(2000) for number in range(20_000)]
        call = asyncio.create_task(append_all(other, *payloads))
        await follower.has(100)
        time.sleep(1.5)  # the fault itself
        await call
        await follower.has(len(payloads), 60)
        assert follower.payloads == payloads
        assert inbox._row[INBOX_GAPS] == 0


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("how", ["stream deleted", "directory wiped"])
async def test_a_stream_that_is_gone_begins_anew_with_another_epoch(server: RealNats, how: str) -> None:
    phone = Device(TENANT, "alice", "phone")
    inbox, other = make(server), make(server)
    async with following(inbox) as follower, following(other) as also:
        await append_all(inbox, *(b"old %d" % number for number in range(20)))
        await inbox.store_cursors({phone: (5, "e")})
        await follower.has(20)
        before = inbox.epoch(TENANT)
        assert other.epoch(TENANT) == before
        if how == "stream deleted":
            await ask(inbox, f"STREAM.DELETE.pushgate+inbox+{TENANT}")
            await ask(inbox, "STREAM.DELETE.pushgate+cursors")
        else:
            server.wipe()
            server.start()
        payloads = [b"new %d" % number for number in range(100)]
        for payload in payloads:
            await append_all(inbox, payload)
        for each in (follower, also):
            await until(lambda each=each: each.payloads[-1:] == payloads[-1:])  # type: ignore[misc]
            assert each.payloads[-100:] == payloads
            assert each.epochs == [TENANT]
            offsets = [entry.offset for entry in each.entries[-100:]]
            assert offsets == sorted(set(offsets))
        assert inbox.epoch(TENANT) == other.epoch(TENANT) != before
        assert await read_all(inbox, "alice") == payloads
        assert await inbox.load_cursors([phone]) == [None]
        await inbox.store_cursors({phone: (4, "e")})
        assert [cursor and cursor.offset for cursor in await other.load_cursors([phone])] == [4], "of 5 nothing is left"
        await inbox.store_cursors({phone: (6, inbox.epoch(TENANT))})


async def test_a_stream_that_is_made_anew_while_a_consumer_is_being_made_is_noticed(
    server: RealNats, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the consumer would wait for a sequence that the new stream reaches late, and miss what comes before."""
    inbox, other = make(server), make(server)
    make_consumer = Consumer.open
    waiting = [True]

    async def open_late(consumer: Consumer, after: int) -> None:
        if waiting:
            waiting.clear()
            await ask(inbox, f"STREAM.DELETE.pushgate+inbox+{TENANT}")
            await log_stream(inbox._logs[TENANT].subjects, FREE, Options()).ensure(await inbox._main.ready())
        await make_consumer(consumer, after)

    async with following(inbox) as follower, following(other, shards=[]):
        await append_all(inbox, *(b"old %d" % number for number in range(20)))
        await follower.has(20)
        monkeypatch.setattr(Consumer, "open", open_late)
        inbox._logs[TENANT].follower.restart()
        await until(lambda: follower.epochs == [TENANT])
        await append_all(inbox, b"new 1", b"new 2")
        await follower.has(22)
        assert follower.payloads[20:] == [b"new 1", b"new 2"]


async def test_a_server_that_has_lost_its_last_messages_has_another_epoch(server: RealNats) -> None:
    inbox = make(server)
    async with following(inbox) as follower:
        await append_all(inbox, *(b"%d" % number for number in range(20)))
        await follower.has(20)
        before = inbox.epoch(TENANT)
        stream = inbox._logs[TENANT].stream
        config = {**stream.wanted, "metadata": {"epoch": stream.epoch}}
        await ask(inbox, f"STREAM.DELETE.{stream.name}")
        await ask(inbox, f"STREAM.CREATE.{stream.name}", config)
        (await inbox._main.ready()).drop("the machine failed")
        await until(lambda: follower.epochs == [TENANT])
        assert inbox.epoch(TENANT) != before
        await append_all(inbox, b"after")
        await follower.has(21)
        assert follower.payloads[-1] == b"after"


async def test_a_purged_stream_is_read_and_written_on(server: RealNats) -> None:
    inbox = make(server)
    async with following(inbox) as follower:
        await append_all(inbox, b"old")
        await follower.has(1)  # what is purged before it went out goes to nobody
        await ask(inbox, f"STREAM.PURGE.pushgate+inbox+{TENANT}")
        assert await read_all(inbox, "alice") == []
        await append_all(inbox, b"new")
        assert await read_all(inbox, "alice") == [b"new"]
        await follower.has(2)
        assert follower.epochs == []


async def test_a_full_server_refuses_and_recovers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the tenant's limit, but all that the server has: a batch that crosses it is stored in part, unanswered."""
    monkeypatch.setattr(replies, "OVERDUE", 2)
    config = 'jetstream: {store_dir: ".", max_file_store: 4MB}'
    with closing(PlainNats(tmp_path, config)) as server:
        inbox = create_inbox(f"nats://127.0.0.1:{server.port}", "p", Rows(1).row(0), Options())
        async with following(inbox):
            drafts = [Draft("alice", str(number), bytes(2**19), 3) for number in range(20)]
            outcomes = await inbox.append(TENANT, drafts)
            kinds = Counter(getattr(outcome, "code", "appended") for outcome in outcomes)
            assert kinds.keys() == {"appended", "inbox_full"}
            assert 7 <= kinds["appended"] <= 10
            appended = [outcome for outcome in outcomes if isinstance(outcome, Appended)]
            assert len(await inbox.read(TENANT, "alice", 0, 100)) == len(appended)
            async with asyncio.timeout(10):
                while not isinstance((await append(inbox, b"room"))[0], Appended):
                    await asyncio.sleep(0.05)


async def test_what_is_larger_than_the_server_takes_is_refused_and_the_rest_is_not(inbox_server: Server) -> None:
    row = Rows(1).row(0)
    inbox = create_inbox(inbox_server.url, "p", row, Options())
    async with following(inbox):
        outcomes = await append(inbox, b"small", bytes(8 * 2**20), b"too")
        assert [getattr(outcome, "code", "appended") for outcome in outcomes] == ["appended", "too_large", "appended"]
        await append_all(inbox, bytes(8 * 2**20 - 1024))
        assert row[INBOX_APPENDS["too_large"]] == 1


async def test_each_of_several_workers_follows_its_shards_and_reads_what_others_were_answered(
    inbox_server: Server,
) -> None:
    inboxes = [make_any(inbox_server) for _ in range(3)]
    async with (
        following(inboxes[0], shards=range(0, 256, 2)) as even,
        following(inboxes[1], shards=range(1, 256, 2)) as odd,
        following(inboxes[2], shards=[]) as none,
    ):
        for number in range(300):
            await append_all(inboxes[number % 3], b"%d" % number, uid=f"user {number % 30}")
            log = await inboxes[(number + 1) % 3].read(TENANT, f"user {number % 30}", 0, 100)
            assert log[-1].payload == b"%d" % number
        await append_all(inboxes[0], b"end", uid=EVERYONE)
        await until(lambda: all(each.payloads[-1:] == [b"end"] for each in (even, odd, none)))
        assert none.payloads == [b"end"]
        assert sorted(even.payloads + odd.payloads, key=lambda text: (len(text), text))[:300] == sorted(
            (b"%d" % number for number in range(300)), key=lambda text: (len(text), text)
        )
        assert len(even.entries) + len(odd.entries) == 302
        assert len({inbox.epoch(TENANT) for inbox in inboxes}) == 1


async def test_prefixes_keep_two_gateways_on_one_server_apart(inbox_server: Server) -> None:
    ours, theirs = make_any(inbox_server, "ours"), make_any(inbox_server, "theirs")
    async with following(ours) as follower, following(theirs) as others:
        await append_all(theirs, b"not for us")
        await append_all(ours, b"for us")
        await follower.has(1)
        await others.has(1)
        assert follower.payloads == [b"for us"]
        assert await read_all(ours, "alice") == [b"for us"]
        await theirs.store_cursors({Device(TENANT, "alice", "d"): (1, "e")})
        assert await ours.find_cursors(TENANT, "alice") == {}


async def test_start_waits_for_a_server_and_open_says_why_it_does_not_hold(inbox_server: Server) -> None:
    inbox_server.kill()
    inbox = make_any(inbox_server)
    start = asyncio.create_task(inbox.start([], lambda entry: None, lambda tenant: None))
    done, _ = await asyncio.wait([start], timeout=0.5)
    assert not done
    inbox_server.start()
    await asyncio.wait_for(start, 3)
    await inbox.open({TENANT: FREE})
    await append_all(inbox, b"1")
    await inbox.stop()


async def test_stop_ends_a_start_that_waits_and_callers_that_wait(inbox_server: Server) -> None:
    inbox_server.kill()
    inbox = make_any(inbox_server)
    start = asyncio.create_task(inbox.start([], lambda entry: None, lambda tenant: None))
    await asyncio.sleep(0)
    await asyncio.wait_for(inbox.stop(), 2)
    with pytest.raises(InboxUnavailable):
        await start

    inbox_server.start()
    inbox = make_any(inbox_server)
    async with following(inbox):
        inbox_server.freeze()
        calls = [asyncio.create_task(append(inbox, b"%d" % number)) for number in range(10)]
        await asyncio.sleep(0)
        await asyncio.wait_for(inbox.stop(), 2)
        assert {type(outcome) for (outcome,) in await asyncio.gather(*calls)} == {Unknown}
    inbox_server.thaw()


async def test_a_server_without_jetstream_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pushgate.inbox.nats.PATIENCE", 0.5)
    with closing(PlainNats(tmp_path, "")) as server:
        inbox = create_inbox(f"nats://127.0.0.1:{server.port}", "p", Rows(1).row(0), Options())
        await inbox.start([], lambda entry: None, lambda tenant: None)
        with pytest.raises(InboxUnavailable, match=f"tenant {TENANT}.*JetStream"):
            await inbox.open({TENANT: FREE})
        await inbox.stop()
