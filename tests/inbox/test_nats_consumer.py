"""What a consumer makes of what it is sent."""

import json
from collections.abc import Iterable

import pytest

from pushgate.errors import InboxUnavailable
from pushgate.inbox.nats_consumer import Consumer, _places
from pushgate.inbox.nats_stream import Stream
from tests.fakes.fake_link import FakeLink, said

HEARTBEAT = b"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: %d\r\nNats-Last-Stream: 9\r\n\r\n"


class Link(FakeLink):
    """Also listens."""

    def __init__(self, answer: dict[str, object]) -> None:
        super().__init__(lambda asked: said(json.dumps(answer).encode()))
        self.listening: list[int] = []
        self.unanswered: list[bytes] = []

    def listen(self, subject: str, take: object) -> int:
        self.listening.append(1)
        return 1

    def leave(self, sid: int) -> None:
        self.listening.remove(sid)

    def write(self, commands: Iterable[bytes]) -> None:
        self.unanswered += commands
        super().write(commands)


class Told:
    def __init__(self, answer: dict[str, object]) -> None:
        self.messages: list[tuple[int, bytes]] = []
        self.holes = self.idle = 0
        self.link = Link(answer)
        stream = Stream("name", "s", {"num_replicas": 1})
        self.consumer = Consumer(self.link, stream, ["s.>"], self.take, self.hole, self.idles)  # type: ignore[arg-type]

    def take(self, sequence: int, stored: float, subject: bytes, headers: bytes, payload: bytes) -> None:
        assert stored == 1.7
        self.messages.append((sequence, payload))

    def hole(self) -> None:
        self.holes += 1

    def idles(self) -> None:
        self.idle += 1

    def send(self, sequence: int, delivered: int) -> None:
        self.consumer._take(
            b"s.1", b"$JS.ACK.name.c.1.%d.%d.1700000000.3" % (sequence, delivered), b"NATS/1.0\r\n\r\n", b"x"
        )


@pytest.fixture
def told() -> Told:
    return Told({"config": {}})


async def test_messages_come_in_order_until_there_is_a_hole(told: Told) -> None:
    told.consumer.silent = 5
    told.send(10, 1)
    told.send(17, 2)
    assert told.messages == [(10, b"x"), (17, b"x")]
    assert (told.holes, told.consumer.silent) == (0, 0)
    told.send(20, 4)
    assert told.messages[2:] == []
    assert told.holes == 1


async def test_a_heartbeat_shows_a_hole_at_the_end_or_that_there_is_none(told: Told) -> None:
    told.send(10, 1)
    told.consumer._take(b"d", b"", HEARTBEAT % 1, b"")
    assert (told.holes, told.idle) == (0, 1)
    told.consumer._take(b"d", b"", HEARTBEAT % 2, b"")
    assert (told.holes, told.idle) == (1, 1)


async def test_flow_control_is_answered(told: Told) -> None:
    told.consumer._take(b"d", b"$JS.FC.a", b"NATS/1.0 100 FlowControl Request\r\n\r\n", b"")
    stalled = HEARTBEAT.replace(b"\r\n\r\n", b"\r\nNats-Consumer-Stalled: $JS.FC.b\r\n\r\n") % 0
    told.consumer._take(b"d", b"", stalled, b"")
    assert told.link.unanswered == [b"PUB $JS.FC.a 0\r\n\r\n", b"PUB $JS.FC.b 0\r\n\r\n"]
    assert (told.idle, told.holes) == (0, 0), "it is not idle, it waits"


async def test_it_begins_above_a_sequence_and_is_given_back(told: Told) -> None:
    await told.consumer.open(41)
    (asked,) = told.link.asked
    assert asked.startswith(b"PUB $JS.API.CONSUMER.CREATE.name." + told.consumer.name.encode())
    assert b'"opt_start_seq":42' in asked
    assert told.link.listening == [1]
    told.consumer.close()
    assert told.link.listening == []
    assert told.link.unanswered[-1].startswith(b"PUB $JS.API.CONSUMER.DELETE.name." + told.consumer.name.encode())


async def test_one_that_cannot_be_made_is_unavailable() -> None:
    told = Told({"error": {"code": 404, "err_code": 10059, "description": "stream not found"}})
    with pytest.raises(InboxUnavailable, match="stream not found"):
        await told.consumer.open(0)


@pytest.mark.parametrize(
    "reply",
    [
        b"$JS.ACK.stream.consumer.1.17.5.1700000000000000000.3",
        b"$JS.ACK.hub.ACCOUNT.stream.consumer.1.17.5.1700000000000000000.3",
        b"$JS.ACK._.ACCOUNT.stream.consumer.1.17.5.1700000000000000000.3.token",
    ],
)
def test_places_stand_in_the_reply_subject(reply: bytes) -> None:
    assert _places(reply) == (17, 5, 1.7e9)
