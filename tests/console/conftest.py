"""A running node whose tenant has an API key and a read key, and tabs of one browser that show its console."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
import pytest_asyncio

from pushgate.tenants.registry import hash_api_key
from tests.rig.node import RunningNode

if TYPE_CHECKING:  # a machine may have no playwright
    from tests.demo.browser import Browser, Tabs

KEY = "key-of-acme"
READ_KEY = "read-key-of-acme"
SECRET = "a secret of acme's that is long enough"
CONFIG = f"""
[tenants.acme]
api_keys = ["{hash_api_key(KEY)}"]
read_keys = ["{hash_api_key(READ_KEY)}"]
token_keys = [{{ algorithm = "HS256", secret = "{SECRET}" }}]
connections = 20
"""


def make_node(directory: Path) -> RunningNode:
    """Return a node with the tenant `acme`."""
    file = directory / "pushgate.toml"
    file.write_text(CONFIG)
    return RunningNode(directory, "--config", str(file))


@pytest.fixture(scope="module")
def running_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """A node; stopped by SIGTERM."""
    node = make_node(tmp_path_factory.mktemp("node"))
    try:
        node.start()
        yield node
    finally:
        node.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def api(running_node: RunningNode) -> AsyncIterator[httpx.AsyncClient]:
    """A business system: a client of the node's HTTP API, with its key."""
    async with httpx.AsyncClient(base_url=running_node.api, headers={"Authorization": f"Bearer {KEY}"}) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator["Browser"]:
    """A headless Chromium."""
    from tests.demo.browser import launch

    async with launch() as chromium:
        yield chromium


@pytest_asyncio.fixture(loop_scope="module")
async def tabs(browser: "Browser", running_node: RunningNode) -> AsyncIterator["Tabs"]:
    """Tabs for the console of the node, which must not complain."""
    from tests.demo.browser import Tabs

    opened = Tabs(browser, f"{running_node.api}/console")
    yield opened
    await opened.close()
    assert opened.complaints == []
