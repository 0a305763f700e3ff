"""The API's documentation in a real browser: it is there without a byte from elsewhere, and its examples work."""

import pytest

from tests.rig.browser import Browser, expect
from tests.rig.node import RunningNode

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_the_documentation_shows_and_tries_every_call(browser: Browser, running_node: RunningNode) -> None:
    page = await browser.new_page()
    complaints: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    await page.goto(f"{running_node.api}/docs")
    push = page.locator("section", has=page.get_by_role("heading", name="post /v1/push", exact=True))
    await expect(push).to_be_visible()
    for path in (
        "/v1/push/batch",
        "/v1/tokens",
        "/v1/stats",
        "/v1/nodes",
        "/v1/events",
        "/healthz",
        "/readyz",
        "/metrics",
    ):
        await expect(page.get_by_role("heading", name=path)).to_be_visible()
    await expect(page.locator("#operations")).not_to_contain_text("`")
    await page.get_by_label("API key").fill(running_node.key)
    await expect(push.locator("pre").first).to_contain_text(f"Bearer {running_node.key}")
    await push.get_by_role("button", name="Send").click()
    await expect(push.locator("pre").last).to_contain_text("202")
    user = page.locator("section", has=page.get_by_role("heading", name="get /v1/users/{user}"))
    await user.get_by_label("user").fill("a/b c'd")
    await expect(user.locator("pre").first).to_contain_text("/v1/users/a%2Fb%20c%27d'")
    await user.get_by_role("button", name="Send").click()
    await expect(user.locator("pre").last).to_contain_text('"user":"a/b c\'d"')
    assert complaints == []
    assert all(url.startswith(running_node.api) for url in asked)
    await page.close()
