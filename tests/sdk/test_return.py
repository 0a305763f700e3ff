"""Hundreds of clients in Node lose their gateway at the same moment, and come back."""

import asyncio
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.rig.node import RunningNode
from tests.sdk.program import Program, until
from tests.sdk.site import Site, require_node

require_node(module=True)

pytestmark = pytest.mark.alone

CLIENTS, RATE = 300, 200
SPREAD = 2.0  # seconds: more than they need by the rate
SLACK = 1.0


@pytest.mark.parametrize("announced", [False, True], ids=["killed", "stopped"])
async def test_all_are_back_soon_and_never_too_many(announced: bool, tmp_path: Path) -> None:
    limits = {"HANDSHAKES_PER_SECOND": str(RATE), "HANDSHAKES_PER_ADDRESS": "0"}
    environ = {f"PUSHGATE_LIMITS_{name}": value for name, value in limits.items()}
    node = RunningNode(tmp_path, **environ, PUSHGATE_CLIENTS_SESSIONS_PER_USER=str(CLIENTS))
    node.start()
    with Site(node) as site:
        program = Program(site, "alice", node.url, clients=CLIENTS, ms=1000 / RATE / 0.8)
        try:
            await until(lambda: program.count("connected") == CLIENTS, "all are connected")
            known = len(program.states)
            await asyncio.to_thread(node.stop if announced else node.kill)
            await until(lambda: program.count("waiting") >= CLIENTS, "all have lost it")
            await asyncio.to_thread(node.start)
            ready = time.time()
            await until(lambda: program.count("connected") == 2 * CLIENTS, "all are back")
            states = program.states[known:]
            tries = [state["at"] for state in states if state["name"] == "connecting"]
            back = [state["at"] - ready for state in states if state["name"] == "connected"]
            assert max(Counter(map(int, tries)).values()) <= 1.3 * RATE
            assert max(back) <= SPREAD + SLACK
        finally:
            program.end()
            node.stop()
