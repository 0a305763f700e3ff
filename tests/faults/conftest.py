from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest_asyncio

from tests.rig.client import WsClient
from tests.rig.events import EventStream
from tests.rig.node import RunningNode


@pytest_asyncio.fixture
async def make_node(tmp_path: Path) -> AsyncIterator[Callable[..., RunningNode]]:
    """Make nodes, each in its own directory; they and what they left behind are ended after the test."""
    made: list[RunningNode] = []

    def make(*options: str, **environ: str) -> RunningNode:
        directory = tmp_path / str(len(made))
        directory.mkdir()
        made.append(RunningNode(directory, *options, **environ))
        return made[-1]

    yield make
    await WsClient.close_all()
    await EventStream.close_all()
    for node in made:
        try:
            node.stop()
        finally:
            node.end_nats()
