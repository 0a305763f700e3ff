"""A browser whose network lets no WebSocket through."""

import httpx
import pytest

from tests.rig.node import RunningNode
from tests.sdk.pages import Pages, wait_for

pytestmark = pytest.mark.asyncio(loop_scope="module")

# What a proxy that knows no WebSocket does to one.
BLOCKED = """
window.WebSocket = class extends WebSocket {
  constructor(url, protocols) { super(String(url).replace("/ws", "/"), protocols); }
};
"""


async def test_it_goes_on_over_server_sent_events(pages: Pages, node: RunningNode) -> None:
    page = await pages.blank()
    await page.add_init_script(BLOCKED)
    await page.goto(pages.address("blocked", inbox=True))
    await page.wait_for_function("gate.state.name === 'connected' && gate.state.transport === 'sse'")
    for n in range(3):
        assert node.push("blocked", n, qos="reliable").status_code == 202
    await wait_for(page, [0, 1, 2])
    last = node.push("blocked", 3, qos="reliable")
    await wait_for(page, [0, 1, 2, 3])

    def acknowledged() -> bool:
        answer = httpx.get(
            f"{node.api}/v1/messages/{last.json()['id']}",
            params={"user": "blocked", "offset": last.json()["offset"]},
            headers={"Authorization": f"Bearer {node.key}"},
            timeout=10,
        )
        return all(device["acknowledged"] for device in answer.json()["devices"])

    for _ in range(100):
        if acknowledged():
            return
        await page.wait_for_timeout(50)
    pytest.fail("the last message was never acknowledged")
