"""Streams that go from one real server to another: as they are, once, and never over one that is in use."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from pushgate.errors import InboxUnavailable
from pushgate.inbox import Appended, Cursor, Device, Draft, Options, create_inbox, nats_move
from pushgate.inbox.base import Limits
from pushgate.inbox.nats_move import Move
from pushgate.inbox.nats_stream import call_api, log_stream
from pushgate.inbox.nats_subjects import Subjects
from pushgate.metrics.rows import Rows
from pushgate.nats.connection import Connection
from pushgate.nats.link import NatsLink
from tests.fakes.follower import TENANT, following
from tests.fakes.nats import RealNats

LOGS, CURSORS = f"p+inbox+{TENANT}", "p+cursors"
PHONE = Device(TENANT, "alice", "phone")


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[RealNats, RealNats]]:
    with closing(RealNats(tmp_path / "old")) as old, closing(RealNats(tmp_path / "new")) as new:
        yield old, new


@asynccontextmanager
async def linked(*servers: RealNats) -> AsyncIterator[list[NatsLink]]:
    connections = [Connection(server.url, "inbox") for server in servers]
    for connection in connections:
        connection.start()
    yield [await connection.ready() for connection in connections]
    for connection in connections:
        await connection.stop()


async def fill(server: RealNats, lineage: str = "") -> str:
    """Have a log of 300 entries, some large, and a cursor; returns the epoch."""
    inbox = create_inbox(server.url, "p", Rows(1).row(0), Options(lineage=lineage))
    async with following(inbox):
        drafts = [Draft("alice", str(number), b"%d" % number * (1 + number % 7 * 5000), 3600) for number in range(300)]
        assert all(isinstance(each, Appended) for each in await inbox.append(TENANT, drafts))
        epoch = inbox.epoch(TENANT)
        await inbox.store_cursors({PHONE: (9, epoch)})
    return epoch


async def test_offsets_ids_cursors_and_epochs_are_as_they_were(servers: tuple[RealNats, RealNats]) -> None:
    old, new = servers
    epoch = await fill(old, "abcd")
    async with linked(old, new) as (source, target):
        assert await Move(source, target, 1, "abcd").run() == []
        assert await Move(source, target, 1, "abcd").run() == [], "again, as after a death"
    before, after = (create_inbox(server.url, "p", Rows(1).row(0), Options()) for server in servers)
    async with following(before), following(after):
        assert after.epoch(TENANT) == epoch
        entries = await before.read(TENANT, "alice", 0, 1000)
        assert len(entries) == 300
        assert await after.read(TENANT, "alice", 0, 1000) == entries
        (cursor,) = await after.load_cursors([PHONE])
        assert isinstance(cursor, Cursor)
        assert (cursor.offset, cursor.epoch) == (9, epoch)
        (outcome,) = await after.append(TENANT, [Draft("alice", "new", b"", 60)])
        assert isinstance(outcome, Appended)
        assert outcome.offset > entries[-1].offset


async def test_one_that_was_made_meanwhile_and_is_empty_makes_way(servers: tuple[RealNats, RealNats]) -> None:
    old, new = servers
    epoch = await fill(old)
    inbox = create_inbox(new.url, "p", Rows(1).row(0), Options())
    async with following(inbox) as follower, linked(old, new) as (source, target):
        assert await Move(source, target, 1, "").run() == []
        await follower.has(300)
        assert inbox.epoch(TENANT) == epoch
        assert follower.epochs == [TENANT]


async def test_one_that_is_in_use_stays_as_it_is(servers: tuple[RealNats, RealNats]) -> None:
    old, new = servers
    await fill(old)
    inbox = create_inbox(new.url, "p", Rows(1).row(0), Options())
    async with following(inbox), linked(old, new) as (source, target):
        await inbox.append(TENANT, [Draft("bob", "1", b"theirs", 60)])
        before = (await call_api(target, f"STREAM.INFO.{LOGS}"))["config"]
        assert await Move(source, target, 1, "").run() == [LOGS]
        assert (await call_api(target, f"STREAM.INFO.{LOGS}"))["config"] == before
        assert [entry.payload for entry in await inbox.read(TENANT, "bob", 0, 9)] == [b"theirs"]
        assert isinstance((await inbox.append(TENANT, [Draft("bob", "2", b"", 60)]))[0], Appended)
        assert await inbox.load_cursors([PHONE]) != [None], "others are moved"


async def test_one_that_is_used_in_the_last_moment_stays_too(
    servers: tuple[RealNats, RealNats], monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = servers
    await fill(old)
    looks: list[str] = []
    is_used = nats_move._is_used

    async def look(link: NatsLink, name: str) -> bool:
        if name == LOGS:
            looks.append(name)
            return len(looks) > 1
        return await is_used(link, name)

    monkeypatch.setattr(nats_move, "_is_used", look)
    inbox = create_inbox(new.url, "p", Rows(1).row(0), Options())
    async with following(inbox), linked(old, new) as (source, target):
        before = (await call_api(target, f"STREAM.INFO.{LOGS}"))["config"]
        assert await Move(source, target, 1, "").run() == [LOGS]
        assert (await call_api(target, f"STREAM.INFO.{LOGS}"))["config"] == before


async def test_who_would_make_one_waits_for_who_brings_it(servers: tuple[RealNats, RealNats]) -> None:
    old, new = servers
    await fill(old)
    stream = log_stream(Subjects("p", TENANT), Limits(0, 0), Options())
    stream.replicated = True  # as in a cluster, whose servers are not needed for this
    async with linked(old, new) as (source, target):

        async def wait(*_: object) -> bool:
            with pytest.raises(InboxUnavailable, match="a node brings it into the cluster"):
                await stream.ensure(target)
            return False

        moving = Move(source, target, 1, "")
        moving._move = wait  # type: ignore[method-assign, assignment]
        assert await moving.run() == [CURSORS, LOGS]
        target.drop("the mover ends")
    async with linked(new) as (target,):
        async with asyncio.timeout(5):
            while True:
                try:
                    await stream.ensure(target)
                    break
                except InboxUnavailable:
                    await asyncio.sleep(0.05)
