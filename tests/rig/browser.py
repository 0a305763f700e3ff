"""Tabs of a real Chromium, watched for what they complain about.

Tests take playwright from here, so that a machine without it is told about in one way.
"""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import NoReturn

import pytest


def missing(what: str) -> NoReturn:
    """Give up for want of something to test with: a failure in CI, elsewhere a test that is skipped."""
    reason = f"{what} is missing: no page can be tried in a browser"
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason, allow_module_level=True)


try:
    from playwright.async_api import (
        Browser,
        BrowserContext,
        ConsoleMessage,
        Page,
        WebSocketRoute,
        async_playwright,
        expect,
    )
except ImportError:
    missing("playwright (pip install playwright)")

__all__ = ["NETWORK_TALK", "Browser", "BrowserContext", "Page", "Tabs", "WebSocketRoute", "expect", "launch", "until"]

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

NETWORK_TALK = ("WebSocket connection to ", "Failed to load resource: ", "WebSocket is closed before ")
"""How the browser itself reports, on the console, requests that fail or are answered with an error."""


def find_chromium() -> str:
    """Return the path of a Chromium."""
    for name in (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome"):
        if name and (path := shutil.which(name)):
            return path
    missing("chromium (apt-get install chromium)")


@asynccontextmanager
async def launch(without: Sequence[str] = ()) -> AsyncIterator[Browser]:
    """Run a headless Chromium, `without` some of the arguments that playwright gives it."""
    path = find_chromium()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=path, args=list(ARGUMENTS), ignore_default_args=list(without)
        )
        try:
            yield browser
        finally:
            await browser.close()


async def until(holds: Callable[[], bool]) -> None:
    """Wait for something that the browser does not tell of."""
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.01)


class Tabs:
    """The tabs of one test: those of one browser profile.

    `complaints` is what pages said on the console as errors or warnings, violations of the content policy among
    them, and exceptions. `forgiven` are beginnings of those that the test brings about.
    """

    def __init__(self, browser: Browser, page_url: str) -> None:
        self._browser = browser
        self._page_url = page_url
        self._context: BrowserContext | None = None
        self._complaints: list[str] = []
        self.forgiven: tuple[str, ...] = ()

    async def context(self, **options: object) -> BrowserContext:
        """Return the profile; `options` are those of `Browser.new_context` and count the first time."""
        if self._context is None:
            self._context = await self._browser.new_context(**options)  # type: ignore[arg-type]
            self._context.set_default_timeout(10_000)
        return self._context

    async def blank(self) -> Page:
        """Return a new tab with nothing in it."""
        page = await (await self.context()).new_page()
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self._complaints.append(f"uncaught: {error}"))
        return page

    async def visit(self, page: Page, query: str = "") -> None:
        """Open the page in a tab."""
        await page.goto(self._page_url + query)

    async def open(self, user: str = "alice") -> Page:
        """Return a new tab with the page of a user, connected, where the page connects."""
        page = await self.blank()
        await self.visit(page, f"?user={user}")
        await page.locator("#state[data-state=connected]").wait_for()
        return page

    @property
    def complaints(self) -> list[str]:
        """What was complained about and not forgiven."""
        return [text for text in self._complaints if not text.startswith(self.forgiven or ("\0",))]

    async def close(self) -> None:
        """Close all tabs."""
        if self._context is not None:
            await self._context.close()

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._complaints.append(message.text)
