"""Nodes that bring a cluster of NATS along: started in any order, killed, kept apart, and one that was alone before."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx
import pytest

from pushgate.client.listener import Listener
from tests.fakes.nats import free_ports
from tests.rig.node import RunningNode, is_alive, wait_until

NAMES = ("a", "b", "c")
PATIENCE = 60.0
"""Seconds for an election or two on a machine with much to do."""


class Cluster:
    """Three nodes on loopback, with the keys of the first. None is started yet."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        ports = free_ports(len(NAMES))
        self.places = [f"127.0.0.1:{port}" for port in ports]
        self.nodes: list[RunningNode] = []
        for name, port in zip(NAMES, ports, strict=True):
            self.make(name, port)

    def make(self, name: str, port: int) -> RunningNode:
        """Return a node of this name, which the others' servers find at this port."""
        directory, place = self._directory / name, f"127.0.0.1:{port}"
        directory.mkdir()
        options = ["--workers", "1", "--cluster", ",".join(self.places), "--cluster-listen", place]
        node = RunningNode(directory, *options, PUSHGATE_NODE_NAME=name, PUSHGATE_CLUSTER_SECRET="sesame")
        node.clients_port, node.management_port = free_ports(2)
        self.nodes.append(node)
        return node

    def launch(self, *nodes: RunningNode) -> None:
        """Start nodes, without waiting for them to be ready."""
        for node in nodes:
            first = self.nodes[0].data_dir / "keys.json"
            if not (node.data_dir / "keys.json").exists() and node is not self.nodes[0]:
                wait_until(first.exists, "the first node has keys")
                node.data_dir.mkdir(exist_ok=True)
                shutil.copy(first, node.data_dir / "keys.json")
            node.launch()

    def ready(self, *nodes: RunningNode) -> None:
        """Wait until nodes say that they are ready."""
        for node in nodes:
            wait_until(lambda node=node: why_not(node) == "", "a node is ready", PATIENCE)  # type: ignore[misc]

    def kill(self, *nodes: RunningNode) -> None:
        """Kill nodes whole, as a machine that goes."""
        for node in nodes:
            node.kill()
            os.kill(node.nats_pid, signal.SIGKILL)

    def close(self) -> None:
        for node in self.nodes:
            try:
                node.stop()
            finally:
                node.end_nats()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path)
    yield cluster
    cluster.close()


def why_not(node: RunningNode) -> str | None:
    """Return why a node says that it is not ready, "" where it is, None while it does not say."""
    try:
        answer = httpx.get(f"{node.api}/readyz", timeout=5)
    except httpx.TransportError:
        return None
    return "" if answer.status_code == 200 else str(answer.json()["detail"])


def push(node: RunningNode, data: Any, qos: str = "reliable") -> int:
    """Push to the one user there is; returns the status."""
    return httpx.post(
        f"{node.api}/v1/push",
        json={"user": "u", "data": data, "qos": qos},
        headers={"Authorization": f"Bearer {node.key}"},
        timeout=30,
    ).status_code


def servers(node: RunningNode, status: int | None) -> dict[str, bool]:
    """Return what `pushgate cluster show` says: which servers are there and up to date."""
    command = [sys.executable, "-m", "pushgate", "cluster", "show", "--json", "--data-dir", str(node.data_dir)]
    shown = subprocess.run(command, capture_output=True, check=False)
    assert status is None or shown.returncode == status, shown.stderr
    found = json.loads(shown.stdout)["servers"] if shown.stdout else []
    return {each["node"]: each["online"] and each["current"] for each in found}


def says(node: RunningNode, what: str) -> Callable[[], bool]:
    return lambda: what in (why_not(node) or "")


async def take(node: RunningNode, cursor_file: Path, last: int) -> list[int]:
    """Take the numbers that a device gets up to the last one, and acknowledge them."""
    listener = Listener(node.url, lambda: node.token("u"), device="phone", cursor_file=cursor_file)
    taken: list[int] = []
    async with aclosing(aiter(listener)) as messages:
        async for message in messages:
            data = json.loads(bytes(message.data))
            taken.append(data)
            if data == last:
                await listener.acknowledge()
                break
    return taken


def pid_of(file: Path) -> int:
    return int(json.loads(file.read_text())["pid"])


async def test_a_node_that_was_alone_brings_what_it_has_and_devices_go_on_where_they_were(
    cluster: Cluster, tmp_path: Path
) -> None:
    a, b, c = cluster.nodes
    alone = RunningNode(a.data_dir.parent, "--workers", "1")
    alone.start()
    for number in range(40):
        assert push(alone, number) == 202
    assert await take(alone, tmp_path / "cursor", 19) == list(range(20))
    alone.stop()
    cluster.launch(a)
    second = a.data_dir / "single" / "nats" / "nats.json"
    wait_until(lambda: second.exists() and is_alive(pid_of(second)), "what it has is read", PATIENCE)
    a.stop()
    assert not is_alive(pid_of(second))
    cluster.launch(b, c, a)
    cluster.ready(a, b, c)
    assert push(b, 40) == 202
    cluster.kill(a)
    assert push(c, 41) == 202
    assert await take(b, tmp_path / "cursor", 41) == list(range(20, 42))
    assert (a.data_dir / "single" / "moved").exists()
    cluster.launch(a)
    cluster.ready(a)
    assert push(a, 42) == 202
    assert "moved" not in a.log(), "it has nothing more to bring"
    assert await take(a, tmp_path / "cursor", 42) == [42]


def test_a_wrong_secret_is_refused_and_said_on_both_sides(cluster: Cluster) -> None:
    a, b, _ = cluster.nodes
    stranger = RunningNode(b.data_dir.parent, *b._options, **{**b._environ, "PUSHGATE_CLUSTER_SECRET": "guess"})
    stranger.clients_port, stranger.management_port = b.clients_port, b.management_port
    cluster.nodes[1] = stranger
    cluster.launch(a, stranger)
    for node in (a, stranger):
        wait_until(says(node, "1 of 3 servers"), "it is alone", PATIENCE)
        wait_until(lambda node=node: "another server has another cluster.secret" in node.log(), "the reason is logged")  # type: ignore[misc]
    assert "guess" not in stranger.log()


def test_nodes_wait_for_each_other_and_one_that_is_lost_is_replaced(cluster: Cluster) -> None:
    a, b, c = cluster.nodes
    cluster.launch(a)
    wait_until(says(a, "the inbox has no quorum: 1 of 3 servers"), "it says that it is alone", PATIENCE)
    assert push(a, 0, "live") == 202
    assert push(a, 0) == 503
    cluster.launch(b)
    wait_until(says(a, "the inbox has no leader yet: 2 of 3 servers"), "a new cluster needs all", PATIENCE)
    cluster.launch(c)
    cluster.ready(a, b, c)
    assert push(a, 1) == 202
    cluster.kill(c)
    wait_until(lambda: servers(a, None) == {"a": True, "b": True, "c": False}, "c is missed", PATIENCE)
    shutil.rmtree(c.data_dir / "nats")  # another machine of its name, with an empty disk
    cluster.launch(c)
    cluster.ready(c)
    wait_until(lambda: servers(c, None) == dict.fromkeys(NAMES, True), "c is up to date", PATIENCE)
    cluster.kill(c)  # for good
    other = cluster.make("d", free_ports(1)[0])
    cluster.launch(other)
    cluster.ready(other)
    remove = [sys.executable, "-m", "pushgate", "cluster", "remove", "--data-dir", str(a.data_dir)]
    subprocess.run([*remove, "c"], check=True)
    wait_until(lambda: servers(a, None) == {"a": True, "b": True, "d": True}, "d took the place of c", PATIENCE)
    refused = subprocess.run([*remove, "nobody"], capture_output=True, check=False)
    assert (refused.returncode, refused.stderr) == (
        1,
        b"pushgate: nobody cannot be removed: server is not a member of the cluster\n",
    )
    cluster.kill(a)
    assert push(other, 2) == 202
    assert push(b, 3) == 202
