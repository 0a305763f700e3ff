"""A gateway, all stories before it, and a browser that shows them; one of each for all tests."""

import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

import pushgate
from tests.fakes.nats import free_ports
from tests.rig.browser import NETWORK_TALK, Browser, BrowserContext, Page, expect
from tests.rig.node import RunningNode, wait_until

ROOT = Path(__file__).parents[2]


class Stories:
    """The stories' server, and profiles of a browser that look at it; `node` is the gateway, to be hurt."""

    def __init__(self, node: RunningNode, browser: Browser, url: str) -> None:
        self.node = node
        self.url = url
        self.complaints: list[str] = []
        self._browser = browser
        self._profiles: list[BrowserContext] = []

    async def profile(self) -> BrowserContext:
        """Return a new profile: another visitor."""
        profile = await self._browser.new_context(viewport={"width": 1100, "height": 850})
        profile.set_default_timeout(20_000)
        self._profiles.append(profile)
        return profile

    async def open(self, profile: BrowserContext, path: str, connected: bool = True) -> Page:
        """Return a new tab that shows a page, connected."""
        page = await profile.new_page()
        page.on("console", lambda said: self._hear(said.type, said.text))
        page.on("pageerror", lambda error: self._hear("error", f"uncaught: {error}"))
        await page.goto(path if path.startswith("http") else self.url + path)
        if connected:
            await page.locator("#state[data-state=connected]").wait_for()
        return page

    def _hear(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and not text.startswith(NETWORK_TALK):
            self.complaints.append(text)

    async def close(self) -> None:
        """Close all profiles."""
        while self._profiles:
            await self._profiles.pop().close()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """A gateway with one worker."""
    node = RunningNode(tmp_path_factory.mktemp("node"), "--workers", "1")
    node.start()
    yield node
    node.stop()


@pytest.fixture(scope="module")
def stories_url(node: RunningNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the stories are, which use the gateway; in a hurry."""
    said = tmp_path_factory.mktemp("stories") / "said"
    environ = os.environ | {"PUSHGATE_API": node.api, "PUSHGATE_KEY": node.key, "PUSHGATE_CLIENTS": node.url}
    environ["PYTHONPATH"] = os.pathsep.join((str(ROOT), str(Path(pushgate.__file__).parents[1])))
    port = free_ports(1)[0]
    command = [sys.executable, "-m", "examples.stories", "--port", str(port), "--pace", "0.3"]
    with said.open("wb") as out, subprocess.Popen(command, env=environ, stdout=out, stderr=out) as server:
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until(lambda: server.poll() is not None or answers(url), "the stories answer")
            assert server.poll() is None, said.read_text()
            yield url
        finally:
            server.terminate()
    assert not re.search("Traceback|error", said.read_text()), said.read_text()


def answers(url: str) -> bool:
    """Whether the stories answer."""
    try:
        return httpx.get(url).is_success
    except httpx.TransportError:
        return False


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(browser: Browser) -> AsyncIterator[Browser]:
    """A headless Chromium, with patience."""
    expect.set_options(timeout=20_000)  # a page that lost the gateway waits before it comes back
    yield browser
    expect.set_options(timeout=5_000)


@pytest_asyncio.fixture(loop_scope="module")
async def stories(node: RunningNode, stories_url: str, browser: Browser) -> AsyncIterator[Stories]:
    """The stories; their pages must not complain."""
    opened = Stories(node, browser, stories_url)
    yield opened
    await opened.close()
    assert opened.complaints == []
