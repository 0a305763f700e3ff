"""A node is drained: its clients go to another one evenly, nothing reliable is lost, and nothing holds it up."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import pushgate
from tests.fakes.nats import PlainNats, freeze
from tests.faults.test_processes import MakeNode, join_all
from tests.rig.client import WsClient
from tests.rig.node import RunningNode, is_alive, wait_until


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[PlainNats]:
    server = PlainNats(tmp_path / "nats", f'jetstream {{ store_dir: "{tmp_path}/streams" }}')
    yield server
    server.close()


def drain(node: RunningNode, over: str, *options: str) -> "subprocess.Popen[str]":
    """Start the command as an operator does."""
    command = [sys.executable, "-m", "pushgate", "drain", "--over", over, "--data-dir", str(node.data_dir), *options]
    environ = {**os.environ, "PYTHONPATH": str(Path(pushgate.__file__).parents[1])}
    return subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


async def end_of(command: "subprocess.Popen[str]") -> tuple[int, str, str]:
    out, err = await asyncio.to_thread(command.communicate, timeout=60)
    return command.returncode, out, err


async def leave(client: WsClient, began: float) -> tuple[float, float]:
    """Follow a client until it is sent away; returns when that was, and after how long it is to come back."""
    after = -1.0
    client.patience = 60
    while after < 0:
        said = await client.receive()
        if said["type"] == "reconnect":
            after = said["after"]
    left = time.monotonic() - began
    assert (await client.receive_close())[0] == 4000
    await client.close()
    return left, after


def why_not_ready(node: RunningNode) -> str:
    answer = httpx.get(f"{node.api}/readyz", timeout=5)
    return "" if answer.status_code == 200 else str(answer.json()["detail"])


@pytest.mark.alone
async def test_clients_leave_evenly_and_the_node_ends(make_node: MakeNode) -> None:
    node = make_node("--workers", "2", PUSHGATE_LIMITS_HANDSHAKES_PER_ADDRESS="0")
    node.start()
    clients = await join_all(node, [f"user{number}" for number in range(60)])
    nats = node.nats_pid
    began = time.monotonic()
    command = drain(node, "4s", "--json")
    leaving = [asyncio.create_task(leave(client, began)) for client in clients.values()]
    await asyncio.to_thread(wait_until, lambda: node.total("draining") == 1, "draining")
    assert why_not_ready(node) == "the node is drained"
    with pytest.raises(ConnectionError):
        await WsClient.open(node.clients_port)
    assert node.push("user3", "still").status_code == 202, "the API is answered"
    left = sorted([when for when, _ in await asyncio.gather(*leaving)])
    start = left[0]  # the command has to start first
    quarters = [sum(1 for when in left if quarter <= when - start < quarter + 1) for quarter in range(4)]
    assert all(9 <= count <= 21 for count in quarters), quarters
    assert 3 < left[-1] - start < 6
    assert all(0 <= task.result()[1] <= 0.25 for task in leaving)
    status, out, _ = await end_of(command)
    lines = [json.loads(line) for line in out.splitlines()]
    assert status == 0
    assert (lines[0]["state"], lines[0]["first"], lines[0]["over"]) == ("draining", 60, 4)
    assert (lines[-1]["state"], lines[-1]["connections"]) == ("drained", 0)
    numbers = [line["connections"] for line in lines]
    assert numbers == sorted(numbers, reverse=True)
    assert len(set(numbers)) > 3, "progress"
    assert not is_alive(node.pid), "the command ends behind the node"
    assert not is_alive(nats)


class Device:
    """A device that goes on at another node when it is sent away, with its cursor; `got` is what it handled."""

    def __init__(self, user: str) -> None:
        self.user = user
        self.got: list[int] = []
        self.seen: list[str] = []
        self.cursor = -1
        self.epoch = ""
        self.sent_away = 0

    async def follow(self, first: RunningNode, second: RunningNode, until: int) -> None:
        node = first
        while not self.got or self.got[-1] < until:
            place = f"&cursor={self.cursor}&epoch={self.epoch}" if self.cursor >= 0 else ""
            client = await WsClient.join(
                node.clients_port, f"/ws?token={node.token(self.user)}&device=phone&from=now{place}"
            )
            client.patience = 60
            self.epoch = client.welcome["epoch"]
            self.cursor = max(self.cursor, client.welcome["cursor"])
            assert client.welcome["missed"] is False
            self.seen.append(client.welcome["session"])
            while not self.got or self.got[-1] < until:
                said: dict[str, Any] = await client.receive()
                if said["type"] == "reconnect":
                    self.sent_away += 1
                    assert (await client.receive_close())[0] == 4000
                    node = second
                    break
                if said["type"] == "message" and said["offset"] > self.cursor:
                    self.got.append(said["data"])
                    self.cursor = said["offset"]
                    client.send({"type": "ack", "offset": self.cursor})
            await client.close()


async def test_devices_go_on_at_another_node_and_miss_nothing(make_node: MakeNode, nats: PlainNats) -> None:
    bus = ("--bus", f"nats://127.0.0.1:{nats.port}")
    a, b = (make_node("--workers", "2", *bus, PUSHGATE_NODE_NAME=name) for name in ("a", "b"))
    a.start()
    b.data_dir.mkdir()
    shutil.copy(a.data_dir / "keys.json", b.data_dir)  # the same tenant on both
    b.start()
    devices = [Device(f"user{number}") for number in range(12)]
    pushes = 60
    following = [asyncio.create_task(device.follow(a, b, pushes - 1)) for device in devices]
    await asyncio.to_thread(wait_until, lambda: a.total("connections") == 12, "all are there")
    command = drain(a, "3")
    half = time.monotonic() + 1.5
    for number in range(pushes):
        node = a if time.monotonic() < half else b
        answer = await asyncio.to_thread(node.push, None, number, qos="reliable")
        assert answer.status_code == 202, answer.text
        await asyncio.sleep(0.05)
    async with asyncio.timeout(30):
        await asyncio.gather(*following)
    for device in devices:
        assert device.got == list(range(pushes)), device.user
        assert device.sent_away == 1
        assert len(device.seen) == 2
    status, _, err = await end_of(command)
    assert status == 0, err
    assert "drained of 12 connections" in err
    assert "12 of 12 connections left" in err


async def test_a_client_that_does_not_read_holds_nothing_up(make_node: MakeNode) -> None:
    node = make_node("--workers", "1", PUSHGATE_CLIENTS_WRITE_BOUND=str(64 * 1024 * 1024))
    node.start()
    deaf = await WsClient.join(node.clients_port, f"/ws?token={node.token('deaf')}")
    deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]
    for _ in range(12):  # more than the kernel takes of it
        assert node.push("deaf", "x" * 900_000).status_code == 202
    await asyncio.to_thread(wait_until, lambda: node.total("write_buffer_bytes") > 0, "it does not read")
    assert node.total("connections") == 1
    began = time.monotonic()
    status, _, err = await end_of(drain(node, "1"))
    assert status == 0, err
    assert time.monotonic() - began < 10


async def test_sigterm_drains_for_the_configured_time_and_is_hurried_by_another(make_node: MakeNode) -> None:
    node = make_node("--workers", "2", PUSHGATE_NODE_DRAIN="40")
    node.start()
    clients = await join_all(node, [f"user{number}" for number in range(12)])
    os.kill(node.pid, signal.SIGTERM)
    await asyncio.to_thread(wait_until, lambda: node.total("draining") == 1, "draining")
    assert node.total("connections") > 6
    assert not [line for line in node.log_lines() if line["event"] == "stopping"]
    began = time.monotonic()
    os.kill(node.pid, signal.SIGTERM)
    left = await asyncio.gather(*(leave(client, began) for client in clients.values()))
    assert all(when < 5 for when, _ in left)
    assert max(after for _, after in left) > 0.25, "all at once, they are spread by what they are told"
    await asyncio.to_thread(wait_until, lambda: not is_alive(node.pid), "it ended")
    (early,) = [line for line in node.log_lines() if line["event"] == "ended early"]
    assert early["connections"] > 6


async def test_sigterm_and_the_command_again_shorten_a_drain(make_node: MakeNode) -> None:
    node = make_node("--workers", "2", PUSHGATE_NODE_DRAIN="4")
    node.start()
    clients = await join_all(node, [f"user{number}" for number in range(12)])
    waiting = drain(node, "10m", "--json")
    await asyncio.to_thread(wait_until, lambda: node.total("draining") == 1, "draining")
    again = drain(node, "60")
    assert waiting.stdout is not None
    while json.loads(await asyncio.to_thread(waiting.stdout.readline))["over"] != 60:
        pass
    began = time.monotonic()
    os.kill(node.pid, signal.SIGTERM)
    left = await asyncio.gather(*(leave(client, began) for client in clients.values()))
    assert max(when for when, _ in left) < 6
    for command in (waiting, again):
        status, _, err = await end_of(command)
        assert status == 0, err


async def test_a_drain_that_is_ended_early_says_so(make_node: MakeNode) -> None:
    node = make_node("--workers", "2")  # which drains for 0 s at SIGTERM
    node.start()
    await join_all(node, [f"user{number}" for number in range(6)])
    command = drain(node, "1h", "--json")
    await asyncio.to_thread(wait_until, lambda: node.total("draining") == 1, "draining")
    os.kill(node.pid, signal.SIGTERM)
    status, out, err = await end_of(command)
    assert status == 1
    assert "ended early" in err
    assert json.loads(out.splitlines()[-1])["state"] == "ended early"


async def test_a_worker_that_dies_meanwhile_lets_nobody_in_again(make_node: MakeNode) -> None:
    node = make_node("--workers", "2")
    node.start()
    clients = await join_all(node, [f"user{number}" for number in range(12)])
    command = drain(node, "8")
    await asyncio.to_thread(wait_until, lambda: node.total("draining") == 1, "draining")
    pids = node.worker_pids
    os.kill(pids[0], signal.SIGKILL)
    await asyncio.to_thread(
        wait_until, lambda: len(node.worker_pids) == 2 and node.worker_pids != pids, "started again"
    )
    assert "the node is drained" in why_not_ready(node)
    with pytest.raises(ConnectionError):
        await WsClient.open(node.clients_port)
    closes = await asyncio.gather(*(client.receive_close() for client in clients.values()))
    assert {code for code, _ in closes} == {1006, 4000}
    assert (await end_of(command))[0] == 0


async def test_a_node_without_its_bus_is_drained(make_node: MakeNode) -> None:
    node = make_node("--workers", "2")
    node.start()
    clients = await join_all(node, [f"user{number}" for number in range(8)])
    freeze(node.nats_pid)
    try:
        began = time.monotonic()
        command = drain(node, "2")
        left = await asyncio.gather(*(leave(client, began) for client in clients.values()))
        assert max(when for when, _ in left) < 8
        status, _, err = await end_of(command)
        assert status == 0, err
    finally:
        node.end_nats()


async def test_where_no_node_runs_nothing_is_drained(make_node: MakeNode) -> None:
    node = make_node()
    for died in (False, True):
        if died:
            node.start()
            node.kill()
            assert (node.data_dir / "node.sock").exists(), "it is left behind"
            assert (node.data_dir / "node.lock").read_text().strip() == str(node.pid)
        status, _, err = await end_of(drain(node, "1"))
        assert (status, err) == (1, f"pushgate: {node.data_dir}: no node runs there\n")


async def test_who_may_not_enter_the_directory_may_not_drain(make_node: MakeNode) -> None:
    node = make_node()
    node.start()
    assert (node.data_dir / "node.sock").stat().st_mode & 0o777 == 0o600
    assert node.data_dir.stat().st_mode & 0o777 == 0o700
