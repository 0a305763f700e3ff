"""Calls that are followed: what they leave with their pushes, and what is traced of them."""

import socket
import struct
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from pushgate.errors import BusUnavailable
from pushgate.messages.push import Trail, decode_push
from tests.api.rig import Rig, request
from tests.fakes.inbox import FakeInbox
from tests.fakes.tracer import FakeSpan, FakeTracer

MakeRig = Callable[..., Rig]
CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def tracer() -> FakeTracer:
    return FakeTracer()


@pytest.fixture
def traced(make_rig: MakeRig, tracer: FakeTracer) -> Rig:
    return make_rig(tracer=tracer)


def trails_of(rig: Rig) -> list[Trail | None]:
    """Return the trails of all that was sent, onto the bus and then into the inbox."""
    assert isinstance(rig.inbox, FakeInbox)
    entries = [decode_push(draft.payload).trail for _, draft in rig.inbox.drafts]
    return [push.trail for push in rig.bus.pushes] + entries


def post(rig: Rig, path: str, body: Any, **headers: str) -> Any:
    return rig.http.post(path, json=body, headers=headers)


def attributes(status: int, request_id: str, route: str = "/v1/push") -> dict[str, str | int]:
    return {
        "http.request.method": "POST",
        "http.route": route,
        "http.response.status_code": status,
        "pushgate.request.id": request_id,
        "pushgate.tenant": "acme",
    }


def test_a_push_that_nobody_follows_leaves_no_trail(rig: Rig) -> None:
    response = rig.push(user="alice")
    post(rig, "/v1/push", {"user": "alice", "qos": "reliable"}, traceparent=CALLER)
    post(rig, "/v1/push/batch", {"pushes": [{"user": "alice"}]}, **{"x-request-id": "mine"})
    assert trails_of(rig) == [None, None, None]
    assert "x-request-id" not in response.headers


@pytest.mark.parametrize("path", ["/v1/push", "/v1/push?by=litestar", "/v1/push/batch"])
@pytest.mark.parametrize("qos", ["live", "reliable"])
def test_at_debug_a_push_carries_the_id_of_its_request(make_rig: MakeRig, path: str, qos: str) -> None:
    rig = make_rig(level="debug")
    push = {"user": "alice", "qos": qos}
    with capture_logs():
        for headers in ({}, {"x-request-id": "mine"}):
            response = post(rig, path, {"pushes": [push]} if "batch" in path else push, **headers)
            assert trails_of(rig)[-1] == Trail(response.headers["x-request-id"])
    assert trails_of(rig)[-1] == Trail("mine")


@pytest.mark.parametrize("path", ["/v1/push", "/v1/push?by=litestar"])
@pytest.mark.parametrize(("qos", "sent"), [("live", "publish"), ("reliable", "append")])
def test_a_traced_push(traced: Rig, tracer: FakeTracer, path: str, qos: str, sent: str) -> None:
    headers = {"traceparent": CALLER, "tracestate": "some=state"}
    with capture_logs() as logs:
        response = post(traced, path, {"user": "alice", "qos": qos, "id": "m1"}, **headers)
    assert response.status_code == 202
    assert logs == []
    [call] = tracer.calls
    [sending] = call.below
    request_id = response.headers["x-request-id"]
    assert (call.name, call.parent, call.failed) == ("POST /v1/push", f"{CALLER}some=state", False)
    assert call.attributes == attributes(202, request_id)
    assert (sending.name, sending.failed) == (sent, False)
    assert sending.attributes == {
        "messaging.system": "pushgate",
        "pushgate.tenant": "acme",
        "messaging.message.id": "m1",
    }
    assert trails_of(traced) == [Trail(request_id, sending.traceparent)]


def test_a_batch_is_one_call_and_is_sent_in_two(traced: Rig, tracer: FakeTracer) -> None:
    pushes = [{"user": "alice"}, {"user": "bob", "qos": "reliable"}, {"user": 1}, {"everyone": True}]
    response = post(traced, "/v1/push/batch", {"pushes": pushes}, **{"x-request-id": "mine"})
    assert [each["status"] for each in response.json()["results"]] == [202, 202, 400, 202]
    [call] = tracer.calls
    assert call.name == "POST /v1/push/batch"
    assert call.attributes == attributes(200, "mine", "/v1/push/batch")
    live, reliable = call.below
    assert (live.name, live.attributes["messaging.batch.message_count"], live.failed) == ("publish", 2, False)
    assert (reliable.name, reliable.failed) == ("append", False)
    assert trails_of(traced) == [Trail("mine", span.traceparent) for span in (live, live, reliable)]


@pytest.mark.parametrize("path", ["/v1/push", "/v1/push?by=litestar", "/v1/push/batch"])
def test_a_failure_of_ours_is_one_of_its_spans(traced: Rig, tracer: FakeTracer, path: str) -> None:
    traced.bus.error = BusUnavailable("away")
    body = {"user": "alice"}
    assert post(traced, path, {"pushes": [body]} if "batch" in path else body).status_code == 503
    [call] = tracer.calls
    assert call.failed
    assert [span.failed for span in call.below] == [True]


@pytest.mark.parametrize(("body", "status"), [(b"{", 400), (b'{"user":1}', 400), (b"x" * 2_000_000, 413)])
def test_a_refused_push_is_traced_and_no_failure(traced: Rig, tracer: FakeTracer, body: bytes, status: int) -> None:
    caller = traced.connect().send(request(body))
    assert caller.read()[0] == status
    caller.close()
    [call] = tracer.calls
    assert call.attributes["http.response.status_code"] == status
    assert (call.failed, call.below) == (False, [])


def test_what_is_not_sampled_is_not_followed(traced: Rig, tracer: FakeTracer) -> None:
    tracer.samples = False
    response = rig_push = traced.push(user="alice")
    assert response.status_code == 202
    assert "x-request-id" not in rig_push.headers
    assert trails_of(traced) == [None]


def test_other_calls_are_not_traced(traced: Rig, tracer: FakeTracer) -> None:
    assert traced.http.get("/v1/stats").status_code == 200
    assert traced.http.get("/healthz").status_code == 200
    assert tracer.calls == []


def test_a_call_whose_caller_has_gone_ends(traced: Rig, tracer: FakeTracer) -> None:
    traced.bus.stalling = True
    caller = traced.connect().send(request())
    traced.wait_for(lambda: bool(traced.bus.waiting))
    caller.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    caller.close()
    traced.wait_for(lambda: not traced.server._state.connections)
    traced.release()
    [call] = tracer.calls
    traced.wait_for(lambda: ended(call))


def ended(span: FakeSpan) -> bool:
    return span.failed is False and all(map(ended, span.below))


def test_at_debug_the_line_of_a_traced_call_names_its_trace(make_rig: MakeRig, tracer: FakeTracer) -> None:
    rig = make_rig(level="debug", tracer=tracer)
    with capture_logs() as logs:
        rig.push(user="alice")
        rig.http.get("/healthz")
    assert [line.get("trace_id") for line in logs] == [tracer.calls[0].trace_id, None]
