"""A running node, and tabs of a browser that show its demo page."""

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import httpx
import pytest
import pytest_asyncio

from tests.rig.node import RunningNode

if TYPE_CHECKING:  # a machine may have no playwright, and the tests of the routes need none
    from tests.demo.browser import Browser, Tabs


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


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator["Browser"]:
    """A headless Chromium."""
    from tests.demo.browser import launch

    async with launch() as chromium:
        yield chromium


@pytest_asyncio.fixture(loop_scope="module")
async def tabs(browser: "Browser", running_node: RunningNode) -> AsyncIterator["Tabs"]:
    """Tabs for the demo page of the node, which must not complain."""
    from tests.demo.browser import Tabs

    opened = Tabs(browser, f"{running_node.api}/demo")
    yield opened
    await opened.close()
    assert opened.complaints == []
