"""Pages of a real Chromium that use the SDK."""

import json
from contextlib import AbstractAsyncContextManager
from typing import Any
from urllib.parse import urlencode

from tests.rig.browser import Browser, Page
from tests.rig.browser import launch as launch_chromium
from tests.sdk.site import Site

__all__ = ["Browser", "Page", "Pages", "launch"]


def launch() -> AbstractAsyncContextManager[Browser]:
    """Run a headless Chromium that keeps pages for its back button, which playwright forbids."""
    return launch_chromium(["--disable-back-forward-cache"])


class Pages:
    """The pages of one browser profile: they share storage, locks and channels."""

    def __init__(self, browser: Browser, site: Site) -> None:
        self._browser = browser
        self.site = site
        self._context: Any = None

    async def blank(self) -> Page:
        """Return a new tab with nothing in it."""
        if self._context is None:
            self._context = await self._browser.new_context()
            self._context.set_default_timeout(30_000)
        page: Page = await self._context.new_page()
        return page

    def address(self, user: str, url: str | None = None, **options: Any) -> str:
        """Return where a page is that connects as a user, with options of the SDK."""
        query = {"url": url or self.site.node.url, "user": user, "options": json.dumps(options)}
        return f"{self.site.url}?{urlencode(query)}"

    async def open(self, user: str, url: str | None = None, **options: Any) -> Page:
        """Return a new tab that is connected as a user."""
        page = await self.blank()
        await page.goto(self.address(user, url, **options))
        await connected(page)
        return page

    async def close(self) -> None:
        """Close all tabs."""
        if self._context is not None:
            await self._context.close()


async def connected(page: Page) -> None:
    """Wait until a page is connected."""
    await page.wait_for_function("typeof gate === 'object' && gate.state.name === 'connected'")


async def wait_for(page: Page, data: list[Any]) -> None:
    """Wait until a page got so many messages, and assert that they are these."""
    await page.wait_for_function("count => got.length >= count", arg=len(data))
    assert await page.evaluate("got") == data
