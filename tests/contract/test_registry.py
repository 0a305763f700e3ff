"""What every registry promises; each test is one promise of pushgate.routing.base."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from pushgate.errors import RegistryUnavailable
from pushgate.nats.connection import Connection
from pushgate.routing import Registry, create_registry
from pushgate.routing.base import key_of
from tests.contract.conftest import Server
from tests.fakes.nats import RealNats
from tests.fakes.redis import RealRedis
from tests.fakes.subscriber import until

HERE, THERE = 2**63 + 11, 7
KEYS = [key_of("acme", f"user{number}") for number in range(1000)]

Make = Callable[..., Registry]


@pytest.fixture
def make(addressing_server: Server) -> Make:
    def make(home: int = HERE, worker: int = 0, prefix: str = "pushgate") -> Registry:
        return create_registry(addressing_server.url, prefix, home, worker, 1)

    return make


@asynccontextmanager
async def running(registry: Registry) -> AsyncIterator[list[bool]]:
    """Have it run; gives a list that grows with each connection."""
    news: list[bool] = []
    registry.start(lambda: news.append(True))
    try:
        await until(lambda: registry.connected)
        yield news
    finally:
        await registry.stop()


async def lose(server: Server) -> None:
    """Have the server forget what is in memory, without losing a connection."""
    if isinstance(server, RealRedis):
        assert server.say("FLUSHALL").startswith(b"+OK")
        return
    connection = Connection(server.url, "bus")
    connection.start()
    await (await connection.ready()).ask("$JS.API.STREAM.PURGE.KV_pushgate-directory", b"")
    await connection.stop()


async def test_what_was_written_is_read_by_all_and_what_is_left_is_gone(make: Make) -> None:
    here, there, reader = make(), make(THERE), make(3, worker=2)
    async with running(here), running(there), running(reader):
        await here.write(KEYS[:3], [])
        await there.write(KEYS[2:4], [])
        found = await reader.read(KEYS[:6])
        assert {key: sorted(homes) for key, homes in found.items()} == {
            KEYS[0]: [HERE],
            KEYS[1]: [HERE],
            KEYS[2]: [THERE, HERE],
            KEYS[3]: [THERE],
        }
        await here.write([KEYS[4], KEYS[0]], KEYS[1:3])
        found = await there.read(KEYS[:6])
        assert found == {KEYS[0]: [HERE], KEYS[2]: [THERE], KEYS[3]: [THERE], KEYS[4]: [HERE]}
        await here.write([], [KEYS[0], KEYS[5]])
        assert KEYS[0] not in await reader.read(KEYS[:1])
        await here.write([], [])


async def test_many_are_written_and_read_at_once(make: Make) -> None:
    here, there = make(), make(THERE)
    async with running(here), running(there):
        await asyncio.gather(here.write(KEYS, []), there.write(KEYS[500:], []))
        found = await here.read(KEYS)
        assert [len(found[key]) for key in KEYS] == [1] * 500 + [2] * 500


async def test_a_lease_is_renewed_until_it_is_lost_and_what_is_lost_shows(
    make: Make, addressing_server: Server
) -> None:
    registry, other = make(), make(worker=1)
    async with running(registry), running(other):
        await registry.write(KEYS[:1], [])
        assert await registry.renew()
        assert await registry.renew()
        await lose(addressing_server)
        with pytest.raises(RegistryUnavailable, match=r"lost|no answer"):
            await registry.read(KEYS[:1])
        assert not await registry.renew()
        assert await registry.read(KEYS[:1]) == {}
        with pytest.raises(RegistryUnavailable, match=r"lost|no answer|behind"):
            await other.read(KEYS[:1])  # whose own part is not there yet
        assert not await other.renew()
        await registry.write(KEYS[:1], [])
        assert await other.read(KEYS[:1]) == {KEYS[0]: [HERE]}
        assert await registry.renew()


async def test_two_gateways_on_one_server_are_apart(make: Make) -> None:
    ours, theirs = make(prefix="ours"), make(prefix="theirs")
    async with running(ours), running(theirs):
        await ours.write(KEYS[:1], [])
        assert await theirs.read(KEYS[:1]) == {}


async def test_a_server_that_was_killed_is_said_to_be_away_and_its_return_is_told(
    make: Make, addressing_server: Server
) -> None:
    registry = make()
    with pytest.raises(RegistryUnavailable):
        await registry.read(KEYS[:1])
    async with running(registry) as news:
        await registry.write(KEYS[:1], [])
        addressing_server.kill()
        await until(lambda: not registry.connected)
        for call in (registry.read(KEYS[:1]), registry.write(KEYS[:1], []), registry.renew()):
            with pytest.raises(RegistryUnavailable):
                await asyncio.wait_for(call, 0.5)
        addressing_server.start()
        await until(lambda: registry.connected, 5)
        assert len(news) == 2
        assert await registry.read(KEYS[:1]) in ({}, {KEYS[0]: [HERE]}), "it may have been in memory only"
        await registry.write(KEYS[:1], [])
        assert await registry.read(KEYS[:1]) == {KEYS[0]: [HERE]}


async def test_a_server_that_hangs_is_left_alone_in_time(make: Make, addressing_server: Server) -> None:
    registry = make()
    async with running(registry):
        addressing_server.freeze()
        with pytest.raises(RegistryUnavailable):
            await asyncio.wait_for(registry.write(KEYS[:1], []), 5)
        addressing_server.thaw()
        await until(lambda: registry.connected, 5)
        await registry.write(KEYS[:1], [])


def test_keys_are_the_same_everywhere_and_tell_tenants_and_users_apart() -> None:
    assert key_of("acme", "anna").hex() == "f3096ca17221a08d"
    assert len({key_of("a", "b"), key_of("a", "c"), key_of("ab", ""), key_of("c", "b")}) == 4


async def test_nothing_is_left_of_a_removed_entry_on_nats(server: RealNats) -> None:
    registry = create_registry(server.url, "pushgate", HERE, 0, 1)
    connection = Connection(server.url, "bus")
    connection.start()
    link = await connection.ready()

    async def messages() -> int:
        info = (await link.ask("$JS.API.STREAM.INFO.KV_pushgate-directory", b""))[0].payload
        return int(info.partition(b'"messages":')[2].partition(b",")[0])

    async with running(registry):
        await registry.write(KEYS[:10], [])
        assert await messages() == 11  # and the lease
        await registry.write([], KEYS[:10])
        async with asyncio.timeout(5):
            while await messages() > 1:
                await asyncio.sleep(0.1)
        assert await registry.renew(), "the lease was not touched"
    await connection.stop()
