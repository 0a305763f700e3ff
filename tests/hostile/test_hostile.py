"""A corpus of hostile requests, frames, messages and tokens on raw sockets, against a node in processes of its own."""

import asyncio
import socket
import ssl

import pytest

from tests.hostile import api_bodies, api_http, api_questions, fallback, frames, http, messages, tokens
from tests.hostile.case import Case
from tests.hostile.known import KnownNode
from tests.hostile.visitor import visit_all
from tests.hostile.watch import Watch
from tests.rig.certificates import the_authority
from tests.rig.client import WsClient

CLIENT_PORT = {
    "http": http.CASES,
    "fallback": fallback.CASES,
    "frames": frames.CASES,
    "messages": messages.CASES,
    "tokens": tokens.CASES,
}
API_PORT = {"api http": api_http.CASES, "api bodies": api_bodies.CASES, "api questions": api_questions.CASES}
BATCHES = CLIENT_PORT | API_PORT
ROUNDS = 30
"""How often a batch may come before memory has to be at rest: the allocator's fragments settle in two to six."""
REST = 64 * 1024
"""Bytes that a worker at rest may gain by a whole batch: half a KiB for each case in it."""


def test_the_corpus_is_large_and_no_case_stands_twice() -> None:
    for batch in BATCHES.values():
        assert len({case.name for case in batch}) == len(batch)
        assert len({case.send for case in batch}) == len(batch)
    assert sum(map(len, BATCHES.values())) >= 600


@pytest.fixture(scope="module")
def watch(node: KnownNode) -> Watch:
    return Watch(node)


@pytest.fixture(scope="module")
def tls_watch(tls_node: KnownNode) -> Watch:
    return Watch(tls_node)


@pytest.mark.parametrize("batch", BATCHES)
async def test_hostile(node: KnownNode, watch: Watch, trap: socket.socket, batch: str) -> None:
    port = node.management_port if batch in API_PORT else node.clients_port
    await withstand(node, watch, BATCHES[batch], port, None)
    with pytest.raises(BlockingIOError):
        trap.accept()


@pytest.mark.parametrize("batch", CLIENT_PORT)
async def test_hostile_over_tls(tls_node: KnownNode, tls_watch: Watch, batch: str) -> None:
    await withstand(tls_node, tls_watch, CLIENT_PORT[batch], tls_node.clients_port, the_authority().trust())


async def withstand(node: KnownNode, watch: Watch, cases: list[Case], port: int, trust: ssl.SSLContext | None) -> None:
    """Send a batch until memory is at rest, and see after each round that everything else is as it was."""
    held = [[0] * len(watch.pids)]
    for _ in range(ROUNDS):
        assert await visit_all(cases, port, trust) == []
        await serve_the_well_behaved(node, trust)
        await asyncio.to_thread(watch.settle)
        watch.check()
        most = [max(of_worker) for of_worker in zip(*held, strict=True)]
        held.append(watch.memory())
        if all(now <= before + REST for now, before in zip(held[-1], most, strict=True)):
            return
    pytest.fail(f"memory grows with every round: {held[1:]}")


async def serve_the_well_behaved(node: KnownNode, trust: ssl.SSLContext | None) -> None:
    """Let users of both workers connect and get their push."""
    for number in range(4):
        user = f"good-{number}"
        client = await WsClient.join(node.clients_port, f"/ws?token={node.token(user)}", tls=trust)
        assert (await asyncio.to_thread(node.push, user, number)).status_code == 202
        assert (await client.receive())["data"] == number
        await client.close()
