"""What the inbox promises on Redis when that is wiped, forgets, refuses, or is somebody else now."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pushgate.bus import Parcel, create_bus
from pushgate.errors import InboxUnavailable
from pushgate.inbox import Appended, Device, Draft, Options, redis_write
from pushgate.inbox.redis import RedisInbox
from pushgate.metrics.catalogue import INBOX_GAPS
from pushgate.metrics.rows import Rows
from tests.contract.test_inbox_faults import Load, append, append_all, check, read_all
from tests.fakes.follower import TENANT, following
from tests.fakes.redis import RealRedis
from tests.fakes.subscriber import Subscriber, until

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])

ROOT = "{pushgate}:inbox"
LOGS = f"{ROOT}:{TENANT}"
PHONE = Device(TENANT, "alice", "phone")


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RealRedis]:
    server = RealRedis(tmp_path / "data")
    yield server
    server.close()


def make(server: RealRedis, **options: int) -> RedisInbox:
    return RedisInbox(server.url, "pushgate", Rows(1).row(0), Options(**options))  # type: ignore[arg-type]


@pytest.mark.parametrize("how", ["flushed", "directory wiped"])
async def test_what_is_wiped_begins_anew_with_another_epoch(redis: RealRedis, how: str) -> None:
    inbox, other = make(redis), make(redis)
    async with following(inbox) as follower, following(other) as also:
        await append_all(inbox, *(b"old %d" % number for number in range(20)))
        await inbox.store_cursors({PHONE: (5, "e")})
        await follower.has(20)
        before = inbox.epoch(TENANT)
        assert other.epoch(TENANT) == before
        if how == "flushed":
            redis.say("FLUSHALL")
        else:
            redis.wipe()
            redis.start()
        payloads = [b"new %d" % number for number in range(100)]
        for payload in payloads:
            await append_all(inbox, payload)
        for each in (follower, also):
            await until(lambda each=each: each.payloads[-1:] == payloads[-1:])  # type: ignore[misc]
            assert each.payloads[-100:] == payloads
            assert each.epochs == [TENANT]
            assert [entry.offset for entry in each.entries[-100:]] == list(range(1, 101))
        assert inbox.epoch(TENANT) == other.epoch(TENANT) != before
        assert await read_all(inbox, "alice") == payloads
        assert await inbox.load_cursors([PHONE]) == [None]


async def test_a_cut_connection_is_no_gap(redis: RealRedis) -> None:
    inbox = make(redis)
    async with following(inbox) as follower:
        load = Load(inbox)
        for connection in (inbox._main, inbox._follow, inbox._main):
            await load.has(200)
            (await connection.ready()).drop("cut by the test")
        await load.has(200)
        await load.stop()
        await check(inbox, load, follower)
        assert inbox._row[INBOX_GAPS] == 1


async def test_ticks_that_are_gone_show_and_the_entries_are_read(redis: RealRedis) -> None:
    inbox, other = make(redis), make(redis)
    async with following(inbox) as follower, following(other, shards=[]):
        await append_all(other, b"before")
        await follower.has(1)
        payloads = [b"%d" % number for number in range(600)]
        transport = (await inbox._follow.ready())._line._transport
        assert transport is not None
        transport.pause_reading()
        await append_all(other, *payloads)
        redis.say("XTRIM", f"{ROOT}:ticks", "MAXLEN", "7")
        transport.resume_reading()
        await follower.has(601)
        assert follower.payloads == [b"before", *payloads]
        assert inbox._row[INBOX_GAPS] == 1


@pytest.mark.parametrize(
    ("options", "is_same"),
    [
        (("--appendfsync", "always"), True),
        (("--appendfsync", "everysec"), False),
        (("--appendonly", "no"), False),
    ],
)
async def test_a_server_that_may_have_lost_something_has_another_epoch(
    tmp_path: Path, options: tuple[str, ...], is_same: bool
) -> None:
    with closing(RealRedis(tmp_path, *options)) as server:
        inbox = make(server)
        async with following(inbox) as follower:
            await append_all(inbox, b"before")
            await follower.has(1)
            before = inbox.epoch(TENANT)
            server.kill()
            server.start()
            await append_all(inbox, b"after")
            await until(lambda: follower.payloads == [b"before", b"after"])
            assert (inbox.epoch(TENANT) == before) == is_same
            assert follower.epochs == ([] if is_same else [TENANT])


async def test_a_server_that_is_known_to_have_lost_something_has_another_epoch(redis: RealRedis) -> None:
    inbox = make(redis)
    async with following(inbox) as follower:
        await append_all(inbox, *(b"%d" % number for number in range(20)))
        await follower.has(20)
        before = inbox.epoch(TENANT)
        redis.say("HSET", LOGS, "newest", "15")
        redis.say("XTRIM", f"{ROOT}:ticks", "MAXLEN", "0")
        redis.say("DEL", f"{ROOT}:ticks")
        (await inbox._follow.ready()).drop("the machine failed")
        await until(lambda: follower.epochs == [TENANT])
        assert inbox.epoch(TENANT) != before
        await append_all(inbox, b"after")
        await follower.has(21)
        assert follower.entries[-1].offset == 16


async def test_a_full_server_refuses_entries_and_takes_cursors_and_recovers(redis: RealRedis) -> None:
    inbox = make(redis)
    async with following(inbox):
        await append_all(inbox, b"before")
        redis.say("CONFIG", "SET", "maxmemory", "1")
        (outcome,) = await append(inbox, b"full")
        assert getattr(outcome, "code", None) == "inbox_full"
        await inbox.store_cursors({PHONE: (1, "e")})
        assert await read_all(inbox, "alice") == [b"before"]
        async with following(make(redis)):
            pass  # who starts now can follow
        redis.say("CONFIG", "SET", "maxmemory", "0")
        await append_all(inbox, b"full")


async def test_a_server_that_throws_messages_away_for_room_is_not_used(tmp_path: Path) -> None:
    options = ("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
    with closing(RealRedis(tmp_path, *options)) as server:
        inbox = make(server)
        start = asyncio.create_task(inbox.start([0], lambda entry: None, lambda tenant: None))
        await asyncio.wait([start], timeout=0.3)
        assert not inbox.connected
        server.say("CONFIG", "SET", "maxmemory-policy", "noeviction")
        await asyncio.wait_for(start, 2)
        await inbox.stop()


async def test_scripts_that_are_gone_are_loaded_again(redis: RealRedis) -> None:
    inbox = make(redis)
    async with following(inbox) as follower:
        load = Load(inbox)
        await load.has(100)
        redis.say("SCRIPT", "FLUSH")
        await load.has(100)
        await load.stop()
        await check(inbox, load, follower)
        assert load.unknown == set()


async def test_a_server_that_takes_nothing_is_stalled_until_it_does(
    redis: RealRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_write, "PATIENCE", 0.3)
    inbox = make(redis)
    async with following(inbox):
        redis.say("CONFIG", "SET", "min-replicas-to-write", "1")
        (outcome,) = await append(inbox, b"1")
        assert "NOREPLICAS" in getattr(outcome, "detail", "")
        assert inbox.stalled
        assert inbox.connected
        redis.say("CONFIG", "SET", "min-replicas-to-write", "0")
        await until(lambda: not inbox.stalled, 3)
        await append_all(inbox, b"1")


async def test_a_server_that_became_a_replica_is_left_until_it_is_a_primary_again(redis: RealRedis) -> None:
    inbox = make(redis)
    async with following(inbox) as follower:
        redis.say("REPLICAOF", "127.0.0.1", "1")
        call = asyncio.create_task(append(inbox, b"1"))
        await until(lambda: not inbox._main.connected)
        redis.say("REPLICAOF", "NO", "ONE")
        (outcome,) = await call
        assert outcome == Appended(1)
        await follower.has(1)
        assert follower.epochs == []


ACL = (
    "~{pushgate}:inbox*",
    "&pushgate.live.*",
    "+@connection",
    "+@pubsub",
    "+@scripting",
    "+@read",
    "+@write",
    "-@dangerous",
    "+info",
    "+role",
    "+time",
    "+cluster|slots",
    "+cluster|keyslot",
    "+config|get",
)
"""What docs/operations.md says that the user needs."""


async def test_a_user_with_no_more_than_it_needs(redis: RealRedis) -> None:
    redis.say("ACL", "SETUSER", "pushgate", "on", ">secret", *ACL)
    url = redis.url.replace("//", "//pushgate:secret@")
    bus, subscriber = create_bus(url), Subscriber()
    inbox = RedisInbox(url, "pushgate", Rows(1).row(0), Options())
    await bus.start([1], subscriber.receive, subscriber.on_gap)
    async with following(inbox) as follower:
        await bus.publish([Parcel(1, b"live")])
        await append_all(inbox, b"1")
        assert isinstance((await inbox.append(TENANT, [Draft("alice", "2", b"2", 1, "key")]))[0], Appended)
        await follower.has(2)
        await inbox.store_cursors({PHONE: (1, "e")})
        assert await inbox.find_cursors(TENANT, "alice")
        async with asyncio.timeout(10):
            while await read_all(inbox, "alice") != [b"1"]:
                await asyncio.sleep(0.05)  # time passes
        assert inbox._main.link is not None
        assert inbox._main.link.standing.safe
        assert subscriber.received == [b"live"]
    await bus.stop()


async def test_what_has_expired_leaves_nothing_behind(redis: RealRedis) -> None:
    inbox = make(redis, duplicate_window=1)
    async with following(inbox):
        drafts = [Draft(f"user {number % 7}", f"{number}", b"x" * 100, 1, f"{number}") for number in range(30)]
        drafts += [Draft("alice", f"{number}", b"x" * 100, 1) for number in range(30)]
        assert all(isinstance(outcome, Appended) for outcome in await inbox.append(TENANT, drafts))
        expected = {ROOT, LOGS, f"{ROOT}:ticks"}
        async with asyncio.timeout(10):
            while {key.decode() for key in await keys(inbox)} != expected:
                await asyncio.sleep(0.1)  # time passes
        assert await inbox._ask(("HGET", LOGS, "bytes")) == [b"0"]


async def keys(inbox: RedisInbox) -> list[bytes]:
    try:
        (found,) = await inbox._ask(("KEYS", "*"))
    except InboxUnavailable:
        return []
    assert isinstance(found, list)
    return found


async def test_a_cursor_is_never_lowered_also_by_another_process(redis: RealRedis) -> None:
    one, two = make(redis), make(redis)
    async with following(one), following(two):
        await one.store_cursors({PHONE: (9, "e")})
        await two.store_cursors({PHONE: (5, "e")})
        (cursor,) = await one.load_cursors([PHONE])
        assert cursor is not None
        assert cursor[:2] == (9, "e")
        await two.store_cursors({PHONE: (2, "f")})
        (cursor,) = await one.load_cursors([PHONE])
        assert cursor is not None
        assert cursor[:2] == (2, "f")


async def test_cursors_that_have_run_out_are_taken_away_when_a_user_has_new_devices(redis: RealRedis) -> None:
    inbox = make(redis, cursor_ttl=1)
    async with following(inbox):
        number = 0
        async with asyncio.timeout(10):
            while True:
                await inbox.store_cursors({Device(TENANT, "alice", f"{number}"): (1, "e")})
                number += 1
                (size,) = await inbox._ask(("HLEN", f"{ROOT}+cursors:{TENANT}:alice"))
                assert isinstance(size, int)
                if size < number - 16:
                    break
                await asyncio.sleep(0.02)  # time passes
        assert f"{number - 1}" in await inbox.find_cursors(TENANT, "alice")
