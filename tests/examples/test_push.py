"""The examples of pushing, each run as its README says, against one live gateway and a front that loses an answer."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

import pushgate
from tests.examples.front import Front
from tests.rig.client import WsClient
from tests.rig.node import RunningNode

PUSH = Path(__file__).parents[2] / "examples" / "push"
COMMANDS = {
    "push.sh": ["sh", "push.sh"],
    "push_httpx.py": [sys.executable, "push_httpx.py"],
    "push_pusher.py": [sys.executable, "push_pusher.py"],
    "push.mjs": ["node", "push.mjs"],
    "Push.java": ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "Push.java"],
    # Without cgo and optimizations, since a new Go compiles its library, too.
    "push.go": ["go", "run", "-gcflags=all=-N -l", "push.go"],
}
PACKAGES = {"sh": "dash", "curl": "curl", "node": "nodejs", "java": "default-jdk-headless", "go": "golang-go"}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    node = RunningNode(tmp_path_factory.mktemp("node"), "--workers", "1", PUSHGATE_CLIENTS_PONG_TIMEOUT="600")
    node.start()
    yield node
    node.stop()


@pytest.fixture(scope="module")
def front(node: RunningNode) -> Iterator[Front]:
    front = Front(node.api)
    yield front
    front.close()


@pytest_asyncio.fixture(autouse=True)
async def no_clients_left() -> AsyncIterator[None]:
    yield
    await WsClient.close_all()


def need(*tools: str) -> None:
    """Give up where a toolchain is missing: CI fails, a user's machine skips."""
    missing = [f"{tool} (Debian: {PACKAGES[tool]})" for tool in tools if tool in PACKAGES and not shutil.which(tool)]
    if missing:
        reason = f"there is no {', '.join(missing)}"
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


def run(example: str, api: str, key: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PUSHGATE_")}
    environ |= {"PUSHGATE_API": api, "PUSHGATE_KEY": key, "CGO_ENABLED": "0"}
    environ["PYTHONPATH"] = str(Path(pushgate.__file__).parents[1])
    command = [*COMMANDS[example], *arguments]
    return subprocess.run(command, check=False, cwd=PUSH, env=environ, capture_output=True, text=True, timeout=300)


def test_each_example_is_tried() -> None:
    examples = {path.name for path in PUSH.iterdir() if path.suffix not in (".md", "") and path.name != "Produce.java"}
    assert examples == set(COMMANDS), "tests/rocketmq tries Produce.java"


@pytest.mark.parametrize("example", COMMANDS)
async def test_live_once_and_reliable_until_it_is_answered(example: str, node: RunningNode, front: Front) -> None:
    need(COMMANDS[example][0], *(["curl"] if example == "push.sh" else []))
    order = example.replace(".", "-")
    user = f"alice-{order}"
    phone = await WsClient.join(node.clients_port, f"/ws?token={node.token(user)}&device=phone")
    done = run(example, front.url, node.key, user, order)
    assert done.returncode == 0, done.stderr
    live, reliable = (json.loads(line) for line in done.stdout.splitlines())
    assert live.keys() == {"id"}
    assert (reliable["id"], reliable["duplicate"]) == (f"order-{order}-paid", True), "the first answer was lost"

    first, second = ((push, at) for push, at in front.pushes if push["user"] == user)
    assert first[0] == second[0]
    assert second[1] - first[1] >= 1, "it waited as long as Retry-After says"
    assert node.push(user, "end").status_code == 202
    received: list[dict[str, Any]] = []
    while not received or received[-1]["event"] != "message":
        message = await phone.receive()
        if not message.get("resent"):  # it does not acknowledge
            received.append(message)
    assert sorted((message["event"], message["data"]) for message in received[:-1]) == [
        ("packing", {"order": order}),
        ("paid", {"order": order}),
    ]


def test_what_is_refused_for_good_is_told_and_not_repeated(node: RunningNode) -> None:
    for example in ("push.sh", "push_httpx.py", "push.mjs"):
        need(COMMANDS[example][0])
        done = run(example, node.api, "pg_wrong", "alice", "8")
        assert done.returncode != 0
        assert "401" in done.stdout + done.stderr
