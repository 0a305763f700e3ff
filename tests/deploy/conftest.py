import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.rig.client import WsClient
from tests.rig.node import RunningNode

KEYS = {"api_key": "pg_" + "k" * 32, "token_secret": "t" * 48}


@pytest.fixture
def nodes(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[list[RunningNode]]:
    """Two nodes with the same keys that trust a proxy at 127.0.0.1, in the form that the test's parameter says."""
    nodes = []
    for name in ("one", "two"):
        (tmp_path / name / "data").mkdir(parents=True)
        (tmp_path / name / "data" / "keys.json").write_text(json.dumps(KEYS))
        settings = {
            "PUSHGATE_CLIENTS_TRUSTED_PROXIES": "127.0.0.1",
            "PUSHGATE_CLIENTS_PROXY_HEADER": request.param,
            "PUSHGATE_NODE_DRAIN": "2",
        }
        nodes.append(RunningNode(tmp_path / name, "--workers", "1", **settings))
    try:
        for node in nodes:
            node.start()
        yield nodes
    finally:
        for node in nodes:
            node.stop()


@pytest_asyncio.fixture(autouse=True)
async def _close_clients() -> AsyncIterator[None]:
    yield
    await WsClient.close_all()
