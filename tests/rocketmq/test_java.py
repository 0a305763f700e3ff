"""Apache's own Java client on the other side: it consumes what pushgate published, and pushgate delivers its pushes."""

import json
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import IO

import pytest
import pytest_asyncio

from pushgate.messages.push import decode_push
from pushgate.messages.shard import shard_of
from tests.fakes.rocketmq import FRUGAL, RealRocketMq, jars
from tests.rig.client import WsClient
from tests.rig.node import RunningNode, wait_until

SOURCE = Path(__file__).parent / "Business.java"
EXAMPLE = Path(__file__).parents[2] / "examples" / "push" / "Produce.java"


class Business:
    """The Java program, running."""

    def __init__(self, path: Path, server: RealRocketMq, *topics: str) -> None:
        compiled = subprocess.run(
            ["javac", "-cp", jars(), "-d", str(path), str(SOURCE)], check=False, capture_output=True, text=True
        )
        assert compiled.returncode == 0, compiled.stderr
        command = ["java", *FRUGAL, f"-Duser.home={path}", "-cp", f"{path}:{jars()}", "Business"]
        command += [server.url.removeprefix("rocketmq://"), *topics]
        with (path / "err").open("wb") as err:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err, text=True
            )
        assert self.read("ready") == "ready"

    def say(self, line: str) -> None:
        _pipe(self._process.stdin).write(line + "\n")
        _pipe(self._process.stdin).flush()

    def read(self, *beginnings: str) -> str:
        """Return the next line that begins as one of these; the client logs there, too."""
        for line in _pipe(self._process.stdout):
            if line.startswith(beginnings):
                return line.rstrip("\n")
        raise AssertionError("the program has ended")

    def produce(self, compression: str, key: str, **push: object) -> None:
        self.say(f"produce {compression} {key} {json.dumps(push)}")
        assert self.read("produced") == "produced SEND_OK"

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        _pipe(self._process.stdin).close()
        _pipe(self._process.stdout).close()


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, shared_rocketmq: RealRocketMq) -> Iterator[RunningNode]:
    shared_rocketmq.restore()
    url = f"{shared_rocketmq.url}/interop?pushes=interop-pushes"
    settings = {"PUSHGATE_BUS_URL": url, "PUSHGATE_INBOX_URL": "none", "PUSHGATE_CLIENTS_PONG_TIMEOUT": "600"}
    node = RunningNode(tmp_path_factory.mktemp("node"), "--workers", "2", **settings)
    node.start()
    yield node
    node.stop()  # it has no nats-server


@pytest_asyncio.fixture(autouse=True)
async def no_clients_left() -> AsyncIterator[None]:
    yield
    await WsClient.close_all()


@pytest.fixture(scope="module")
def business(
    tmp_path_factory: pytest.TempPathFactory, shared_rocketmq: RealRocketMq, node: RunningNode
) -> Iterator[Business]:
    program = Business(tmp_path_factory.mktemp("java"), shared_rocketmq, "interop", "interop-pushes")
    yield program
    program.close()


async def test_java_consumes_what_pushgate_published_and_pushes_by_producing(
    node: RunningNode, business: Business
) -> None:
    alice = await WsClient.join(node.clients_port, f"/ws?token={node.token('alice')}")
    bob = await WsClient.join(node.clients_port, f"/ws?token={node.token('bob')}")

    assert node.push("alice", "to her").status_code == 202
    assert node.push(None, "to all").status_code == 202
    seen: dict[str, bytes] = {}
    while len(seen) < 2:  # what workers say to each other goes there, too
        business.say("consume")
        tag, body = business.read("consumed").split()[1:]
        try:
            seen[tag] = decode_push(bytes.fromhex(body)).data
        except ValueError:
            continue
    assert seen == {str(shard_of("default", "alice")): b'"to her"', "all": b'"to all"'}
    assert [(await alice.receive())["data"] for _ in range(2)] == ["to her", "to all"]
    assert (await bob.receive())["data"] == "to all"


async def test_pushgate_delivers_what_java_produced_once_and_refuses_what_is_not_signed(
    node: RunningNode, business: Business
) -> None:
    alice = await WsClient.join(node.clients_port, f"/ws?token={node.token('alice')}")
    bob = await WsClient.join(node.clients_port, f"/ws?token={node.token('bob')}")
    business.produce("ZLIB", "wrong", user="alice", data="forged")
    business.produce("ZLIB", node.key, user="alice", data="reliably", qos="reliable")
    business.produce("ZLIB", node.key, user="alice", data="small", event="order", id="order-7")
    for compression in ("ZLIB", "LZ4", "ZSTD"):
        business.produce(compression, node.key, users=["alice", "bob"], data=compression * 100)
    business.produce("LZ4", node.key, everyone=True, data="end")
    order = await alice.receive()
    assert (order["id"], order["event"], order["data"]) == ("order-7", "order", "small")
    received = {name: [await client.receive() for _ in range(4)] for name, client in (("a", alice), ("b", bob))}
    for messages in received.values():
        assert [each["data"] for each in messages] == ["ZLIB" * 100, "LZ4" * 100, "ZSTD" * 100, "end"]
    assert [each["id"] for each in received["a"]] == [each["id"] for each in received["b"]]
    wait_until(lambda: node.total("pushes_refused_total") >= 3, "the refused ones are counted")
    assert "pushgate-signature" in node.log()


async def test_the_example_pushes_by_producing(node: RunningNode, shared_rocketmq: RealRocketMq) -> None:
    alice = await WsClient.join(node.clients_port, f"/ws?token={node.token('alice')}")
    said = _run_example(node, shared_rocketmq, '{"user": "alice", "event": "paid", "data": {"order": "7"}}')
    assert "SEND_OK" in said
    message = await alice.receive()
    assert (message["event"], message["data"]) == ("paid", {"order": "7"})


def _run_example(node: RunningNode, server: RealRocketMq, body: str) -> str:
    command = ["java", *FRUGAL, "-cp", jars(), str(EXAMPLE), server.url.removeprefix("rocketmq://")]
    environ = {**os.environ, "PUSHGATE_KEY": node.key}
    done = subprocess.run(
        [*command, "interop-pushes", body], check=False, env=environ, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
