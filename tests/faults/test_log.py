"""What a node logs in a busy life: it names nobody. All that strangers, callers and operators give it is marked."""

import asyncio
import json
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from pushgate.tenants.registry import hash_api_key
from tests.rig.client import BINARY, TEXT, Refused, WsClient
from tests.rig.events import EventStream
from tests.rig.node import RunningNode, is_alive, wait_until

MakeNode = Callable[..., RunningNode]

MARK = "mrk7"
SECRET = f"{MARK}-secret-of-the-tokens-of-the-tenant"
KEY = f"{MARK}-api-key"
USER = f"{MARK}-user"
ID = "order-7"
"""The id of messages, which is shown at debug and nowhere else."""

FILE = f"""
[tenants.acme]
api_keys = ["{hash_api_key(KEY)}"]
[[tenants.acme.token_keys]]
algorithm = "HS256"
secret = "{SECRET}"
"""
WRONG = [
    FILE.replace(SECRET, f"{MARK}-short"),
    FILE.replace(hash_api_key(KEY), KEY),
    FILE + f'[bus]\nurl = "pigeon://{MARK}:{MARK}@host"\n',
    FILE + "[limits]\nconnections = -1\n",
]


def token(user: str = USER, secret: str = SECRET, **claims: Any) -> str:
    payload = {"sub": user, "tenant": "acme", "exp": int(time.time()) + 60, "tags": [f"{MARK}-tag"], **claims}
    return jwt.encode(payload, secret, "HS256")


def call(node: RunningNode, method: str, path: str, body: Any = None, key: str = KEY) -> int:
    headers = {"Authorization": f"Bearer {key}", "User-Agent": f"{MARK}-agent"}
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers["Content-Type"] = "application/json"
    headers |= {"traceparent": f"00-{MARK}", "tracestate": f"{MARK}={MARK}", "cookie": f"key={MARK}"}
    return httpx.request(method, node.api + path, content=content, headers=headers, timeout=10).status_code


async def connect(node: RunningNode, given: str, query: str = "", first: dict[str, Any] | None = None) -> None:
    """Try to connect with whatever it is, and read to the end of it."""
    try:
        client = await WsClient.open(node.clients_port, f"/ws?token={given}{query}" if given else "/ws")
    except Refused:
        return
    if first:
        client.send(first)
    assert (await client.receive_close())[0] >= 4500


async def live(node: RunningNode) -> None:
    """Do all that clients and callers may do, well and badly."""
    joined = await WsClient.join(node.clients_port, f"/ws?token={token()}&device={MARK}-device")
    packed = await WsClient.join(node.clients_port, f"/ws?token={token()}", protocol="pushgate.v1.msgpack")
    stream = await EventStream.join(node.clients_port, f"/sse?token={token()}&device={MARK}-browser")
    target = {"user": USER, "event": f"{MARK}-event", "id": ID}
    for body in ({"data": f"{MARK}-data"}, {"data": {f"{MARK}-field": 1}}, {"data_base64": "bXJrNw=="}):
        assert call(node, "POST", "/v1/push", {**target, **body}) == 202
        for client in (joined, packed, stream):
            assert (await client.receive())["type"] == "message"
    reliable = {**target, "id": f"{ID}-{time.time_ns()}", "qos": "reliable", "collapse": f"{MARK}-key", "data": MARK}
    for path in (f"/v1/push?key={KEY}", "/v1/push/batch"):
        many = {"pushes": [{**reliable, "id": f"{ID}-{time.time_ns()}"}]}
        assert call(node, "POST", path, many if "batch" in path else reliable) in (200, 202)
        for client in (joined, packed, stream):
            message = await client.receive()
    ack = json.dumps({"session": stream.session, "offset": message["offset"]}).encode()
    posted = f"http://127.0.0.1:{node.clients_port}/ack?token="
    assert httpx.post(posted + token(), content=ack, timeout=10).status_code == 204
    assert httpx.post(f"{posted}{MARK}.b.c", content=ack, timeout=10).status_code == 401
    assert call(node, "POST", "/v1/push", {"everyone": True, "data": MARK, "tags": [f"{MARK}-tag"]}) == 202
    assert call(node, "POST", "/v1/push", {**target, "data": 1}, key=f"{MARK}-wrong-key") == 401
    for wrong in (b"{" + MARK.encode(), b'{"user": "%b", "%b": 1}' % (USER.encode(), MARK.encode())):
        assert call(node, "POST", "/v1/push", wrong) == 400
    assert call(node, "POST", "/v1/push", {**target, "data": MARK * 500_000}) == 413
    assert call(node, "POST", "/v1/tokens", {"user": USER, "ttl": 60}) == 200
    assert call(node, "GET", f"/v1/{MARK}?{MARK}={MARK}") == 404
    call(node, "GET", f"/v1/users/{USER}")
    call(node, "DELETE", f"/v1/users/{USER}/sessions")
    with socket.create_connection(("127.0.0.1", node.management_port)) as raw:
        raw.sendall(f"GET /{MARK} {MARK}\r\n\r\n".encode())
        raw.recv(100)

    await connect(node, token(secret=f"{MARK}-wrong-secret-that-is-long-enough"))
    await connect(node, token(exp=1))
    await connect(node, token(tenant=f"{MARK}-tenant"))
    await connect(node, f"{MARK}.{MARK}.{MARK}")
    await connect(node, token(), query=f"&token={MARK}")
    await connect(node, "", first={"type": "connect", "token": f"{MARK}.b.c"})
    await connect(node, "", first={"type": f"{MARK}"})
    for opcode, payload in (
        (TEXT, MARK.encode()),
        (TEXT, b"\xff" + MARK.encode()),
        (BINARY, MARK.encode()),
        (11, MARK.encode()),
    ):
        client = await WsClient.join(node.clients_port, f"/ws?token={token()}")
        client.send({"type": "refresh", "token": f"{MARK}.b.c"})
        client.send({"type": "ack", "offset": MARK})
        client.send_frame(opcode, payload)
        await client.receive_close()


def reloads(node: RunningNode, result: str) -> float:
    return node.metrics()[f'config_reloads_total{{result="{result}"}}']


@pytest.mark.parametrize("level", ["info", "debug"])
async def test_a_log_names_nobody(make_node: MakeNode, tmp_path: Path, level: str) -> None:
    file = tmp_path / "pushgate.toml"
    file.write_text(FILE)
    node = make_node("--workers", "2", "--config", str(file), "--log-level", level)
    node.start()
    await live(node)
    os.kill(node.worker_pids[0], signal.SIGKILL)
    wait_until(lambda: node.total("worker_restarts_total") == 1 and node.answers_ready(), "the worker is replaced")
    old = node.nats_pid
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: node.nats_pid != old and is_alive(node.nats_pid), "the server is replaced")
    wait_until(lambda: node.metrics()["bus_connected_workers"] == 2, "the bus is back")
    for number, wrong in enumerate(WRONG, 1):
        file.write_text(wrong)
        node.reload()
        wait_until(lambda number=number: reloads(node, "failed") == number, "it is refused")  # type: ignore[misc]
    file.write_text(FILE + FILE.replace("acme", "other").replace(hash_api_key(KEY), hash_api_key("x")))
    node.reload()
    wait_until(lambda: reloads(node, "done") == 1, "it is taken on")
    await live(node)
    await asyncio.to_thread(node.stop)

    text = node.log()
    password = (node.data_dir / "nats" / "password").read_text()
    for marked in (MARK, "bXJrNw", password, *(hash_api_key(key)[7:20] for key in (KEY, "x")), "eyJ"):
        assert marked not in text, [line for line in text.splitlines() if marked in line]
    lines = [json.loads(line) for line in text.splitlines()]
    for line in lines:
        assert {"timestamp", "level", "event", "part"} <= line.keys()
        assert line["part"] != "bus" or line["worker"] in (0, 1), "a worker's lines say whose they are"
        assert "exception" not in line
    events = [line["event"] for line in lines]
    for event in (
        "bus connected",
        "a worker is ready",
        "ready",
        "a worker ended",
        "bus away",
        "nats-server ended",
        "the configuration is wrong: the one before stays",
        "configuration reloaded",
        "stopping",
        "stopped",
    ):
        assert event in events
    assert ("a worker is started" in events) == (level == "debug")
    assert ("request" in events) == (level == "debug"), "of the API, and only there a line a request"
    assert ("delivered" in events) == (level == "debug"), "and a line for each worker that delivers what it pushed"
    assert (ID in text) == (level == "debug")
    others = len(lines) - sum(events.count(asked) for asked in ("request", "delivered", "delivered from the inbox"))
    assert others < 60, "a line an event in the life of the node, none a connection or a message"
