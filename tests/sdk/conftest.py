"""A running node, the SDK as it was built, and pages of a real Chromium that use it."""

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.rig.node import RunningNode
from tests.sdk.site import Site

if TYPE_CHECKING:  # a machine may have no playwright
    from tests.sdk.pages import Browser, Pages


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """A node without configuration, on free ports."""
    running = RunningNode(tmp_path_factory.mktemp("node"))
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def site(node: RunningNode) -> Iterator[Site]:
    """A business system's web site, whose page uses the SDK."""
    with Site(node) as served:
        yield served


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator["Browser"]:
    """A headless Chromium."""
    from tests.sdk.pages import launch

    async with launch() as chromium:
        yield chromium


@pytest_asyncio.fixture(loop_scope="module")
async def pages(browser: "Browser", site: Site) -> AsyncIterator["Pages"]:
    """Pages of one browser profile."""
    from tests.sdk.pages import Pages

    opened = Pages(browser, site)
    yield opened
    await opened.close()
