"""A node is upgraded while clients are connected and all push: nobody is closed, nothing lost, nothing comes twice."""

import asyncio
import json
import os
import signal
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

import pushgate
from pushgate.errors import StartError
from pushgate.node.commands import ask_upgrade
from tests.faults.reliable_fleet import Fleet
from tests.rig.certificates import the_authority
from tests.rig.client import TEXT, WsClient, mask_frame
from tests.rig.node import RunningNode, read_metrics, wait_until

MakeNode = Callable[..., RunningNode]

SEED = 7
USERS = 30


class Listener:
    """A connection without a device that keeps what it gets; `live` are the numbers that were pushed live to it."""

    def __init__(self, client: WsClient) -> None:
        self.client = client
        self.live: list[int] = []
        self.everyone: list[int] = []
        self.reliable = 0
        self._task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        self.client.patience = 60
        while True:
            message = await self.client.receive()
            if message["event"] == "live":
                self.live.append(message["data"])
            elif message["event"] == "everyone":
                self.everyone.append(message["data"])
            else:
                self.reliable += 1

    async def end(self) -> None:
        assert not self._task.done(), self._task.exception()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


class Pusher:
    """Pushes a number live, to one user after the other on a connection that is kept, for as long as it is not told."""

    def __init__(self, node: RunningNode, event: str, users: list[str] | None, pause: float) -> None:
        self.accepted: dict[str, list[int]] = {user: [] for user in users or [""]}
        self._node = node
        self._event = event
        self._pause = pause
        self._stopped = asyncio.Event()
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        number = 0
        headers = {"Authorization": f"Bearer {self._node.key}"}
        async with httpx.AsyncClient(base_url=self._node.api, headers=headers, timeout=20) as http:
            while not self._stopped.is_set():
                for user, numbers in self.accepted.items():
                    number += 1
                    target = {"user": user} if user else {"everyone": True}
                    answer = await http.post("/v1/push", json={**target, "event": self._event, "data": number})
                    assert answer.status_code == 202, answer.text
                    numbers.append(number)
                    await asyncio.sleep(self._pause)

    async def stop(self) -> None:
        self._stopped.set()
        await self.task


def counters(metrics: dict[str, float]) -> dict[str, float]:
    kinds = ("_total", "_count", "_sum", "_bucket")
    return {name: value for name, value in metrics.items() if name.partition("{")[0].endswith(kinds)}


async def watch_counters(node: RunningNode, stopped: asyncio.Event) -> int:
    """Scrape all the time, of new processes and by a connection that is kept; fails when a counter falls. Returns how
    many scrapes it were."""
    before: dict[str, float] = {}
    scrapes = 0
    async with httpx.AsyncClient(base_url=node.api, timeout=10) as kept:
        while not stopped.is_set():
            for text in (await asyncio.to_thread(node.scrape), (await kept.get("/metrics")).text):
                now = counters(read_metrics(text))
                fallen = {name: (old, now[name]) for name, old in before.items() if name in now and now[name] < old}
                assert not fallen
                before = now
                scrapes += 1
            await asyncio.sleep(0.02)
    return scrapes


@contextmanager
def cpus(node: RunningNode, count: int) -> Iterator[None]:
    """Let the node, and the one that takes its place, see so many CPUs: the workers that it has without a setting."""
    ours = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(node.pid, set(ours[:count]))
    yield
    os.sched_setaffinity(node.pid, ours)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one CPU: the number of workers cannot change")
async def test_an_upgrade_drops_nobody_loses_nothing_and_doubles_nothing(make_node: MakeNode) -> None:
    node = make_node(PUSHGATE_LIMITS_HANDSHAKES_PER_ADDRESS="0")
    node.start()
    fleet = Fleet([node], 40, 8, SEED, pause=0.05)
    fleet.keep_connections()
    users = [f"watcher{number}" for number in range(USERS)]
    stopped = asyncio.Event()
    try:
        await fleet.start()
        await fleet.goes_on()
        clients = {user: await WsClient.join(node.clients_port, f"/ws?token={node.token(user)}") for user in users}
        listeners = {user: Listener(client) for user, client in clients.items()}
        pushers = [
            Pusher(node, "live", users[:15], 0.001),
            Pusher(node, "live", users[15:], 0.001),
            Pusher(node, "everyone", None, 0.01),
        ]
        scrapes = asyncio.create_task(watch_counters(node, stopped))
        for count in (1, 2, 2):
            with cpus(node, count):
                said = await asyncio.to_thread(node.upgrade)
            assert said.returncode == 0, said.stderr + node.log()
            assert len(node.worker_pids) == count
            await fleet.goes_on()
        for pusher in pushers:
            await pusher.stop()
        stopped.set()
        assert await scrapes > 20
        wrong = await fleet.finish()
        *_, everyone = pushers
        for pusher in pushers[:2]:
            for user, numbers in pusher.accepted.items():
                assert listeners[user].live == numbers
        for listener in listeners.values():
            assert listener.everyone == everyone.accepted[""]
            await listener.end()
        sessions = {user: await find_sessions(node, user) for user in users}
        assert sessions == {user: [clients[user].welcome["session"]] for user in users}
    finally:
        await fleet.stop()
    print(fleet.tell())
    assert wrong == [], "\n".join(wrong)
    for device in fleet.devices:
        assert len(device.welcomes) == 1
        assert device.duplicates == 0
        assert not device.closes


async def find_sessions(node: RunningNode, user: str) -> list[str]:
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {node.key}"}) as http:
        answer = (await http.get(f"{node.api}/v1/users/{user}")).json()
    return [session["session"] for session in answer["sessions"]]


async def test_half_a_frame_goes_along_and_so_does_what_a_client_has_not_read(make_node: MakeNode) -> None:
    node = make_node("--workers", "2")
    node.start()
    client = await WsClient.join(node.clients_port, f"/ws?token={node.token('alice')}")
    ping = mask_frame(TEXT, json.dumps({"type": "ping", "padding": "x" * 5000}).encode())
    client.writer.write(ping[:3000])
    slow = await WsClient.join(node.clients_port, f"/ws?token={node.token('bob')}")
    slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
    large = "y" * 200_000
    pushed = 0
    while node.total("write_buffer_bytes") < 300_000:
        assert node.push("bob", large).status_code == 202
        pushed += 1
    before = node.total("write_buffer_bytes")
    said = await asyncio.to_thread(node.upgrade)
    assert said.returncode == 0, said.stderr
    assert node.total("write_buffer_bytes") == before
    client.writer.write(ping[3000:])
    assert (await client.receive())["type"] == "pong"
    slow.writer.transport.resume_reading()  # type: ignore[attr-defined]
    for _ in range(pushed):
        assert (await slow.receive())["data"] == large
    assert node.total("write_buffer_bytes") == 0


async def test_a_handshake_under_way_comes_to_its_end(make_node: MakeNode) -> None:
    node = make_node("--workers", "2")
    node.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", node.clients_port)
    request = (
        f"GET /ws?token={node.token('alice')} HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()
    writer.write(request[:40])
    upgrade = asyncio.create_task(asyncio.to_thread(node.upgrade))
    await asyncio.to_thread(wait_until, lambda: "handed over" in node.log(), "sessions are handed over")
    writer.write(request[40:])
    async with asyncio.timeout(10):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
        welcome = await reader.readuntil(b'"spread":')
    assert b'"user":"alice"' in welcome
    assert (await upgrade).returncode == 0
    assert node.push("alice", "still here").status_code == 202
    async with asyncio.timeout(10):
        await reader.readuntil(b"still here")
    writer.close()


def break_keys(node: RunningNode) -> "subprocess.CompletedProcess[str]":
    keys = node.data_dir / "keys.json"
    right = keys.read_text()
    keys.write_text("{}")
    try:
        return node.upgrade()
    finally:
        keys.write_text(right)


def break_program(node: RunningNode) -> "subprocess.CompletedProcess[str]":
    package = node.data_dir.parent / "pushgate.py"  # found before the installed one: it is where the node was started
    package.write_text("raise SystemExit(3)\n")
    try:
        return node.upgrade()
    finally:
        package.unlink()


def kill_successor(node: RunningNode) -> "subprocess.CompletedProcess[str]":
    def kill() -> bool:
        for line in node.log().splitlines():
            if step in line:
                os.kill(json.loads(line)["new"], signal.SIGKILL)
                return True
        return False

    step = "version " + pushgate.__version__ + " starts its workers"
    killer = threading.Thread(target=wait_until, args=(kill, "the new supervisor is killed"))
    killer.start()
    said = node.upgrade()
    killer.join()
    return said


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (break_keys, "keys.json is damaged"),
        (break_program, "ended with status 3"),
        (kill_successor, "ended by signal 9"),
    ],
)
async def test_what_fails_before_the_first_session_leaves_the_node_as_it_was(
    make_node: MakeNode, fault: Callable[[RunningNode], "subprocess.CompletedProcess[str]"], reason: str
) -> None:
    node = make_node("--workers", "2", PUSHGATE_LIMITS_HANDSHAKES_PER_ADDRESS="0")
    node.start()
    client = await WsClient.join(node.clients_port, f"/ws?token={node.token('alice')}&device=phone")
    workers, nats = node.worker_pids, node.nats_pid
    said = await asyncio.to_thread(fault, node)
    assert said.returncode == 1
    assert reason in said.stderr
    wait_until(lambda: node.worker_pids == workers, "the workers are as they were, and nobody else is there")
    assert node.answers_ready()
    assert node.total("upgrading") == 0
    assert node.push("alice", "still here", qos="reliable").status_code == 202
    message = await client.receive()
    assert message["data"] == "still here"
    client.send({"type": "ack", "offset": message["offset"]})  # on a busy machine it would be sent again
    fine = await asyncio.to_thread(node.upgrade)
    assert fine.returncode == 0, fine.stderr
    assert node.nats_pid == nats
    assert node.push("alice", "and here", qos="reliable").status_code == 202
    assert (await client.receive())["data"] == "and here"


async def test_a_second_upgrade_meanwhile_is_refused_and_does_no_harm(make_node: MakeNode) -> None:
    node = make_node("--workers", "2")
    node.start()
    client = await WsClient.join(node.clients_port, f"/ws?token={node.token('alice')}")
    old = node.pid
    first = asyncio.create_task(asyncio.to_thread(node.upgrade))
    await asyncio.to_thread(wait_until, lambda: "the new program starts" in node.log(), "it is under way")
    assert node.total("upgrading") == 1
    os.kill(old, signal.SIGUSR2)
    await asyncio.to_thread(
        wait_until, lambda: "it is being upgraded already" in node.log(), "the second one is refused"
    )
    await asyncio.to_thread(wait_until, lambda: "handed over" in node.log(), "the first one goes on")
    assert (await first).returncode == 0
    assert node.push("alice", "still here").status_code == 202
    assert (await client.receive())["data"] == "still here"
    await asyncio.to_thread(wait_until, lambda: node.total("upgrading") == 0, "the old processes have ended")


async def test_who_speaks_tls_with_the_gateway_is_sent_away_and_comes_back(make_node: MakeNode, tmp_path: Path) -> None:
    authority = the_authority()
    certificate, key = authority.write(tmp_path, "one")
    node = make_node("--workers", "2", PUSHGATE_CLIENTS_TLS_CERTIFICATE=certificate, PUSHGATE_CLIENTS_TLS_KEY=key)
    node.start()
    trust = ssl.create_default_context(cadata=authority.pem.decode())
    path = f"/ws?token={node.token('alice')}"
    client = await WsClient.join(node.clients_port, path, host="127.0.0.1", tls=trust)
    upgrade = asyncio.create_task(asyncio.to_thread(node.upgrade))
    reconnect = await client.receive()
    assert reconnect["type"] == "reconnect"
    assert (await client.receive_close())[0] == 4000
    await client.close()
    said = await upgrade
    assert said.returncode == 0, said.stderr
    again = await WsClient.join(node.clients_port, path, host="127.0.0.1", tls=trust)
    assert node.push("alice", "here").status_code == 202
    assert (await again.receive())["data"] == "here"


def test_nobody_runs_there(tmp_path: Path) -> None:
    (tmp_path / "node.lock").write_text(f"{os.getpid()}\n")
    with pytest.raises(StartError, match="no node runs there"):
        next(ask_upgrade(tmp_path))
