"""A push followed over two nodes: its trace, as a collector has it, and its lines in the logs."""

import asyncio
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.collector import Collected, FakeCollector
from tests.fakes.nats import RealNats
from tests.rig.client import WsClient
from tests.rig.node import RunningNode, wait_until

MakeNode = Callable[..., RunningNode]
CALLER = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
SECRET = "s3cret-of-the-collector"
UID = "followed-user"


@pytest.fixture
def collector() -> Iterator[FakeCollector]:
    with closing(FakeCollector()) as collector:
        yield collector


def push(node: RunningNode, request_id: str, path: str = "/v1/push", **body: Any) -> None:
    headers = {"authorization": f"Bearer {node.key}", "x-request-id": request_id}
    headers["traceparent"] = f"00-{CALLER}-{SPAN}-01"
    response = httpx.post(f"{node.api}{path}", json=body, headers=headers, timeout=10)
    assert response.status_code in (200, 202), response.text


def lines_of(node: RunningNode, request_id: str) -> list[dict[str, Any]]:
    return [line for line in node.log_lines() if line.get("request_id") == request_id]


def told(node: RunningNode, request_id: str) -> list[tuple[str, Any]]:
    """Return what a node's log says of a request: events, with a status or the number of connections."""
    lines = lines_of(node, request_id)
    return sorted((line["event"], line.get("status", line.get("connections"))) for line in lines)


async def follow(first: RunningNode, second: RunningNode) -> None:
    """Push in all ways through the first node, and find each of them in both logs."""
    here = await WsClient.join(first.clients_port, f"/ws?token={first.token(UID)}")
    there = [await WsClient.join(second.clients_port, f"/ws?token={second.token(UID)}") for _ in range(2)]
    device = f"/ws?token={second.token(UID)}&device=phone"
    phone = await WsClient.join(second.clients_port, device)

    async def receive(*clients: WsClient) -> None:
        for client in clients:
            assert (await client.receive())["type"] == "message"

    def expect(request_id: str, on_first: list[tuple[str, Any]], on_second: list[tuple[str, Any]]) -> None:
        wait_until(lambda: told(first, request_id) == on_first, f"{request_id}: {told(first, request_id)}")
        wait_until(lambda: told(second, request_id) == on_second, f"{request_id}: {told(second, request_id)}")

    push(first, "live", user=UID, id="m1", data=1)
    await receive(here, *there, phone)
    expect("live", [("delivered", 1), ("request", 202)], [("delivered", 3)])

    push(first, "all", everyone=True, id="m2", data=2)
    await receive(here, *there, phone)
    expect("all", [("delivered", 0), ("delivered", 1), ("request", 202)], [("delivered", 3)])

    push(first, "reliable", user=UID, id="m3", qos="reliable", data=3)
    await receive(here, *there)
    taken = await phone.receive()
    expect("reliable", [("delivered", 1), ("request", 202)], [("delivered", 3)])
    phone.send({"type": "ack", "offset": taken["offset"]})
    wait_until(lambda: second.total("acknowledgements_total") == 1, "it is acknowledged")
    phone.writer.close()
    await phone.writer.wait_closed()
    wait_until(lambda: second.metrics()["connections"] == 2, "the phone is away")

    pushes = [{"user": UID, "id": "m4", "qos": "reliable", "data": 4}, {"user": UID, "id": "m5", "data": 5}]
    push(first, "batch", "/v1/push/batch", pushes=pushes)
    await receive(here, *there, here, *there)
    phone = await WsClient.join(second.clients_port, device)
    await receive(phone)
    expect(
        "batch",
        [("delivered", 1), ("delivered", 1), ("request", 200)],
        [("delivered", 2), ("delivered", 2), ("delivered from the inbox", None)],
    )
    late = [line for line in lines_of(second, "batch") if line["event"] == "delivered from the inbox"]
    assert [(line["id"], line["offset"] > taken["offset"], line["node"]) for line in late] == [("m4", True, "second")]


async def test_a_push_over_two_nodes_is_one_trace_and_in_both_logs(
    make_node: MakeNode, tmp_path: Path, collector: FakeCollector
) -> None:
    with closing(RealNats(tmp_path / "nats")) as nats:
        environ = {
            "PUSHGATE_BUS_URL": nats.url,
            "PUSHGATE_LOG_LEVEL": "debug",
            "PUSHGATE_TRACING_ENDPOINT": f"{collector.url}/v1/traces",
            "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{SECRET}",
        }
        first = make_node("--workers", "2", PUSHGATE_NODE_NAME="first", **environ)
        second = make_node("--workers", "1", PUSHGATE_NODE_NAME="second", **environ)
        first.start()
        second.data_dir.mkdir()
        shutil.copy(first.data_dir / "keys.json", second.data_dir)
        second.start()
        assert len(os.listdir(f"/proc/{first.pid}/task")) == 1, "the supervisor forks, and so has no thread"
        await follow(first, second)
        httpx.post(f"{first.api}/v1/push?key={SECRET}", json={"user": UID}, timeout=10)
        for node in (first, second):
            await asyncio.to_thread(node.stop)  # with what was recorded just now

    spans = collector.spans
    assert collector.headers[0]["authorization"] == f"Bearer {SECRET}"
    assert {span.trace for span in spans if span.attributes.get("http.response.status_code") != 401} == {CALLER}
    for request_id, sent, delivered in (
        ("live", ["publish"], [("first", 1), ("second", 3)]),
        ("all", ["publish"], [("first", 0), ("first", 1), ("second", 3)]),
        ("reliable", ["append"], [("first", 1), ("second", 3)]),
        ("batch", ["append", "publish"], [("first", 1), ("first", 1), ("second", 2), ("second", 2)]),
    ):
        [call] = [span for span in spans if span.attributes.get("pushgate.request.id") == request_id]
        assert (call.kind, call.parent, call.process["pushgate.node"]) == ("server", SPAN, "first")
        sendings = below(spans, call)
        assert sorted(span.name for span in sendings) == sent
        deliveries = [each for sending in sendings for each in below(spans, sending)]
        assert {(each.name, each.kind) for each in deliveries} == {("deliver", "consumer")}
        counts = [(each.process["pushgate.node"], each.attributes["pushgate.connections"]) for each in deliveries]
        assert sorted(counts) == delivered, request_id
        assert all(call.start <= each.start <= each.end for each in (*sendings, *deliveries))
    assert {span.process["service.instance.id"] for span in spans} == {"first/0", "first/1", "second/0"}
    for given in (SECRET, UID, first.key, "eyJ"):
        assert given not in first.log() + second.log()
        assert not any(given.encode() in body for body in collector.bodies)


def below(spans: list[Collected], span: Collected) -> list[Collected]:
    return [each for each in spans if each.parent == span.id]


async def test_a_collector_that_is_not_there_is_no_matter(make_node: MakeNode, collector: FakeCollector) -> None:
    node = make_node("--workers", "1", PUSHGATE_TRACING_ENDPOINT=collector.url, OTEL_BSP_SCHEDULE_DELAY="20")
    collector.close()
    node.start()
    for _ in range(20):
        assert node.push("alice").status_code == 202
    began = time.monotonic()
    node.stop()
    assert time.monotonic() - began < 10
    events = [line["event"] for line in node.log_lines() if line["part"] == "tracing"]
    assert events in ([], ["spans are lost: the collector takes none"]), "once, or not within this time"
    assert "exception" not in node.log()
