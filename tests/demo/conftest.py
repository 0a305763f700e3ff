"""A running node with a demo page."""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
import pytest_asyncio

from tests.rig.node import RunningNode


@pytest.fixture(scope="module")
def running_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """A node without configuration, on free ports; stopped by SIGTERM."""
    node = RunningNode(tmp_path_factory.mktemp("node"))
    try:
        node.start()
        yield node
    finally:
        node.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def api(running_node: RunningNode) -> AsyncIterator[httpx.AsyncClient]:
    """A business system: a client of the node's HTTP API, with its key."""
    headers = {"Authorization": f"Bearer {running_node.key}"}
    async with httpx.AsyncClient(base_url=running_node.api, headers=headers) as client:
        yield client


@pytest.fixture
def page_url(running_node: RunningNode) -> str:
    """The demo page."""
    return f"{running_node.api}/demo"
