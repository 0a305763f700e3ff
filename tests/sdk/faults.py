"""`python -m tests.sdk.faults CYCLES [SECONDS]`: hurts pages in a Chromium while a user is pushed 50 messages a second.

Each cycle restarts the gateway, cuts the network of a page (DevTools protocol), stops all pages for a while, as a
machine does that sleeps, or closes the tab that leads. Two tabs share a device, a third has its own. Exits 1 where one
of them lost a message, got one twice, or out of order.
"""

import asyncio
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.rig.node import RunningNode
from tests.sdk.pages import Browser, Page, Pages, connected, launch
from tests.sdk.pusher import Pusher, Verdict
from tests.sdk.site import Site

USER = "alice"
CUT = 7.0  # so long that pages notice
SLEEP = 7.0  # so long that the gateway sends again


async def restart(node: RunningNode, page: Page, verdict: Verdict) -> None:
    """Stop the gateway and start it again."""
    await asyncio.to_thread(node.stop)
    await asyncio.to_thread(node.start)
    ready = time.monotonic()
    await connected(page)
    verdict.reconnected.append(time.monotonic() - ready)


async def cut(page: Page) -> None:
    """Take the page's network away for a while."""
    tools = await page.context.new_cdp_session(page)
    off = {"offline": True, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    await tools.send("Network.enable")
    await tools.send("Network.emulateNetworkConditions", off)
    await asyncio.sleep(CUT)
    await tools.send("Network.emulateNetworkConditions", {**off, "offline": False})
    await tools.detach()


async def sleep(browser: Browser) -> None:
    """Stop the processes of all pages for a while.

    Chromium freezes no page that is looked at, and without a screen it takes all of them for looked at.
    """
    tools = await browser.new_browser_cdp_session()
    told = await tools.send("SystemInfo.getProcessInfo")
    renderers = [process["id"] for process in told["processInfo"] if process["type"] == "renderer"]
    for pid in renderers:
        os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(SLEEP)
    for pid in renderers:
        os.kill(pid, signal.SIGCONT)
    await tools.detach()


class Trial:
    """A gateway, a pusher and three tabs: the first leads the second, the third is on its own."""

    def __init__(self, node: RunningNode, browser: Browser, pages: Pages) -> None:
        self.verdict = Verdict()
        self._node = node
        self._browser = browser
        self._pages = pages
        self._tabs: list[Page] = []

    async def run(self, cycles: int, seconds: float) -> None:
        """Go through so many cycles, or as many as there is time for, and judge what became of the messages."""
        until = time.monotonic() + seconds
        self._tabs = [await self._open(shared=shared) for shared in (True, True, False)]
        pusher = Pusher(self._node, USER)
        while self.verdict.cycles < cycles and time.monotonic() < until:
            await self._hurt(self.verdict.cycles)
            self.verdict.cycles += 1
        await asyncio.to_thread(pusher.stop)
        self.verdict.pushed = pusher.accepted
        for tab in self._tabs:
            await settled(tab, pusher.accepted - 1)
            got = await tab.evaluate("got")
            self.verdict.judge(got, 0 if tab is self._tabs[-1] or not got else got[0], pusher.accepted - 1)

    async def _hurt(self, cycle: int) -> None:
        page = self._tabs[cycle // 4 % len(self._tabs)]
        if cycle % 4 == 0:
            await restart(self._node, page, self.verdict)
        elif cycle % 4 == 1:
            await cut(page)
        elif cycle % 4 == 2:
            await sleep(self._browser)
        else:
            await self._replace_leader()
        for each in self._tabs:
            await connected(each)

    async def _replace_leader(self) -> None:
        """Close the tab that leads, and open another one, which will follow."""
        leader, follower, alone = self._tabs
        self._tabs = [follower, await self._open(shared=True), alone]
        got = await leader.evaluate("got")
        await leader.close()
        if got:
            self.verdict.judge(got, got[0], got[-1])

    async def _open(self, shared: bool) -> Page:
        return await self._pages.open(USER, inbox=True, shared=shared)


async def settled(tab: Page, last: int) -> None:
    """Wait until a page got the last message, or nothing more for ten seconds."""
    before = -1
    while (count := await tab.evaluate("got.length")) != before:
        before = count
        for _ in range(100):
            if await tab.evaluate("last => got.includes(last)", last):
                return
            await asyncio.sleep(0.1)


async def run(cycles: int, seconds: float = float("inf")) -> Verdict:
    """Try so many cycles, or as many as there is time for; returns what became of the messages."""
    with tempfile.TemporaryDirectory() as directory:
        node = RunningNode(Path(directory))
        node.start()
        try:
            with Site(node) as site:
                async with launch() as browser:
                    trial = Trial(node, browser, Pages(browser, site))
                    await trial.run(cycles, seconds)
                    return trial.verdict
        finally:
            node.stop()


def main() -> int:
    """Run as the command line says; returns the exit status."""
    cycles, *rest = sys.argv[1:]
    verdict = asyncio.run(run(int(cycles), *map(float, rest)))
    print(
        f"{verdict.cycles} cycles, {verdict.pushed} messages to each of 3 tabs: {verdict.lost} lost, "
        f"{verdict.twice} handed over twice, {verdict.disordered} out of order; "
        f"connected again {max(verdict.reconnected, default=0):.1f} s after the gateway was back at the latest"
    )
    return 0 if verdict.good else 1


if __name__ == "__main__":
    raise SystemExit(main())
