"""The whole one of the business guide: its two files as they stand there, in a browser."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.fakes.nats import free_ports
from tests.rig.browser import expect, launch
from tests.rig.node import RunningNode, wait_until

ROOT = Path(__file__).parents[2]
PATIENCE = 20_000  # ms


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    node = RunningNode(tmp_path_factory.mktemp("node"), "--workers", "1")
    node.start()
    yield node
    node.stop()


@pytest.fixture
def shop(node: RunningNode, tmp_path: Path) -> Iterator[str]:
    """Where the shop is, which runs as the guide says, but for the ports."""
    guide = (ROOT / "docs" / "business.md").read_text().partition("## A whole one")[2]
    port = free_ports(1)[0]
    for kind, name in (("python", "shop.py"), ("html", "page.html")):
        block = re.search(rf"```{kind}\n(.*?)```", guide, re.S)
        assert block
        text = (
            block[1]
            .replace("ws://127.0.0.1:8000/ws", node.url)
            .replace('("127.0.0.1", 8080)', f'("127.0.0.1", {port})')
        )
        (tmp_path / name).write_text(text)
    (tmp_path / "pushgate.iife.js").symlink_to(ROOT / "sdk" / "js" / "dist" / "pushgate.iife.js")
    environ = {**os.environ, "API": node.api, "KEY": node.key}
    with subprocess.Popen([sys.executable, "shop.py"], cwd=tmp_path, env=environ, stderr=subprocess.DEVNULL) as server:
        try:
            wait_until(lambda: server.poll() is not None or answers(f"http://127.0.0.1:{port}/"), "the shop answers")
            yield f"http://127.0.0.1:{port}/"
        finally:
            server.terminate()


def answers(url: str) -> bool:
    """Whether there is something."""
    try:
        return httpx.get(url).is_success
    except httpx.TransportError:
        return False


async def test_who_pays_in_one_tab_is_told_in_both(shop: str) -> None:
    async with launch() as chromium:
        profile = await chromium.new_context()
        first, second = await profile.new_page(), await profile.new_page()
        for page in (first, second):
            page.set_default_timeout(PATIENCE)
            await page.goto(shop)
            await expect(page.locator("#news")).to_have_text("Nothing yet")
            await page.wait_for_function("gate.state.name === 'connected'")
        await first.get_by_role("button", name="Pay").click()
        for page in (first, second):
            await expect(page.locator("#news")).to_have_text("Order 7 is paid", timeout=PATIENCE)
