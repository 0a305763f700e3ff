"""The SDK in Node, against a real gateway: what is hurt, what comes, and what leads there."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.rig.node import RunningNode
from tests.sdk.program import Line, Program, until
from tests.sdk.pusher import Pusher, Verdict
from tests.sdk.site import Site, require_node

require_node(module=True)

pytestmark = pytest.mark.asyncio(loop_scope="module")

GLOBAL = ("--experimental-websocket",)
"""What gives Node 20 the WebSocket that later ones have."""


@pytest_asyncio.fixture(loop_scope="module")
async def line(node: RunningNode) -> AsyncIterator[Line]:
    """What leads to the node's clients."""
    async with Line(lambda: node.clients_port) as opened:
        yield opened


@pytest.fixture
def run(site: Site, line: Line) -> Iterator[Callable[..., Program]]:
    """Run programs, of a user, at the end of the line; what is left of them is ended after the test."""
    programs: list[Program] = []

    def begin(user: str, **setting: Any) -> Program:
        programs.append(Program(site, user, f"ws://127.0.0.1:{line.port}/ws", **setting))
        return programs[-1]

    yield begin
    for program in programs:
        program.end()


async def judge(pusher: Pusher, program: Program) -> Verdict:
    """Push no more, wait for the last one, and return what became of all."""
    await asyncio.to_thread(pusher.stop)
    last = pusher.accepted - 1
    await until(lambda: last in program.got, "the last message came")
    await program.leave()
    verdict = Verdict(pushed=pusher.accepted)
    verdict.judge(program.got, 0, last)
    return verdict


@pytest.mark.parametrize("blocked", [False, True], ids=["websocket", "sse"])
async def test_nothing_is_lost_and_nothing_comes_twice(
    blocked: bool, run: Callable[..., Program], node: RunningNode, line: Line
) -> None:
    # Ten times as fast, so that what hangs is noticed after five seconds.
    program = run(f"hurt-{blocked}", device="d", blocked=blocked, speed=10)
    await program.connected()
    assert program.state_of()["transport"] == ("sse" if blocked else "websocket")
    pusher = Pusher(node, f"hurt-{blocked}")

    async def came_back(after: int) -> None:
        await until(lambda: program.count("connected") > after, "the program is connected again")
        await until(lambda: pusher.accepted - 1 in program.got, "what was pushed came")

    for hurt in (line.cut, line.hang, line.cut):
        before = program.count("connected")
        hurt()
        await came_back(before)
    before = program.count("connected")
    await asyncio.to_thread(node.stop)
    await asyncio.to_thread(node.start)
    await came_back(before)
    before = program.count("connected")
    await asyncio.to_thread(node.kill)
    await asyncio.to_thread(node.start)
    await came_back(before)
    verdict = await judge(pusher, program)
    assert verdict.good, verdict
    assert not program.errors


async def test_tokens_that_expire(run: Callable[..., Program], node: RunningNode) -> None:
    # The gateway lets go of a token 30 s after its end. One program is told so, the other gives it a new one before.
    expires = run("expires", device="d", claims={"exp": -28, "iat": -88})
    renews = run("renews", device="d", claims={"exp": -23, "iat": -29})
    for program in (expires, renews):
        await program.connected()
    first, second = (Pusher(node, user) for user in ("expires", "renews"))
    await until(lambda: expires.count("connected") > 1, "the one whose token expired is connected again")
    assert {state["code"] for state in expires.states if state["name"] == "waiting"} == {4501}
    # That of the other one lasts for seven seconds; the gateway looks every five.
    over = renews.states[-1]["at"] + 7 + 5.5
    await until(lambda: time.time() > over, "its time is over, and was looked at")
    for pusher, program in ((first, expires), (second, renews)):
        verdict = await judge(pusher, program)
        assert verdict.good, verdict
    assert renews.count("connected") == 1


@pytest.mark.parametrize("given", [{}, {"own": False, "flags": GLOBAL}], ids=["ws", "global"])
async def test_messages_in_messagepack(given: dict[str, Any], run: Callable[..., Program], node: RunningNode) -> None:
    user = f"packed-{len(given)}"
    program = run(user, device="d", binary=True, **given)
    await program.connected()
    data = [{"text": "é", "list": [1, -2.5, None, True]}, 2**53 - 1, "", []]
    for each in data:
        assert node.push(user, each, qos="reliable").status_code == 202
    body = {"user": user, "data_base64": "AQL/", "qos": "reliable"}
    httpx.post(f"{node.api}/v1/push", json=body, headers={"Authorization": f"Bearer {node.key}"}).raise_for_status()
    await until(lambda: len(program.got) > len(data), "all came")
    assert program.got == [*data, {"bytes": [1, 2, 255]}]
    await program.leave()
    again = run(user, device="d", binary=True, **given)
    await again.connected()
    assert node.push(user, "next", qos="reliable").status_code == 202
    await until(lambda: again.got, "the next came")
    assert again.got == ["next"]  # the others were acknowledged
