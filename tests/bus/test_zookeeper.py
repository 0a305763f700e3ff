"""What only the ZooKeeper backend promises: a log that keeps for a moment, is kept short, and may be made anew."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from kazoo.protocol.serialization import Create, Delete, GetChildren2, Transaction
from kazoo.security import OPEN_ACL_UNSAFE
from structlog.testing import capture_logs

from pushgate.bus import Parcel
from pushgate.bus import zookeeper_cleaner as cleaning
from pushgate.bus import zookeeper_reader as reading
from pushgate.bus.zookeeper import ZooKeeperBus
from pushgate.bus.zookeeper_batches import SEQUENCE, pack
from pushgate.zookeeper.link import ZooKeeperLink
from tests.fakes.nats import free_ports
from tests.fakes.subscriber import Subscriber, until
from tests.fakes.zookeeper import RealZooKeeper


class Probe:
    """A connection of the test's own, which looks at the log and meddles with it."""

    def __init__(self, link: ZooKeeperLink, path: str) -> None:
        self._link = link
        self._path = path

    async def numbers(self) -> list[int]:
        names, _ = await self._link.ask(GetChildren2(self._path, False))
        return sorted(map(int, names))

    async def do(self, *requests: Any) -> None:
        """Do all of it in one transaction."""
        done = await self._link.ask(Transaction(requests))
        assert not any(isinstance(each, Exception) for each in done), done

    async def put_into(self, number: int) -> None:
        """Have a batch contain a node, so that it cannot be removed."""
        await self.do(Create(f"{self._path}/{number:010d}/child", b"", OPEN_ACL_UNSAFE, 0))

    def create(self, data: bytes) -> Create:
        return Create(f"{self._path}/", data, OPEN_ACL_UNSAFE, SEQUENCE)

    def delete(self, number: int) -> Delete:
        return Delete(f"{self._path}/{number:010d}", -1)


@asynccontextmanager
async def running(url: str) -> AsyncIterator[tuple[ZooKeeperBus, Subscriber]]:
    bus, subscriber = ZooKeeperBus(url), Subscriber()
    await bus.start([1], subscriber.receive, subscriber.on_gap)
    try:
        yield bus, subscriber
    finally:
        await bus.stop()


@asynccontextmanager
async def probing(server: RealZooKeeper) -> AsyncIterator[Probe]:
    link = ZooKeeperLink("probe", lambda path: None)
    await link.open("127.0.0.1", server.port, 5)
    try:
        yield Probe(
            link, f"{server.url.partition('//')[2].partition('/')[1]}{server.url.rpartition('/')[2]}/pushgate/live"
        )
    finally:
        await link.close()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the log twenty times a second, and keep nothing that is older than 0.1 s."""
    monkeypatch.setattr(reading, "LOOK", 0.05)
    monkeypatch.setattr(cleaning, "KEEP", 0.1)


def session_of(bus: ZooKeeperBus) -> tuple[int, bytes]:
    assert bus._keeper.link is not None
    return bus._keeper.link.session


async def test_many_pushes_share_a_write(zookeeper: RealZooKeeper) -> None:
    async with running(zookeeper.url) as (bus, subscriber), probing(zookeeper) as probe:
        before = len(await probe.numbers())
        await asyncio.gather(*(bus.publish([Parcel(1, b"%d" % number)]) for number in range(1000)))
        await subscriber.has(1000)
        assert len(await probe.numbers()) == before + 1


async def test_what_does_not_fit_into_one_batch_is_several_in_order(zookeeper: RealZooKeeper) -> None:
    payloads = [bytes([number]) * 300_000 for number in range(40)]
    async with running(zookeeper.url) as (bus, subscriber):
        await bus.publish([Parcel(1, payload) for payload in payloads])
        await subscriber.has(40)
        assert subscriber.received == payloads


async def test_the_time_of_a_write_is_measured_and_said(zookeeper: RealZooKeeper) -> None:
    with capture_logs() as lines:
        async with running(zookeeper.url):
            pass
    (line,) = (line for line in lines if line["event"] == "bus measured")
    assert 0 < line["write_ms"] < 1000
    assert line["largest_payload"] == 1_000_000


async def test_an_expired_session_is_a_gap_and_what_came_meanwhile_is_received_once(zookeeper: RealZooKeeper) -> None:
    async with running(zookeeper.url) as (bus, _), running(zookeeper.url) as (other, subscriber):
        await bus.publish([Parcel(1, b"before")])
        await subscriber.has(1)
        zookeeper.expire(session_of(other))
        await until(lambda: not other.connected)
        await bus.publish([Parcel(1, b"meanwhile")])
        await until(lambda: other.connected, 2)
        await bus.publish([Parcel(1, b"after")])
        await subscriber.has(3)
        assert subscriber.received == [b"before", b"meanwhile", b"after"]
        assert (subscriber.gaps, other.reconnects) == (1, 1)


async def test_who_was_away_for_longer_than_the_log_keeps_goes_on_with_now(
    zookeeper: RealZooKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "KEEP", 0.0)
    async with running(zookeeper.url) as (bus, _), running(zookeeper.url) as (other, subscriber):
        zookeeper.expire(session_of(other))
        await until(lambda: not other.connected)
        await bus.publish([Parcel(1, b"meanwhile")])
        await until(lambda: other.connected, 2)
        await bus.publish([Parcel(1, b"after")])
        await subscriber.has(1)
        assert subscriber.received == [b"after"]
        assert subscriber.gaps == 1


@pytest.mark.usefixtures("hasty")
async def test_one_of_all_removes_what_is_old_and_another_when_it_is_gone(zookeeper: RealZooKeeper) -> None:
    async with running(zookeeper.url) as (bus, subscriber), probing(zookeeper) as probe:
        async with running(zookeeper.url) as (first, _):
            for number in range(20):
                await first.publish([Parcel(1, b"%d" % number)])
            await subscriber.has(20)
            await until_numbers(probe, lambda numbers: len(numbers) == 1)
        for number in range(20):
            await bus.publish([Parcel(1, b"%d" % number)])
        await until_numbers(probe, lambda numbers: len(numbers) == 1)
        await subscriber.has(40)
        assert subscriber.gaps == 0


@pytest.mark.usefixtures("hasty")
async def test_a_log_that_cannot_be_cleaned_is_said_once_and_goes_on(zookeeper: RealZooKeeper) -> None:
    async with running(zookeeper.url) as (bus, subscriber), probing(zookeeper) as probe:
        with capture_logs() as lines:
            await probe.put_into((await probe.numbers())[0])
            await until(lambda: lines)
            for number in range(5):
                await bus.publish([Parcel(1, b"%d" % number)])
                await asyncio.sleep(0.1)  # as many looks as would say it again
            await subscriber.has(5)
        assert [(line["event"], line["reason"]) for line in lines] == [
            ("the bus cannot be cleaned, and grows", "NotEmptyError")
        ]


@pytest.mark.parametrize("bound", ["MOST", "BYTES"])
async def test_the_log_is_bounded_by_number_and_bytes(
    zookeeper: RealZooKeeper, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    monkeypatch.setattr(reading, "LOOK", 0.05)
    monkeypatch.setattr(cleaning, bound, {"MOST": 3, "BYTES": 3500}[bound])
    async with running(zookeeper.url) as (bus, subscriber), probing(zookeeper) as probe:
        for _ in range(10):
            await bus.publish([Parcel(1, bytes(1000))])
        await until_numbers(probe, lambda numbers: len(numbers) == 3)
        await subscriber.has(10)
        assert subscriber.gaps == 0


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("count", [1, reading.AHEAD, 5 * reading.AHEAD])
async def test_what_is_removed_before_it_is_read_is_one_gap(zookeeper: RealZooKeeper, count: int) -> None:
    async with running(zookeeper.url) as (bus, subscriber), probing(zookeeper) as probe:
        await bus.publish([Parcel(1, b"before")])
        await subscriber.has(1)
        first = (await probe.numbers())[-1] + 1
        gone = range(first, first + count)
        lost = [probe.create(pack(Parcel(1, b"lost"))) for _ in gone]
        await probe.do(*lost, *map(probe.delete, gone), probe.create(pack(Parcel(1, b"there"))))
        await subscriber.has(2)
        await bus.publish([Parcel(1, b"after")])
        await subscriber.has(3)
        assert subscriber.received == [b"before", b"there", b"after"]
        assert subscriber.gaps == 1


@pytest.mark.usefixtures("hasty")
async def test_a_log_that_is_full_is_made_anew_under_everyones_feet(
    zookeeper: RealZooKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleaning, "FULL", 40)
    async with running(zookeeper.url) as (bus, subscriber), probing(zookeeper) as probe:
        sent: list[bytes] = []
        while not sent or (await probe.numbers() or [0])[-1] >= len(sent):
            sent.append(b"%d" % len(sent))
            await bus.publish([Parcel(1, sent[-1])])
        await until(lambda: subscriber.gaps)
        await bus.publish([Parcel(1, b"last")])
        await bus.publish([])
        assert subscriber.received[-1] == b"last"
        places = [sent.index(payload) for payload in subscriber.received[:-1]]
        assert places == sorted(set(places))
        assert (bus.connected, bus.reconnects) == (True, 0)


async def test_what_is_not_ours_is_said_and_passed_over(zookeeper: RealZooKeeper) -> None:
    async with running(zookeeper.url) as (bus, subscriber), probing(zookeeper) as probe:
        with capture_logs() as lines:
            await probe.do(probe.create(b"not a batch"), probe.create(pack(Parcel(1, b"payload"))[:-1]))
            await bus.publish([Parcel(1, b"ours")])
            await subscriber.has(1)
        assert subscriber.received == [b"ours"]
        assert [line["reason"] for line in lines] == ["a batch breaks off"] * 2


async def test_whoever_gives_a_password_makes_a_log_that_is_closed_to_others(zookeeper: RealZooKeeper) -> None:
    def url_with(who: str) -> str:
        return zookeeper.url.replace("//", f"//{who}@")

    async with running(url_with("us:s3cret")) as (bus, subscriber):
        await bus.publish([Parcel(1, b"ours")])
        await subscriber.has(1)
        for stranger in (url_with("us:wrong"), zookeeper.url):
            other = ZooKeeperBus(stranger)
            with capture_logs() as lines:
                start = asyncio.create_task(other.start([1], lambda payload: None, lambda: None))
                await until(partial(bool, lines))
                await other.stop()
                await asyncio.gather(start, return_exceptions=True)
            assert lines[0]["event"] == "bus away"
            assert lines[0]["reason"].endswith("/pushgate/live cannot be written to: NoAuthError")
            assert "wrong" not in str(lines)


async def test_three_servers_carry_on_without_their_leader(tmp_path: Path) -> None:
    ports = free_ports(9)
    peers = "\n".join(f"server.{n}=127.0.0.1:{ports[n]}:{ports[n + 3]}" for n in range(3))
    servers = [RealZooKeeper(tmp_path / str(n), n, peers, ports[6 + n]) for n in range(3)]
    try:
        for server in servers:
            server.launch()
        for server in servers:
            server.wait()
        await carry_on(servers)
    finally:
        for server in servers:
            server.close()


async def carry_on(servers: Sequence[RealZooKeeper]) -> None:
    """Have a bus on each server get what each publishes, and again when the leader is dead."""
    everywhere = ",".join(f"127.0.0.1:{server.port}" for server in servers)
    one, two, three = (f"zookeeper://127.0.0.1:{server.port}" for server in servers)
    async with (
        running(one) as first,
        running(two) as second,
        running(three) as third,
        running(f"zookeeper://{everywhere}") as fourth,
    ):
        ends = [first, second, third, fourth]
        numbers = [b"%d" % number for number in range(40)]
        for number in numbers:
            await ends[int(number) % 4][0].publish([Parcel(1, number)])
        for bus, subscriber in ends:
            await bus.publish([])
            assert subscriber.received == numbers
        leader = next(server for server in servers if b"Mode: leader" in server.say("srvr"))
        leader.kill()
        left = [end for end, server in zip(ends[:3], servers, strict=True) if server is not leader] + [fourth]
        await until(lambda: all(bus.reconnects and bus.connected for bus, _ in left), 20)
        await fourth[0].publish([Parcel(1, b"after")])
        for bus, subscriber in left:
            await bus.publish([])
            assert subscriber.received == [*numbers, b"after"]
            assert subscriber.gaps == 1


async def until_numbers(probe: Probe, condition: Callable[[list[int]], bool]) -> None:
    """Wait until the numbers in the log are such."""
    async with asyncio.timeout(10):
        while not condition(await probe.numbers()):
            await asyncio.sleep(0.01)
