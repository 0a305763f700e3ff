"""A node that speaks TLS on both ports, whose workers hand clients on, die, stop and take on new certificates."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

import pushgate
from tests.rig.certificates import Authority, the_authority
from tests.rig.client import WsClient
from tests.rig.node import RunningNode, wait_until

MakeNode = Callable[..., RunningNode]


@pytest.fixture
def make_tls_node(make_node: MakeNode, tmp_path: Path) -> MakeNode:
    """Make nodes with two workers whose ports speak TLS, with the files one.pem and one.key."""
    certificate, key = the_authority().write(tmp_path, "one")

    def make(**environ: str) -> RunningNode:
        variables = {
            f"PUSHGATE_{section}_TLS_{name}": path
            for section in ("CLIENTS", "MANAGEMENT")
            for name, path in (("CERTIFICATE", certificate), ("KEY", key))
        }
        node = make_node("--workers", "2", **variables, **environ)
        node.trust = the_authority().trust()
        return node

    return make


async def join(node: RunningNode, user: str) -> WsClient:
    return await WsClient.join(node.clients_port, f"/ws?token={node.token(user)}", tls=the_authority().trust())


async def join_all(node: RunningNode, users: list[str]) -> dict[str, WsClient]:
    return {user: await join(node, user) for user in users}


async def is_closed(client: WsClient) -> bool:
    """Whether the server let go of a client."""
    try:
        await client.is_quiet()
    except (asyncio.IncompleteReadError, OSError):
        return True
    return False


def name_shown(client: WsClient) -> str:
    """Return whose certificate a client was shown."""
    return str(client.writer.get_extra_info("peercert")["subject"][0][0][1])


def shown_at(node: RunningNode, port: int) -> str:
    """Return whose certificate a port shows now."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=10)
    with the_authority().trust().wrap_socket(sock, server_hostname="localhost") as client:
        shown: Any = client.getpeercert()
    return str(shown["subject"][0][0][1])


async def test_clients_of_both_workers_wherever_they_were_accepted(make_tls_node: MakeNode) -> None:
    node = make_tls_node()
    node.start()
    users = [f"user{number}" for number in range(40)]
    clients = await join_all(node, users)
    metrics = node.metrics()
    assert metrics["handoffs_total"] > 5, "sessions that live in another worker than their TLS"
    assert metrics["tls_connections"] == metrics["connections"] == 40
    assert metrics["tls_handshakes_total"] == 40
    for port in ("clients", "management"):
        left = metrics[f'certificate_expiry_timestamp_seconds{{port="{port}"}}'] - time.time()
        assert abs(left - 30 * 86400) < 120
    for user in users:
        assert node.push(user, user).status_code == 202
        assert (await clients[user].receive())["data"] == user
    assert node.push(None, "x" * 400_000).status_code == 202
    for client in clients.values():
        assert (await client.receive())["data"] == "x" * 400_000
        client.send({"type": "ping", "padding": "y" * 60_000})
        assert (await client.receive())["type"] == "pong"
        await client.close()
    wait_until(lambda: node.metrics()["tls_connections"] == 0, "nobody is left")
    assert node.metrics()["connections"] == 0


async def test_a_worker_killed_takes_only_its_own_along(make_tls_node: MakeNode) -> None:
    node = make_tls_node(PUSHGATE_LIMITS_HANDSHAKES_PER_ADDRESS="0")
    node.start()
    users = [f"user{number}" for number in range(60)]
    clients = await join_all(node, users)
    os.kill(node.worker_pids[1], signal.SIGKILL)
    lost = [user for user in users if await is_closed(clients[user])]
    assert 20 < len(lost) < 60, "those whose TLS or whose session it had"
    wait_until(lambda: node.total("worker_restarts_total") == 1 and node.answers_ready(), "ready again")
    clients |= await join_all(node, lost)
    for user in users:
        assert node.push(user, user).status_code == 202
        assert (await clients[user].receive())["data"] == user
    metrics = node.metrics()
    assert metrics["tls_connections"] == metrics["connections"] == 60


async def test_a_drain_sends_every_client_away(make_tls_node: MakeNode) -> None:
    node = make_tls_node(PUSHGATE_NODE_DRAIN="2")
    node.start()
    clients = list((await join_all(node, [f"user{number}" for number in range(30)])).values())
    with socket.create_connection(("127.0.0.1", node.clients_port)) as early:  # in its handshake, for ever
        early.send(b"\x16\x03\x01")
        began = time.monotonic()
        stopping = asyncio.create_task(asyncio.to_thread(node.stop))
        for client in clients:
            assert (await client.receive())["type"] == "reconnect"
            assert (await client.receive_close())[0] == 4000
            await client.close()
        await stopping
    assert 1.5 < time.monotonic() - began < 8


async def test_a_stop_tells_every_client(make_tls_node: MakeNode) -> None:
    node = make_tls_node(PUSHGATE_NODE_STOP_GRACE="5")
    node.start()
    clients = list((await join_all(node, [f"user{number}" for number in range(30)])).values())
    slow = clients[0]
    slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
    for number in range(10):
        assert node.push("user0", f"{number}" * 100_000).status_code == 202
    with socket.create_connection(("127.0.0.1", node.clients_port)) as early:  # in its handshake, for ever
        early.send(b"\x16\x03\x01")
        began = time.monotonic()
        stopping = asyncio.create_task(asyncio.to_thread(node.stop))
        for client in clients[1:]:
            assert (await client.receive())["type"] == "reconnect"
            assert (await client.receive_close())[0] == 4000
            await client.close()
        slow.writer.transport.resume_reading()  # type: ignore[attr-defined]
        for number in range(10):
            assert (await slow.receive())["data"] == f"{number}" * 100_000
        assert (await slow.receive())["type"] == "reconnect"
        assert (await slow.receive_close())[0] == 4000
        await slow.close()
        await stopping
    assert time.monotonic() - began < 5


async def test_a_client_that_ignores_the_end_does_not_keep_a_node_from_stopping(make_tls_node: MakeNode) -> None:
    node = make_tls_node()
    node.start()
    clients = [await join(node, f"user{number}") for number in range(4)]
    for client in clients:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    began = time.monotonic()
    await asyncio.to_thread(node.stop)
    assert time.monotonic() - began < 6
    for client in clients:
        client.writer.transport.abort()


async def test_a_reload_changes_certificates_without_a_dropped_connection(
    make_tls_node: MakeNode, tmp_path: Path
) -> None:
    node = make_tls_node()
    node.start()
    old = await join_all(node, [f"user{number}" for number in range(20)])
    await asyncio.to_thread(node.push, "user0")  # a connection of the API too
    expiry = 'certificate_expiry_timestamp_seconds{port="clients"}'
    before = node.metrics()[expiry]
    for suffix, content in zip((".pem", ".key"), the_authority().sign("two", until=60), strict=True):
        (tmp_path / "one").with_suffix(suffix).write_bytes(content)
    node.reload()
    wait_until(lambda: node.metrics()[expiry] > before + 20 * 86400, "the reload is done")
    for port in (node.clients_port, node.management_port):
        wait_until(lambda port=port: all(shown_at(node, port) == "two" for _ in range(10)), "every worker has it")  # type: ignore[misc]
    (changed,) = (line for line in node.log_lines() if line["event"] == "certificates changed")
    assert changed["ports"] == ["clients", "management"]
    new = await join(node, "new")
    assert name_shown(new) == "two"
    assert (await old["user0"].receive())["data"] == "hi"
    for user, client in old.items():
        assert name_shown(client) == "one"
        assert node.push(user, user).status_code == 202
        assert (await client.receive())["data"] == user

    # A botched change on disk is refused as a whole, and a worker started later has what was checked.
    (tmp_path / "one.key").write_bytes(the_authority().sign("three")[1])
    node.reload()
    failed = 'config_reloads_total{result="failed"}'
    wait_until(lambda: node.metrics()[failed] == 1, "the reload is refused")
    assert f"expected the key of the first certificate in '{tmp_path / 'one.pem'}'" in node.log()
    os.kill(node.worker_pids[0], signal.SIGKILL)
    wait_until(lambda: node.total("worker_restarts_total") == 1 and node.answers_ready(), "a worker is new")
    for _ in range(10):
        assert shown_at(node, node.clients_port) == "two"


@pytest.mark.parametrize(
    ("variable", "error"),
    [("KEY", "clients.tls_key: expected the path"), ("CERTIFICATE", "clients.tls_certificate: expected a readable")],
)
async def test_what_keeps_a_node_from_starting(make_tls_node: MakeNode, variable: str, error: str) -> None:
    node = make_tls_node()
    node._environ[f"PUSHGATE_CLIENTS_TLS_{variable}"] = "" if variable == "KEY" else "/no/such/file"
    assert node.launch().wait(20) == 2
    assert error in node.log()
    assert "Traceback" not in node.log()


def test_commands_over_tls_with_a_certificate_of_their_own(make_tls_node: MakeNode, tmp_path: Path) -> None:
    ours = Authority("ours")
    (tmp_path / "callers.pem").write_bytes(ours.pem)
    (tmp_path / "ca.pem").write_bytes(the_authority().pem)
    (tmp_path / "caller.pem").write_bytes(b"".join(ours.sign("caller")))
    node = make_tls_node(PUSHGATE_MANAGEMENT_TLS_CLIENT_CA=str(tmp_path / "callers.pem"))
    assert node.trust is not None
    node.trust.load_cert_chain(tmp_path / "caller.pem")
    node.start()
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{node.api}/healthz", verify=the_authority().trust())
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PUSHGATE_")}
    environ |= {
        "PYTHONPATH": str(Path(pushgate.__file__).parents[1]),
        "PUSHGATE_API_KEY": node.key,
        "PUSHGATE_CA": str(tmp_path / "ca.pem"),
        "PUSHGATE_CERT": str(tmp_path / "caller.pem"),
    }
    command = (sys.executable, "-m", "pushgate")
    url = ("--url", node.url.replace("ws:", "wss:"))
    with subprocess.Popen(
        (*command, "listen", "alice", "--count", "1", "--api", node.api, *url),
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as listening:
        wait_until(lambda: node.metrics()["connections"] == 1, "it listens")
        subprocess.run((*command, "push", "alice", "hello", "--api", node.api), env=environ, check=True)
        out, _ = listening.communicate(timeout=20)
    assert json.loads(out)["data"] == "hello"
    shown = subprocess.run(
        (*command, "status", "--api", node.api, "--json"), env=environ, check=True, capture_output=True
    )
    assert json.loads(shown.stdout)["not_ready"] == ""
    environ.pop("PUSHGATE_CA")
    refused = subprocess.run(
        (*command, "push", "alice", "x", "--api", node.api), env=environ, capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1
    assert "certificate verify failed" in refused.stderr


def test_the_page_and_the_words_say_tls(tmp_path: Path) -> None:
    """Addresses to open and to paste are those of TLS."""
    from pushgate.config import ClientsConfig, Config, ManagementConfig
    from pushgate.node.banner import _describe

    addresses = ("127.0.0.1", 8000), ("127.0.0.1", 8001)
    plain = _describe(*addresses, "key", Config())
    assert "ws://127.0.0.1:8000/ws" in plain
    assert "https" not in plain
    tls = Config(
        clients=ClientsConfig(tls_certificate="c"), management=ManagementConfig(tls_certificate="c", demo=True)
    )
    said = _describe(*addresses, "key", tls)
    assert "wss://127.0.0.1:8000/ws" in said
    assert "https://127.0.0.1:8001/demo" in said
    assert "curl https://127.0.0.1:8001/v1/push" in said
    assert "http://" not in said
