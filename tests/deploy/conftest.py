from collections.abc import AsyncIterator

import pytest_asyncio

from tests.rig.client import WsClient


@pytest_asyncio.fixture(autouse=True)
async def _close_clients() -> AsyncIterator[None]:
    yield
    await WsClient.close_all()
