"""Three nodes, one of which is cut off, stands still in part, or is killed: the others answer in time, and name it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import pushgate
from pushgate.delivery.questions import DEADLINE
from tests.fakes.nats import PlainNats
from tests.faults.test_processes import MakeNode
from tests.rig.cable import Cable
from tests.rig.client import WsClient
from tests.rig.node import RunningNode, wait_until

NAMES = ["a", "b", "c"]
LATE = DEADLINE + 1.0
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


def is_whole(node: RunningNode) -> bool:
    """Whether every worker of a node has an answer from all."""
    answers = [ask(node, "/v1/nodes") for _ in range(8)]
    return all([each["node"] for each in told["nodes"]] == NAMES and not told["missing"] for told in answers)


async def join(node: RunningNode, user: str) -> WsClient:
    return await WsClient.join(node.clients_port, f"/ws?token={node.token(user)}&device=phone&from=now")


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
