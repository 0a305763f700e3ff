"""A stretch read at once must give what reading one by one gives. With the real server."""

import asyncio
import random

import pytest

from pushgate.errors import InboxUnavailable
from pushgate.inbox import EVERYONE, Appended, Draft, Entry, Options, create_inbox, nats_stretch
from pushgate.inbox.nats import NatsInbox
from pushgate.inbox.nats_consumer import Consumer
from pushgate.inbox.nats_stretch import Stretch
from pushgate.messages.shard import shard_of
from pushgate.metrics.rows import Rows
from tests.fakes.follower import TENANT, following
from tests.fakes.nats import RealNats

UIDS = [f"user {number}" for number in range(50)]


def make(server: RealNats) -> NatsInbox:
    inbox = create_inbox(server.url, "p", Rows(1).row(0), Options())
    assert isinstance(inbox, NatsInbox)
    return inbox


def stretch_of(inbox: NatsInbox) -> Stretch:
    return inbox._logs[TENANT].reader.stretch


async def fill(inbox: NatsInbox, count: int, *, size: int = 0) -> dict[str, list[Entry]]:
    """Append entries to logs at random; returns what each user has to read."""
    dice = random.Random(count)
    logs: dict[str, list[Entry]] = {uid: [] for uid in UIDS}
    drafts = [
        Draft(
            dice.choice([*UIDS, EVERYONE]),
            str(number),
            b"%d" % number + bytes(size),
            3600,
            f"{number}" * (number % 5 == 0) or None,
        )
        for number in range(count)
    ]
    for draft, outcome in zip(drafts, await inbox.append(TENANT, drafts), strict=True):
        assert isinstance(outcome, Appended)
        for uid in UIDS if draft.uid == EVERYONE else [draft.uid]:
            logs[uid].append(Entry(TENANT, draft.uid, outcome.offset, draft.payload))
    return logs


async def check(inbox: NatsInbox, logs: dict[str, list[Entry]], uids: list[str] = UIDS) -> None:
    dice = random.Random(1)
    for uid in uids:
        log = logs[uid]
        for after in (0, *(entry.offset for entry in dice.sample(log, min(3, len(log))))):
            limit = dice.choice([1, 7, 1000])
            expected = [entry for entry in log if entry.offset > after][:limit]
            assert await inbox.read(TENANT, uid, after, limit) == expected


async def test_it_gives_what_reading_one_by_one_gives(server: RealNats, monkeypatch: pytest.MonkeyPatch) -> None:
    inbox = make(server)
    async with following(inbox) as follower:
        logs = await fill(inbox, 1000)
        await follower.has(1000)
        stretch = stretch_of(inbox)
        with monkeypatch.context() as patch:
            patch.setattr(nats_stretch, "LEAST", 10**9)
            await check(inbox, logs)
        assert stretch._end == 0, "nobody has spent enough yet"
        stretch._spent = 1_000_000
        await check(inbox, logs)
        assert 0 <= stretch._start < stretch._end
        assert stretch._logs
        (outcome,) = await inbox.append(TENANT, [Draft(UIDS[0], "later", b"later", 60)])
        assert isinstance(outcome, Appended)
        logs[UIDS[0]].append(Entry(TENANT, UIDS[0], outcome.offset, b"later"))
        await check(inbox, logs)
        stretch.drop(stretch._until)
        assert not stretch._logs
        await check(inbox, logs)


async def test_many_readers_bring_it_about_by_themselves_and_ask_no_more(
    server: RealNats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_stretch, "LEAST", 100)
    inbox = make(server)
    async with following(inbox) as follower:
        logs = await fill(inbox, 300)
        await follower.has(300)
        for _ in range(3):
            reads = await asyncio.gather(*(inbox.read(TENANT, uid, 0, 1000) for uid in UIDS))
            assert reads == [logs[uid] for uid in UIDS]
        stretch = stretch_of(inbox)
        assert stretch._end > 300
        spent = stretch._spent
        await inbox.read(TENANT, UIDS[1], 0, 1000)
        assert stretch._spent <= spent + nats_stretch.ASKING


async def test_it_ends_too_when_the_entry_that_was_followed_last_is_gone(server: RealNats) -> None:
    inbox = make(server)
    async with following(inbox) as follower:
        logs = await fill(inbox, 300)
        await follower.has(300)
        last = follower.entries[-1]
        link = await inbox._main.ready()
        await link.ask(f"$JS.API.STREAM.MSG.DELETE.p+inbox+{TENANT}", b'{"seq":%d}' % last.offset)
        logs = {uid: [entry for entry in log if entry != last] for uid, log in logs.items()}
        stretch = stretch_of(inbox)
        stretch._spent = 1_000_000
        assert await inbox.read(TENANT, UIDS[0], 0, 1000) == logs[UIDS[0]]
        assert stretch._end == last.offset
        (outcome,) = await inbox.append(TENANT, [Draft(UIDS[0], "later", b"later", 60)])
        assert isinstance(outcome, Appended)
        logs[UIDS[0]].append(Entry(TENANT, UIDS[0], outcome.offset, b"later"))
        await check(inbox, logs)
        assert stretch._end == last.offset


async def test_what_has_expired_since_is_not_returned(server: RealNats) -> None:
    inbox = make(server)
    async with following(inbox) as follower, asyncio.timeout(10):
        await inbox.append(
            TENANT, [Draft("alice", str(number), b"%d" % number, 1 + 59 * (number % 2)) for number in range(20)]
        )
        await follower.has(20)
        stretch = stretch_of(inbox)
        stretch._spent = 1_000_000
        assert len(await inbox.read(TENANT, "alice", 0, 20)) == 20
        while len(entries := await inbox.read(TENANT, "alice", 0, 5)) != 5 or entries[0].payload == b"0":
            await asyncio.sleep(0.02)  # time passes
        assert stretch._is_good
        assert [entry.payload for entry in entries] == [b"1", b"3", b"5", b"7", b"9"]


async def test_logs_of_other_workers_are_not_taken_for_empty(server: RealNats) -> None:
    shards = range(0, 256, 2)
    inbox, all_of_it = make(server), make(server)
    async with following(inbox, shards=shards), following(all_of_it) as follower:
        logs = await fill(inbox, 500)
        await follower.has(500)
        stretch_of(inbox)._spent = 1_000_000
        await check(inbox, logs)
        assert stretch_of(inbox)._end > 0
        held = {uid for uid in UIDS if stretch_of(inbox)._logs.get(inbox._logs[TENANT].subjects.log(uid))}
        assert held == {uid for uid in UIDS if shard_of(TENANT, uid) in shards}


async def test_it_ends_where_it_has_become_too_large(server: RealNats, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nats_stretch, "MOST_BYTES", 100_000)
    inbox = make(server)
    async with following(inbox) as follower:
        logs = await fill(inbox, 300, size=1000)
        await follower.has(300)
        stretch_of(inbox)._spent = 1_000_000
        await check(inbox, logs)
        stretch = stretch_of(inbox)
        assert 0 < stretch._end < 200
        assert sum(map(len, stretch._logs.values())) < 120


async def test_a_reader_who_is_further_behind_gets_a_longer_one(server: RealNats) -> None:
    inbox = make(server)
    async with following(inbox) as follower:
        logs = await fill(inbox, 3000)
        await follower.has(3000)
        stretch = stretch_of(inbox)
        stretch._spent = 1_500
        assert await inbox.read(TENANT, UIDS[0], 2500, 1000) == [e for e in logs[UIDS[0]] if e.offset > 2500]
        assert 1000 < stretch._start < 2500
        stretch._spent = 1_000_000
        assert await inbox.read(TENANT, UIDS[0], 0, 1000) == logs[UIDS[0]]
        assert stretch._start == 0


@pytest.mark.parametrize("fault", ["refused", "a hole", "silence", "connection lost"])
async def test_when_it_cannot_be_read_each_asks_for_himself(
    server: RealNats, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(nats_stretch, "PATIENCE", 0.3)
    inbox = make(server)
    opened = []

    async def open_badly(consumer: Consumer, after: int) -> None:
        opened.append(after)
        if fault == "refused":
            raise InboxUnavailable("refused")
        if fault == "a hole":
            consumer._on_hole()
        elif fault == "connection lost":
            consumer._link.drop("by the test")

    async with following(inbox) as follower:
        logs = await fill(inbox, 300)
        await follower.has(300)
        stretch_of(inbox)._spent = 1_000_000
        monkeypatch.setattr(Consumer, "open", open_badly)
        if fault == "connection lost":
            with pytest.raises(InboxUnavailable):
                await asyncio.wait_for(inbox.read(TENANT, UIDS[0], 0, 10), 2)
            await inbox._reads.ready()
        await asyncio.wait_for(check(inbox, logs), 5)
        assert len(opened) == 1


async def test_what_was_read_in_another_epoch_is_not_used(server: RealNats) -> None:
    inbox = make(server)
    async with following(inbox) as follower:
        await fill(inbox, 300)
        await follower.has(300)
        stretch = stretch_of(inbox)
        stretch._spent = 1_000_000
        assert await inbox.read(TENANT, UIDS[0], 0, 10)
        assert stretch._end > 0
        link = await inbox._main.ready()
        await link.ask(f"$JS.API.STREAM.DELETE.p+inbox+{TENANT}", b"")
        await inbox._logs[TENANT].stream.ensure(link)
        assert await inbox.read(TENANT, UIDS[0], 0, 10) == []
