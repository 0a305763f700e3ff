"""The client and the commands against a real node: nothing is missed or doubled, and receipts say so."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

import pytest

from pushgate.client.answers import DeviceReceipt, Reached
from pushgate.client.listener import Listener
from pushgate.client.place import read_place
from pushgate.client.pusher import AsyncPusher
from tests.rig.node import RunningNode


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    node = RunningNode(tmp_path_factory.mktemp("node"), "--workers", "2")
    try:
        node.start()
        yield node
    finally:
        node.stop()


def listener(node: RunningNode, user: str, device: str, file: Path | None = None) -> Listener:
    return Listener(node.url, lambda: node.token(user), device=device, cursor_file=file)


async def take(listening: Listener, count: int) -> list[object]:
    """Take so many messages, and say that the last one is handled too."""
    taken: list[object] = []
    async with asyncio.timeout(20), aclosing(aiter(listening)) as messages:
        async for message in messages:
            taken.append(json.loads(bytes(message.data)))
            if len(taken) == count:
                await listening.acknowledge()
                break
    return taken


async def test_a_program_that_is_started_again_goes_on_where_it_was(node: RunningNode, tmp_path: Path) -> None:
    file = tmp_path / "cursor"
    for number in range(5):
        assert node.push("anna", number, qos="reliable").status_code == 202
    assert await take(listener(node, "anna", "phone", file), 3) == [0, 1, 2]
    assert read_place(file) is not None
    assert await take(listener(node, "anna", "phone", file), 2) == [3, 4]
    node.push("anna", 5, qos="reliable")
    assert await take(listener(node, "anna", "phone"), 1) == [5], "the gateway knows the cursor too"
    assert await take(listener(node, "anna", "tablet"), 6) == [0, 1, 2, 3, 4, 5]


async def test_receipts_of_devices_that_come_go_and_lag(node: RunningNode) -> None:
    async with AsyncPusher(node.api, node.key) as pusher:
        pushed = await pusher.push("x", users=["berta", "nobody"], qos="reliable", id="of two")
        assert isinstance(pushed.offset, int)
        receipt = await pusher.receipt("of two", pushed.offset, user="berta")
        assert (receipt.state, receipt.devices, receipt.complete) == ("kept", [], False)
        listening = listener(node, "berta", "phone")
        messages = aiter(listening)
        async with asyncio.timeout(20):
            assert (await anext(messages)).id == "of two"
            receipt = await pusher.receipt("of two", pushed.offset, user="berta")
            assert receipt.devices == [DeviceReceipt("phone", False, 0, True)]
            await listening.acknowledge()
            while not receipt.complete:
                receipt = await pusher.receipt("of two", pushed.offset, user="berta")
        assert receipt.devices == [DeviceReceipt("phone", True, receipt.offset, True)]
        await messages.aclose()
        async with asyncio.timeout(20):  # its cursor is stored within a second
            while receipt.devices != [DeviceReceipt("phone", True, receipt.offset, False)]:
                receipt = await pusher.receipt("of two", pushed.offset, user="berta")


def run(node: RunningNode, directory: Path, *words: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "pushgate", *words, "--api", node.api, "--api-key", node.key]
    pipe = subprocess.PIPE
    environ = {"PYTHONPATH": str(Path(__file__).parents[2] / "src"), "XDG_STATE_HOME": str(directory)}
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environ)


def test_the_commands_together(node: RunningNode, tmp_path: Path) -> None:
    push = ("push", "clara", "--qos", "reliable", "--wait")
    listen = ("listen", "clara", "--device", "tv", "--count", "1", "--url", node.url)
    lacking = run(node, tmp_path, *push, "0", "--patience", "0")
    out, err = lacking.communicate(timeout=20)
    assert (lacking.returncode, err) == (1, "pushgate: no device of clara is known\n")
    for number in (0, 1, 2):
        waiting = run(node, tmp_path, *push, str(number)) if number else None
        listening = run(node, tmp_path, *listen)
        out, err = listening.communicate(timeout=20)
        assert json.loads(out)["data"] == number, err
        if waiting is not None:
            out, err = waiting.communicate(timeout=20)
            assert (waiting.returncode, err) == (0, "")
    (file,) = (tmp_path / "pushgate").iterdir()
    assert read_place(file) is not None


async def test_everyone_is_counted_on_all_workers(node: RunningNode) -> None:
    async with AsyncPusher(node.api, node.key) as pusher, AsyncExitStack() as stack, asyncio.timeout(20):
        pushed = await pusher.push("x", everyone=True, qos="reliable")
        assert isinstance(pushed.offset, int)
        for number in range(6):
            listening = listener(node, f"user{number}", "phone")
            messages = await stack.enter_async_context(aclosing(aiter(listening)))
            while (await anext(messages)).id != pushed.id:
                pass
            if number < 4:
                await listening.acknowledge()
        receipt = await pusher.receipt(pushed.id, pushed.offset)
        while receipt.connected != Reached(6, 4):
            receipt = await pusher.receipt(pushed.id, pushed.offset)
        assert (receipt.state, receipt.missing, receipt.complete) == ("kept", [], False)
