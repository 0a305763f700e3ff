import asyncio
from collections.abc import AsyncIterator, Callable

import pytest_asyncio

from pushgate.rocketmq.address import parse_url
from pushgate.rocketmq.lane import Lane, Subscription
from pushgate.rocketmq.messages import Message
from pushgate.rocketmq.routes import Spot
from tests.fakes.nats import free_ports
from tests.fakes.scripted_rocketmq import ScriptedRocketMq
from tests.fakes.subscriber import until
from tests.rocketmq.layout import stored

MAX_OFFSET, MIN_OFFSET, PULL = 30, 31, 11


class Scene:
    """A lane, and what came of it."""

    def __init__(self, places: list[int]) -> None:
        self.messages: list[Message] = []
        self.losses = 0
        self.spot = Spot(tuple(("127.0.0.1", port) for port in places), 1, 1)
        subscription = Subscription("t", "g", self.messages.append, self._lose, lambda: None)
        self.lane = Lane("a", self.spot, parse_url("rocketmq://x", "bus.url"), subscription)
        self.lane.start()

    def _lose(self) -> None:
        self.losses += 1


@pytest_asyncio.fixture
async def scene() -> AsyncIterator[Callable[..., Scene]]:
    made: list[Scene] = []

    def make(*places: int) -> Scene:
        made.append(Scene(list(places)))
        return made[-1]

    yield make
    for each in made:
        await each.lane.stop()


def holds(server: ScriptedRocketMq, *bodies: bytes, physical: int = 0) -> None:
    """Have a server's queue hold so many messages, of which a pull gets the last."""
    end = len(bodies)
    server.answers[MIN_OFFSET] = (0, {"offset": "0"}, b"")
    server.answers[MAX_OFFSET] = (0, {"offset": str(end)}, b"")
    if bodies:
        message = stored(bodies[-1], offset=end - 1, physical=physical + end)
        server.answers[PULL] = (0, {"nextBeginOffset": str(end)}, message)


async def test_a_replica_is_read_while_the_primary_is_away_and_left_when_it_is_back(
    scene: Callable[..., Scene],
) -> None:
    (gone,) = free_ports(1)
    async with ScriptedRocketMq() as replica:
        holds(replica)
        lane = scene(gone, replica.port).lane
        await until(lambda: lane.link is not None)
        assert not lane.takes, "a replica takes no messages"
        await lane.look_for_primary()
        link = lane.link
        assert link is not None
        server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", gone)
        await lane.look_for_primary()
        assert link.lost.is_set()
        assert link.reason == "the primary is back"
        server.close()
        await server.wait_closed()


async def test_the_same_message_in_the_same_place_after_a_loss_is_no_gap(scene: Callable[..., Scene]) -> None:
    async with ScriptedRocketMq() as server:
        holds(server, b"one", b"two")
        made = scene(server.port)
        await until(lambda: made.messages)
        server.connections[-1].close()
        await until(lambda: made.lane.reconnects == 1)
        assert made.losses == 0


async def test_another_message_in_its_place_is_a_gap(scene: Callable[..., Scene]) -> None:
    async with ScriptedRocketMq() as server:
        holds(server, b"one", b"two")
        made = scene(server.port)
        await until(lambda: made.messages)
        holds(server, b"wiped", b"and", b"filled", b"again", physical=500)
        server.connections[-1].close()
        await until(lambda: made.losses == 1)


async def test_a_moved_offset_is_a_gap(scene: Callable[..., Scene]) -> None:
    async with ScriptedRocketMq() as server:
        holds(server)
        made = scene(server.port)
        await until(lambda: made.lane.link is not None)
        server.answers[PULL] = (21, {"nextBeginOffset": "7"}, b"")
        await until(lambda: any(request.code == PULL for request in server.requests))
        server.answer(server.requests[-1], 21, {"nextBeginOffset": "7"})
        await until(lambda: made.losses >= 1)


async def test_a_broker_that_lets_nothing_be_pulled_is_left_with_its_reason(scene: Callable[..., Scene]) -> None:
    async with ScriptedRocketMq() as server:
        holds(server)
        made = scene(server.port)
        await until(lambda: made.lane.link is not None and any(each.code == PULL for each in server.requests))
        link = made.lane.link
        assert link is not None
        server.answer(next(each for each in server.requests if each.code == PULL), 26, {})
        await asyncio.wait_for(link.lost.wait(), 2)
        assert "lets nothing be pulled (26: the test says so)" in link.reason
