"""How fast a client may send: messages and bytes, fragments and control frames too, ten seconds of them at once."""

from collections.abc import Callable
from typing import Any

import pytest

from pushgate.config import ClientsConfig, LimitsConfig
from pushgate.sessions.pace import Pace
from pushgate.sessions.session import ChannelSession, Columns
from pushgate.sessions.terms import Terms
from pushgate.sockets.poller import BUFFER
from tests.rig.client import BINARY, PING, PONG, TEXT, WsClient, mask_frame
from tests.rig.gateway import Gateway

MakeGateway = Callable[..., Gateway]
SECOND = 4
"""Ticks of it."""


class Client:
    """One session's bucket, under limits; `send` says whether so many frames and bytes were taken."""

    def __init__(self, messages: int = 0, size: int = 0, **settings: Any) -> None:
        self.clients = ClientsConfig(**settings)
        self.terms = Terms(self.clients, LimitsConfig(messages_per_second=messages, bytes_per_second=size))
        self.pace = Pace(Columns(), self.terms)
        self.tick = 1000

    def send(self, frames: int = 1, size: int = 1) -> bool:
        allowance = self.pace.read(7, size, self.tick)
        if frames > allowance:
            return False
        self.pace.count(7, frames)
        return True


def test_ten_seconds_at_once_and_then_the_rate() -> None:
    client = Client(messages=5)
    client.tick += 1
    assert client.send(50)
    assert not client.send()
    for _ in range(20):
        client.tick += SECOND
        assert client.send(5)
        assert not client.send()


@pytest.mark.parametrize("rate", [1, 2, 3, 5, 50])
def test_a_rate_is_exact_however_often_is_looked(rate: int) -> None:
    client = Client(messages=rate)
    assert client.send(10 * rate)
    taken = 0
    for _ in range(25 * SECOND):
        client.tick += 1
        while client.send():
            taken += 1
    assert taken == 25 * rate


def test_a_long_silence_fills_no_more_than_the_burst() -> None:
    client = Client(messages=5)
    assert client.send(50)
    client.tick += 1_000_000
    assert client.send(50)
    assert not client.send()


def test_bytes() -> None:
    client = Client(size=100_000)
    assert client.send(size=1_000_000)
    assert not client.send(size=1)
    client.tick += SECOND
    assert client.send(size=100_000)
    assert not client.send(size=1)


def test_one_message_of_the_size_that_is_allowed_is_never_too_fast() -> None:
    client = Client(size=1, max_message=1_000_000)
    for _ in range(1_000_000 // BUFFER + 1):
        assert client.send(size=BUFFER)
    assert not client.send(size=BUFFER)


def test_0_is_no_limit() -> None:
    client = Client()
    for _ in range(1000):
        assert client.send(frames=BUFFER // 6, size=BUFFER)


@pytest.mark.parametrize("rate", [2**27, 2**40, 2**63])
def test_no_rate_is_too_high(rate: int) -> None:
    client = Client(messages=rate, size=rate)
    for _ in range(1000):
        assert client.send(frames=BUFFER // 6, size=BUFFER)


def test_new_rates_hold_at_once() -> None:
    client = Client(messages=5)
    assert client.send(30)
    client.terms.load(client.clients, LimitsConfig(messages_per_second=2))
    assert not client.send()
    client.tick += 5 * SECOND
    assert not client.send()
    client.tick += SECOND
    assert client.send()
    client.terms.load(client.clients, LimitsConfig(messages_per_second=0))
    assert client.send(10_000)


async def closed(gateway: Gateway, client: WsClient) -> int:
    code, _ = await client.receive_close()
    assert gateway.count("connections") == 0
    assert gateway.count("connections_closed_total", str(code)) == 1
    return code


FRAMES = {
    "messages": mask_frame(TEXT, b'{"type":"ping"}'),
    "pings": mask_frame(PING),
    "pongs": mask_frame(PONG),
    "wrong messages": mask_frame(TEXT, b'{"type":"nothing"}'),
}


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("together", [True, False])
async def test_frames_of_each_kind_count(make_gateway: MakeGateway, name: str, together: bool) -> None:
    gateway = make_gateway(limits=LimitsConfig(messages_per_second=1))
    client = await gateway.join("alice")
    for _ in range(1 if together else 10):
        client.writer.write(FRAMES[name] * (10 if together else 1))
        assert await client.receive_frame() if name != "pongs" else True
    await gateway.until(lambda: gateway.count("messages_received_total") == 10)
    assert gateway.count("connections") == 1
    client.writer.write(FRAMES[name])
    assert await closed(gateway, client) == 4506
    assert gateway.count("messages_received_total") == 10


async def test_fragments_count_and_are_not_read_on(make_gateway: MakeGateway) -> None:
    gateway = make_gateway(limits=LimitsConfig(messages_per_second=1))
    client = await gateway.join("alice", behind=mask_frame(BINARY, b"", fin=False) + mask_frame(0, b"", fin=False) * 9)
    assert gateway.count("connections") == 1
    client.writer.write(mask_frame(0, b"", fin=False) * 10_000)
    assert await closed(gateway, client) == 4506


async def test_what_was_read_behind_the_handshake_counts(make_gateway: MakeGateway) -> None:
    gateway = make_gateway(limits=LimitsConfig(messages_per_second=1))
    client = await gateway.join("alice", behind=mask_frame(PING) * 11)
    for _ in range(10):
        assert await client.receive_frame() == (PONG, b"")
    assert await closed(gateway, client) == 4506


async def test_bytes_of_half_a_message_count(make_gateway: MakeGateway) -> None:
    gateway = make_gateway(limits=LimitsConfig(messages_per_second=0, bytes_per_second=10), max_message=100_000)
    client = await gateway.join("alice")
    client.writer.write(mask_frame(TEXT, b"a", fin=False) + mask_frame(0, b"b", fin=False) * 30_000)
    assert await closed(gateway, client) == 4506


async def test_who_keeps_to_the_rate_stays(make_gateway: MakeGateway) -> None:
    gateway = make_gateway(limits=LimitsConfig(messages_per_second=2))
    client = await gateway.join("alice")
    for _ in range(60):
        client.send({"type": "ping"})
        assert await client.receive() == {"type": "pong", "spread": 0.5}
        gateway.tick(2)


async def test_a_new_session_on_the_same_descriptor_begins_anew(make_gateway: MakeGateway) -> None:
    gateway = make_gateway(limits=LimitsConfig(messages_per_second=1))
    for _ in range(3):
        client = await gateway.join("alice", behind=mask_frame(PONG) * 10)
        await gateway.until(lambda: gateway.count("messages_received_total") % 10 == 0)
        await client.close()
        await gateway.until(lambda: gateway.count("connections") == 0)


async def test_the_defaults_let_a_busy_client_work(gateway: Gateway) -> None:
    client = await gateway.join("alice")
    for _ in range(400):
        client.send({"type": "ping"})
    for _ in range(400):
        assert await client.receive() == {"type": "pong", "spread": 0.5}


class FakeDevices:
    """Takes acknowledgements: one that is higher than those before moves the cursor."""

    def __init__(self) -> None:
        self.cursor = 0

    def begin(self, channel: ChannelSession, cursor: int) -> None: ...

    def end(self, channel: ChannelSession) -> None: ...

    def hand_over(self, channel: ChannelSession) -> None: ...

    def take_over(self, channel: ChannelSession, place: object) -> bool:
        raise AssertionError("nobody does")

    def progress(self, channel: ChannelSession) -> tuple[int, int]:
        return self.cursor, self.cursor

    def acknowledge(self, channel: ChannelSession, offset: int) -> bool:
        moved, self.cursor = offset > self.cursor, max(self.cursor, offset)
        return moved


def ack(offset: int) -> bytes:
    return mask_frame(TEXT, b'{"type":"ack","offset":%d}' % offset)


@pytest.mark.parametrize("together", [True, False])
async def test_acknowledgements_that_move_the_cursor_do_not_count(make_gateway: MakeGateway, together: bool) -> None:
    gateway = make_gateway(limits=LimitsConfig(messages_per_second=1, bytes_per_second=0))
    devices = gateway.sessions.devices = FakeDevices()
    client = await gateway.join("alice", "&device=phone")
    frames = [ack(offset) for offset in range(1, 301)]
    for each in [b"".join(frames)] if together else frames:
        client.writer.write(each)
        if not together:
            await client.writer.drain()
            await gateway.until(lambda: gateway.count("messages_received_total") > devices.cursor - 1)
    await gateway.until(lambda: devices.cursor == 300)
    client.writer.write(ack(299) * 10)  # these are messages like any other
    await gateway.until(lambda: gateway.count("messages_received_total") == 310)
    assert gateway.count("connections") == 1
    client.writer.write(ack(299))
    assert await closed(gateway, client) == 4506


async def test_an_acknowledgement_in_pieces_gives_back_no_more_than_was_counted(make_gateway: MakeGateway) -> None:
    gateway = make_gateway(limits=LimitsConfig(messages_per_second=1))
    devices = gateway.sessions.devices = FakeDevices()
    client = await gateway.join("alice", "&device=phone")
    for offset in range(1, 4):
        frame = ack(offset)
        client.writer.write(frame[:9])
        await gateway.until(lambda: gateway.sessions.find("default", "alice")[0].reader is not None)
        gateway.tick(2 * SECOND)  # what the first piece was counted as has drained
        client.writer.write(frame[9:])
        await gateway.until(lambda expected=offset: devices.cursor == expected)  # type: ignore[misc]
    client.writer.write(mask_frame(PING) * 10)
    for _ in range(10):
        assert await client.receive_frame() == (PONG, b"")
    client.writer.write(mask_frame(PING))
    assert await closed(gateway, client) == 4506
