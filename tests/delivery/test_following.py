"""What is told of pushes that are followed, on the worker that delivers them."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
import pytest_asyncio
from msgspec import structs
from structlog.testing import capture_logs

from pushgate.delivery import fanout
from pushgate.delivery.outgoing import Outgoing
from pushgate.messages.push import Push, Trail
from pushgate.metrics.catalogue import DELIVERED
from tests.fakes.tracer import FakeTracer
from tests.rig.gateway import Gateway

TRAIL = Trail("request-1", f"00-{1:032x}-{2:016x}-01")


@pytest.fixture
def tracer() -> FakeTracer:
    return FakeTracer()


@pytest_asyncio.fixture
async def gateway(make_gateway: Callable[..., Gateway], tracer: FakeTracer) -> Gateway:
    return make_gateway(tracer=tracer)


def line(push_id: str, connections: int, **facts: Any) -> dict[str, Any]:
    return {
        "event": "delivered",
        "log_level": "debug",
        "part": "delivery",
        "request_id": "request-1",
        "id": push_id,
        "tenant": "default",
        "node": "here",
        "connections": connections,
        **facts,
    }


async def test_nothing_is_told_of_others(gateway: Gateway, tracer: FakeTracer) -> None:
    await gateway.join("alice")
    with capture_logs() as logs:
        gateway.push("alice")
        gateway.push()
        await gateway.until(lambda: not gateway.fanout.busy)
    assert logs == []
    assert tracer.deliveries == []


async def test_a_push_to_users_is_one_line_and_one_span(gateway: Gateway, tracer: FakeTracer) -> None:
    for user in ("alice", "alice", "bob"):
        await gateway.join(user)
    await gateway.join("alice", tenant="acme")
    before = time.time()
    with capture_logs() as logs:
        pushed = gateway.push("alice", "bob", "nobody", trail=TRAIL)
        missed = gateway.push("nobody", trail=TRAIL)
    assert logs == [line(pushed, 3), line(missed, 0)]
    (parent, began, attributes), (_, _, none) = tracer.deliveries
    assert parent == TRAIL.traceparent
    assert before <= began <= time.time()
    assert attributes == {
        "messaging.system": "pushgate",
        "messaging.message.id": pushed,
        "pushgate.tenant": "default",
        "pushgate.connections": 3,
    }
    assert none["pushgate.connections"] == 0


async def test_without_a_trace_there_is_the_line_alone(gateway: Gateway, tracer: FakeTracer) -> None:
    await gateway.join("alice")
    with capture_logs() as logs:
        pushed = gateway.push("alice", trail=Trail("request-1"))
    assert logs == [line(pushed, 1)]
    assert tracer.deliveries == []


async def test_who_is_not_meant_is_not_counted(gateway: Gateway) -> None:
    await gateway.join("alice", query="&device=phone")
    await gateway.join("alice")
    for users in (("alice",), ()):
        with capture_logs() as logs:
            pushed = gateway.push(*users, device="phone", trail=TRAIL)
            await gateway.until(lambda: not gateway.fanout.busy)
        assert logs == [line(pushed, 1)], users


async def test_who_was_closed_over_it_is_not_counted(make_gateway: Callable[..., Gateway], tracer: FakeTracer) -> None:
    gateway = make_gateway(tracer=tracer, write_bound=8192)
    slow = await gateway.join("alice")
    await gateway.join("alice")
    slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
    told = []
    with capture_logs() as logs:
        while gateway.count("connections") == 2:
            before = gateway.row[DELIVERED]
            gateway.push("alice", data="x" * 100_000, trail=TRAIL)
            told.append(gateway.row[DELIVERED] - before)
            await asyncio.sleep(0)
    assert [each["connections"] for each in logs] == told
    assert told[-1] == 1


async def test_a_push_to_everyone_is_one_line_when_it_is_done(
    gateway: Gateway, tracer: FakeTracer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fanout, "SLICE", 1)
    for number in range(5):
        await gateway.join(f"u{number}")
    await gateway.join("u0", tenant="acme")
    with capture_logs() as logs:
        pushed = gateway.push(trail=TRAIL)
        gateway.push("u4")  # which is first given what is pending
        assert logs == []
        await gateway.until(lambda: not gateway.fanout.busy)
    assert logs == [line(pushed, 5)]
    [(_, _, attributes)] = tracer.deliveries
    assert attributes["pushgate.connections"] == 5


async def test_what_was_held_back_is_told_when_it_is_written(gateway: Gateway, tracer: FakeTracer) -> None:
    await gateway.join("alice")
    push = Push("default", ["alice"], "m1", "message", 1, b"1", trail=TRAIL)
    with capture_logs() as logs:
        for each in (push, structs.replace(push, trail=None)):
            gateway.router.deliver_held(Outgoing(each), gateway.sessions.find("default", "alice"))
    assert gateway.row[DELIVERED] == 2
    assert logs == [line("m1", 1)]
    assert len(tracer.deliveries) == 1


async def test_a_push_that_is_spread(gateway: Gateway) -> None:
    for number in range(3):
        await gateway.join(f"u{number}")
    with capture_logs() as logs:
        pushed = gateway.push(spread=0.1, trail=TRAIL)
        await gateway.until(lambda: bool(logs))
    assert logs == [line(pushed, 3)]
