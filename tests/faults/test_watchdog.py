"""Workers are stuck, and whoever watches over them notices: the supervisor, and systemd above it."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import pushgate
from tests.rig.client import WsClient
from tests.rig.node import RunningNode, is_alive, wait_until

MakeNode = Callable[..., RunningNode]
SPINNING = Path(__file__).parent / "spinning"


@pytest.mark.parametrize(("fault", "seen"), [(signal.SIGSTOP, False), (signal.SIGUSR1, True)], ids=["stopped", "spins"])
async def test_a_stuck_worker_is_replaced(make_node: MakeNode, fault: signal.Signals, seen: bool) -> None:
    source = Path(pushgate.__file__).parents[1]
    node = make_node("--workers", "2", PUSHGATE_NODE_WATCHDOG="1", PYTHONPATH=f"{SPINNING}:{source}")
    node.start()
    users = [f"user{number}" for number in range(20)]
    clients = [await WsClient.join(node.clients_port, f"/ws?token={node.token(user)}") for user in users]
    victim, other = node.worker_pids[1], node.worker_pids[0]
    os.kill(victim, fault)
    wait_until(lambda: not is_alive(victim), "the stuck one is ended")
    wait_until(lambda: len(node.worker_pids) == 2 and node.answers_ready(), "another is there in its place")
    assert other in node.worker_pids
    metrics = node.metrics()
    assert [metrics[f'worker_watchdog_kills_total{{worker="{index}"}}'] for index in range(2)] == [0, 1]
    assert [metrics[f'worker_restarts_total{{worker="{index}"}}'] for index in range(2)] == [0, 1]
    lines = {line["event"]: line for line in node.log_lines()}
    assert (lines["a worker is stuck"]["worker"], lines["a worker is stuck"]["pid"]) == (1, victim)
    assert ("sitecustomize.py" in node.log()) == seen, "where it spun is in the log"
    for user, client in zip(users, clients, strict=True):
        try:
            await client.is_quiet()
        except (asyncio.IncompleteReadError, ConnectionError):
            await client.close()
            client = await WsClient.join(node.clients_port, f"/ws?token={node.token(user)}")
        assert node.push(user, user).status_code == 202
        assert (await client.receive())["data"] == user
    assert node.total("worker_restarts_total") == 1


async def test_a_worker_that_is_slow_is_left_alone(make_node: MakeNode) -> None:
    node = make_node("--workers", "1", PUSHGATE_NODE_WATCHDOG="3")
    node.start()
    (worker,) = node.worker_pids
    name = 'worker_ticks_total{worker="0"}'
    for _ in range(3):
        os.kill(worker, signal.SIGSTOP)
        await asyncio.sleep(1.5)
        os.kill(worker, signal.SIGCONT)
        wanted = node.metrics()[name] + 1
        wait_until(lambda wanted=wanted: node.metrics()[name] >= wanted, "it ticks again")  # type: ignore[misc]
    assert node.worker_pids == [worker]
    assert node.metrics()['worker_loop_lag_seconds{worker="0"}'] > 1


class Manager:
    """A socket as systemd has it."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))

    def hear(self, seconds: float) -> list[str]:
        """Return the lines of the next datagram; none when there is none for so long."""
        self.socket.settimeout(seconds)
        try:
            return self.socket.recv(4096).decode().split("\n")
        except TimeoutError:
            return []

    def wait_for(self, line: str) -> list[str]:
        """Return what was said up to the line that begins so."""
        said: list[str] = []
        until = time.monotonic() + 20
        while not any(each.startswith(line) for each in said):
            heard = self.hear(20)
            assert heard, f"waited in vain: {line}, after {said}"
            assert time.monotonic() < until, f"waited in vain: {line}, after {said}"
            said += heard
        return said


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(tmp_path / "notify")
    yield made
    made.socket.close()


async def test_systemd_is_told(make_node: MakeNode, manager: Manager, tmp_path: Path) -> None:
    file = tmp_path / "pushgate.toml"
    file.write_text("[tenants.acme]\n")
    node = make_node(
        *("--workers", "2", "--config", str(file)),
        NOTIFY_SOCKET=str(tmp_path / "notify"),
        WATCHDOG_USEC="1000000",
    )
    node.start()
    said = manager.wait_for("READY=1")
    assert not any(line.startswith(("RELOADING", "STOPPING")) for line in said)
    assert "STATUS=0 connections, 2 of 2 workers ready" in manager.wait_for("STATUS=0 connections, 2")
    assert b"NOTIFY_SOCKET" not in Path(f"/proc/{node.nats_pid}/environ").read_bytes()
    node.reload()
    said = manager.wait_for("RELOADING=1")
    assert said[-1].startswith("MONOTONIC_USEC=")
    manager.wait_for("READY=1")
    worker = node.worker_pids[0]
    os.kill(worker, signal.SIGSTOP)
    manager.wait_for("WATCHDOG=1")
    until = time.monotonic() + 20
    while manager.hear(2.5):  # it ends: systemd would now restart the node
        assert time.monotonic() < until, "it goes on"
    os.kill(worker, signal.SIGCONT)
    manager.wait_for("WATCHDOG=1")
    await asyncio.to_thread(node.stop)
    assert "STOPPING=1" in manager.wait_for("STOPPING=1")
