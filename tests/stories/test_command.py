"""`make stories` as its user runs it: the command, the page that it opens, a story clicked through, Ctrl-C."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import pushgate
from tests.rig.browser import expect, launch
from tests.rig.node import wait_until

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "examples.stories"]
PATIENCE = 40_000  # ms


def environ() -> dict[str, str]:
    """Return the environment of a user who has set nothing of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PUSHGATE_")}
    return {**kept, "PYTHONPATH": os.pathsep.join((str(ROOT), str(Path(pushgate.__file__).parents[1])))}


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[str]:
    """What the command has a browser open; afterwards it is interrupted, and has to end without a complaint."""
    said, told, script = tmp_path / "said", tmp_path / "told", tmp_path / "browser"
    script.write_text(f'#!/bin/sh\necho "$1" >{told}.new && mv {told}.new {told}\n')
    script.chmod(0o755)
    surroundings = {**environ(), "BROWSER": f"{script} %s"}
    command = [*COMMAND, "--port", "0", "--pace", "0.5"]
    with said.open("wb") as out, subprocess.Popen(command, env=surroundings, stdout=out, stderr=out) as stories:
        try:
            wait_until(lambda: told.exists() or stories.poll() is not None, "a browser is told what to open")
            assert stories.poll() is None, said.read_text()
            address = told.read_text().strip()
            assert f"The stories are at {address}\n" in said.read_text()
            yield address
        finally:
            stories.send_signal(signal.SIGINT)
        assert stories.wait(20) == 0, said.read_text()
    assert said.read_text().endswith("Ctrl-C ends them.\n"), said.read_text()


async def test_it_opens_its_page_and_a_story_goes_on_when_the_gateway_is_restarted(opened: str) -> None:
    async with launch() as chromium:
        page = await chromium.new_page()
        page.set_default_timeout(PATIENCE)
        await page.goto(opened)
        await page.get_by_role("link", name="Cover image").click()
        await expect(page.locator("#state")).to_have_text("Connected", timeout=PATIENCE)
        await page.get_by_role("button", name="Use a sample").click()
        await expect(page.locator("#versions img").nth(1)).to_be_visible(timeout=PATIENCE)
        await page.get_by_role("button", name="Restart the gateway").click()
        await expect(page.locator("#state")).to_have_text("Away, coming back", timeout=PATIENCE)
        assert await page.locator("#versions img").count() < 8
        await expect(page.locator("#progress")).to_have_text("8 of 8 ready", timeout=PATIENCE)


def test_a_port_that_is_taken_is_told_of() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        tried = subprocess.run([*COMMAND, "--port", port], check=False, env=environ(), capture_output=True, text=True)
    assert tried.returncode == 1
    assert f"port {port} at 127.0.0.1: Address already in use. Another one: --port 0" in tried.stderr
