"""The heartbeat: who is pinged, who is dropped, and what holds the sweep up."""

from collections.abc import Callable

from pushgate.wire.frames import PING, PONG, TEXT
from tests.rig.gateway import Gateway


async def test_the_idle_are_pinged_and_the_silent_dropped(make_gateway: Callable[..., Gateway]) -> None:
    gateway = make_gateway(ping_interval=4.0, pong_timeout=4.0)  # 16 ticks, and 16 more; everybody is seen every 4
    silent = await gateway.join("alice")
    alive = await gateway.join("bob")
    gateway.tick(15)
    assert gateway.count("pings_total") == 0
    gateway.tick(5)
    assert gateway.count("pings_total") == 2
    assert await alive.receive_frame() == (PING, b"")
    alive.send_frame(PONG)
    (bob,) = gateway.sessions.find("default", "bob")
    await gateway.until(lambda: gateway.sessions.columns.heard[bob.fd] == gateway.sessions.tick)
    gateway.tick(15)
    assert (await silent.receive_close())[0] == 4002
    assert await alive.is_quiet()


async def test_a_client_that_takes_a_long_message_slowly_is_alive(make_gateway: Callable[..., Gateway]) -> None:
    gateway = make_gateway(ping_interval=1.0, pong_timeout=5.0, write_bound=64 * 1024 * 1024)  # dead after 24 ticks
    client = await gateway.join("alice")
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    while gateway.count("write_buffer_bytes") < 20_000_000:
        gateway.push("alice", data="x" * 1_000_000)
    ticks = 0
    while gateway.count("write_buffer_bytes") > 1_000_000:
        gateway.tick(2)
        ticks += 2
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        await client.receive_frame()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        assert gateway.count("connections") == 1
    assert ticks > 24
    gateway.tick(30)
    assert gateway.count("connections") == 0, "it takes nothing any more"
    assert gateway.count("connections_closed_total", "4002") == 1


async def test_a_client_that_has_taken_all_at_last_is_pinged_before_it_is_judged(
    make_gateway: Callable[..., Gateway],
) -> None:
    gateway = make_gateway(ping_interval=1.0, pong_timeout=5.0, write_bound=64 * 1024 * 1024)  # dead after 24 ticks
    client = await gateway.join("alice")
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    while gateway.count("write_buffer_bytes") < 20_000_000:
        gateway.push("alice", data="x" * 1_000_000)
    gateway.tick(23)
    client.writer.transport.resume_reading()  # type: ignore[attr-defined]
    while gateway.count("write_buffer_bytes") > 0:
        await client.receive_frame()
    gateway.tick(19)
    assert gateway.count("connections") == 1, "its time begins when a ping can reach it"
    while (frame := await client.receive_frame())[0] == TEXT:
        pass
    assert frame == (PING, b"")
    gateway.tick(2)
    assert gateway.count("connections_closed_total", "4002") == 1


async def test_a_push_to_everyone_holds_pings_up_and_who_was_not_asked_is_not_dropped(
    make_gateway: Callable[..., Gateway],
) -> None:
    gateway = make_gateway(ping_interval=4.0, pong_timeout=4.0)
    client = await gateway.join("alice")
    gateway.tick(15)
    gateway.tick(30, busy=True)
    assert gateway.count("pings_total") == 0
    gateway.tick(4)
    assert gateway.count("pings_total") == 1
    gateway.tick(15)
    assert gateway.count("connections") == 1, "it has the whole time for its answer"
    gateway.tick(8)
    while (frame := await client.receive_frame())[0] == PING:
        pass
    assert frame[1][:2] == (4002).to_bytes(2, "big")


async def test_the_dead_are_found_while_everyone_is_always_pushed_to(make_gateway: Callable[..., Gateway]) -> None:
    gateway = make_gateway(ping_interval=4.0, pong_timeout=4.0)
    await gateway.join("alice")
    gateway.tick(40, busy=True)
    assert gateway.count("pings_total") == 0
    gateway.tick(30, busy=True)
    assert gateway.count("connections_closed_total", "4002") == 1
