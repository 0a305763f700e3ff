"""Three nodes, one of which is cut off, stands still in part, or is killed: the others answer in time, and name it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

import pushgate
from pushgate.delivery.questions import DEADLINE
from tests.fakes.nats import PlainNats, freeze
from tests.faults.test_processes import MakeNode
from tests.rig.cable import Cable
from tests.rig.client import WsClient
from tests.rig.node import RunningNode, wait_until

NAMES = ["a", "b", "c"]
LATE = DEADLINE + 2.5
"""Seconds that an answer takes at the most, on a machine with much to do."""


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[PlainNats]:
    server = PlainNats(tmp_path / "nats", f'jetstream {{ store_dir: "{tmp_path}/streams" }}')
    yield server
    server.close()


@pytest.fixture
def cable(nats: PlainNats) -> Iterator[Cable]:
    """What c has its NATS through."""
    cable = Cable(nats.port)
    yield cable
    cable.close()


@pytest.fixture
def nodes(make_node: MakeNode, nats: PlainNats, cable: Cable) -> list[RunningNode]:
    """Three nodes that know of each other: a and b of one worker, c of two."""
    made = []
    for name, port, workers in (("a", nats.port, "1"), ("b", nats.port, "1"), ("c", cable.port, "2")):
        node = make_node("--workers", workers, "--bus", f"nats://127.0.0.1:{port}", PUSHGATE_NODE_NAME=name)
        node.launch()
        made.append(node)
    for node in made:
        wait_until(node.is_ready, "a node is ready")
    for node in made:
        wait_until(lambda node=node: is_whole(node), "the nodes know of each other")  # type: ignore[misc]
    return made


def ask(node: RunningNode, path: str, status: int = 200) -> dict[str, Any]:
    """Return what a node answers, in time."""
    began = time.monotonic()
    answer = httpx.get(f"{node.api}{path}", headers={"Authorization": f"Bearer {node.key}"}, timeout=5)
    assert time.monotonic() - began < LATE, path
    assert answer.status_code == status, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def ask_all(node: RunningNode, paths: Sequence[str], status: int = 200) -> list[dict[str, Any]]:
    """Return what a node answers to several questions at once."""
    return await asyncio.gather(*(asyncio.to_thread(ask, node, path, status) for path in paths))


def is_whole(node: RunningNode) -> bool:
    """Whether every worker of a node has an answer from all."""
    answers = [ask(node, "/v1/nodes") for _ in range(8)]
    return all([each["node"] for each in told["nodes"]] == NAMES and not told["missing"] for told in answers)


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    freeze(pid)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def join(node: RunningNode, user: str) -> WsClient:
    return await WsClient.join(node.clients_port, f"/ws?token={node.token(user)}&device=phone&from=now")


async def test_a_node_that_is_cut_off_is_named_by_the_others_and_answers_with_no_smaller_number(
    nodes: list[RunningNode], cable: Cable
) -> None:
    a, _, c = nodes
    devices = {node.data_dir: await join(node, f"at {name}") for name, node in zip(NAMES, nodes, strict=True)}
    to_all = a.push(None, qos="reliable").json()
    to_one = a.push("at c", qos="reliable").json()
    for client in devices.values():
        message = await client.receive()
        client.send({"type": "ack", "offset": message["offset"]})
    receipt_of_all = f"/v1/messages/{to_all['id']}?everyone=true&offset={to_all['offset']}"
    receipt_of_one = f"/v1/messages/{to_one['id']}?user=at%20c&offset={to_one['offset']}"
    wait_until(lambda: ask(a, receipt_of_all)["connected"] == {"devices": 3, "acknowledged": 3}, "all have it")
    assert ask(a, receipt_of_one)["devices"][0]["connected"] is True
    paths = ("/v1/nodes", "/v1/stats", receipt_of_all, receipt_of_one, "/v1/users/at%20c")
    with stopped(cable.pid):
        by_a, by_b = await asyncio.gather(ask_all(nodes[0], paths), ask_all(nodes[1], paths))
        by_c = await ask_all(c, (paths[0], paths[1], paths[4]), 503)
    assert [each["code"] for each in by_c] == ["bus_unavailable"] * 3
    for answers in (by_a, by_b):
        told, stats, of_all, of_one, user = answers
        assert [each["missing"] for each in answers] == [["c"]] * 5
        assert [each["node"] for each in told["nodes"]] == ["a", "b"]
        assert [each["node"] for each in stats["nodes"]] == ["a", "b"]
        assert stats["total"]["connections"] == 2, "of those that answered, as it says"
        assert of_all["connected"] == {"devices": 2, "acknowledged": 2}
        assert of_one["devices"][0]["connected"] is None, "nobody knows"
        assert user["online"] is None
    for node in nodes:
        wait_until(lambda node=node: is_whole(node), "whole again")  # type: ignore[misc]


async def test_a_node_of_which_one_worker_stands_still_is_missed_where_that_one_would_know(
    nodes: list[RunningNode],
) -> None:
    a, _, c = nodes
    users = [f"user{number}" for number in range(8)]
    for user in users:
        await join(c, user)
    pushed = a.push(None, qos="reliable").json()
    receipt = f"/v1/messages/{pushed['id']}?everyone=true&offset={pushed['offset']}"
    assert ask(a, receipt)["connected"]["devices"] == 8
    with stopped(c.worker_pids[1]):
        told = ask(a, receipt)
        assert (told["connected"]["devices"], told["missing"]) == (0, ["c"]), "half a node is none"
        answers = await ask_all(a, [f"/v1/users/{user}" for user in users])
        assert {(each["online"], *each["missing"]) for each in answers} == {(True,), (None, "c")}
        nodes_told, stats = ask(a, "/v1/nodes"), ask(a, "/v1/stats")
        assert [each["node"] for each in nodes_told["nodes"]] == NAMES, "the first worker speaks for its node"
        assert (nodes_told["missing"], stats["missing"], stats["total"]["connections"]) == ([], [], 8)


def show_status(node: RunningNode, *options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "pushgate", "status", "--api", node.api, "--data-dir", str(node.data_dir)]
    environ = {**os.environ, "PYTHONPATH": str(Path(pushgate.__file__).parents[1])}
    return subprocess.run([*command, *options], check=False, env=environ, capture_output=True, text=True, timeout=30)


async def test_the_command_shows_all_nodes_and_names_the_one_that_was_killed(nodes: list[RunningNode]) -> None:
    a, b, c = nodes
    await join(b, "alice")
    shown = show_status(a)
    assert (shown.returncode, shown.stderr) == (0, "")
    table, _, rest = shown.stdout.partition("\n\n")
    rows = [line.split() for line in table.splitlines()]
    version = pushgate.__version__
    assert [(row[:3], row[-2:]) for row in rows[1:]] == [
        (["a", version, "ready"], ["1/1", "1/1"]),
        (["b", version, "ready"], ["1/1", "1/1"]),
        (["c", version, "ready"], ["2/2", "2/2"]),
    ]
    assert [row[5] for row in rows[1:]] == ["0", "1", "0"]
    assert rest.startswith("a  pushgate")
    c.kill()
    shown = show_status(b, "--json")
    assert shown.returncode == 1
    assert shown.stderr == "pushgate: no answer from c\n"
    cluster = json.loads(shown.stdout)["cluster"]
    assert cluster["missing"] == ["c"]
    assert [(each["node"], each["ready"], each["connections"]) for each in cluster["nodes"]] == [
        ("a", True, 0),
        ("b", True, 1),
    ]
    assert all(each["not_ready"] == [] and 0 <= each["up"] < 60 for each in cluster["nodes"])
