"""The client and the commands against a real node: nothing is missed or doubled, and receipts say so."""

import asyncio
import json
import re
import subprocess
import sys
import time
from ast import PyCF_ALLOW_TOP_LEVEL_AWAIT
from collections.abc import Iterator
from contextlib import AsyncExitStack, aclosing, nullcontext
from inspect import isawaitable
from pathlib import Path
from typing import Any

import pytest

from pushgate.client.answers import DeviceReceipt, Pushed, Reached
from pushgate.client.errors import ApiProblem, ListenStopped
from pushgate.client.listener import Listener, read_data
from pushgate.client.place import Place, read_place
from pushgate.client.pusher import AsyncPusher, Pusher
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


async def test_a_user_is_seen_pushed_many_things_and_kicked(node: RunningNode) -> None:
    async with AsyncPusher(node.api, node.key) as pusher, asyncio.timeout(20):
        assert (await pusher.user("dora")).online is False
        results = await pusher.batch(
            [
                {"user": "dora", "data": {"n": 1}, "qos": "reliable", "event": "hers"},
                {"user": "dora", "data": b"\0", "qos": "reliable", "event": "hers"},
                {"user": "dora", "ttl": 0},
            ]
        )
        assert [type(each) for each in results] == [Pushed, Pushed, ApiProblem]
        listening = Listener(node.url, lambda: pusher.token("dora"), device="phone")
        async with aclosing(aiter(listening)) as messages:
            hers = (read_data(each) async for each in messages if each.event == "hers")
            assert [await anext(hers), await anext(hers)] == [{"n": 1}, b"\0"]
            seen = await pusher.user("dora")
            assert (seen.online, [each.device for each in seen.sessions]) == (True, ["phone"])
            assert (await pusher.kick("dora", seen.sessions[0].session)).closed == 1
            with pytest.raises(ListenStopped, match="4503"):
                await anext(hers)


def test_a_push_that_is_repeated_is_stored_once(node: RunningNode) -> None:
    with Pusher(node.api, node.key) as pusher:
        first = pusher.push("x", user="emil", qos="reliable", id="once")
        assert pusher.push("x", user="emil", qos="reliable", id="once") == Pushed("once", first.offset, True)
        assert pusher.kick("emil").closed == 0


async def test_a_node_takes_the_new_token_of_a_connection(node: RunningNode) -> None:
    given = iter([(4, "old"), (3600, "new")])
    words: list[str] = []

    def token() -> str:
        seconds, tag = next(given)
        return node.token("fred", exp=int(time.time()) + seconds, tags=[tag])

    listening = Listener(node.url, token, notice=words.append)
    async with AsyncPusher(node.api, node.key) as pusher, aclosing(aiter(listening)) as messages, asyncio.timeout(20):
        coming = asyncio.ensure_future(anext(messages))
        while not coming.done():
            await pusher.push("hello", user="fred", tags=["new"])
            await asyncio.wait((coming,), timeout=0.05)
        assert read_data(coming.result()) == "hello"
    assert [each.partition(",")[0] for each in words] == ["connected as fred"], "it stayed on one connection"


class Enough(Exception):
    """An example has done what it is to do."""


async def test_the_examples_of_the_guide(node: RunningNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    guide = (Path(__file__).parents[2] / "docs" / "python.md").read_text()
    for ours, real in (("http://127.0.0.1:8001", node.api), ("ws://127.0.0.1:8000/ws", node.url), ("pg_…", node.key)):
        assert ours in guide
        guide = guide.replace(ours, real)
    push, push_async, listen, with_inbox, exactly_once = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    done: list[Any] = []

    def end(*said: object) -> None:
        done.append(said)
        raise Enough

    async def work(data: object) -> None:
        done.append(data)

    names = {"new_token": lambda: node.token("alice"), "print": end, "work": work, "enough": True}
    names |= {"database": nullcontext(), "book": done.append, "save": end}

    async def run_example(code: str) -> None:
        running = eval(compile(code, "docs/python.md", "exec", flags=PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
        if isawaitable(running):
            await running

    async with asyncio.timeout(20):
        await run_example(push)
        await run_example(push_async)
        example = asyncio.ensure_future(run_example(listen))
        while not example.done():
            await asyncio.to_thread(node.push, "alice", {"text": "hi"}, event="comment")
            await asyncio.wait((example,), timeout=0.05)
        with pytest.raises(Enough):
            await example
        await run_example(with_inbox)
        await asyncio.to_thread(node.push, "alice", "another", qos="reliable")
        with pytest.raises(Enough):
            await run_example(exactly_once)
    assert done[0] == ("comment", {"text": "hi"})
    assert isinstance(read_place(Path("state/cursor.json")), Place)
    assert isinstance(done[-1][0], Place)
