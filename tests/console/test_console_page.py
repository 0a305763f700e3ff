"""The console in a real browser, against a real gateway."""

import asyncio
import json
import os
import re
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import jwt
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.console.conftest import KEY, READ_KEY, SECRET
from tests.rig.browser import NETWORK_TALK, Page, Tabs, expect, until
from tests.rig.node import RunningNode

pytestmark = pytest.mark.asyncio(loop_scope="module")

UNNAMED = """() => {
  const text = (id) => document.getElementById(id)?.textContent.trim();
  const named = (element) => element.labels?.length || element.ariaLabel
    || text(element.getAttribute("aria-labelledby")) || (element.tagName === "BUTTON" && element.textContent.trim());
  const wanted = "input, select, textarea, button, meter, table, section, nav, dialog[open], [role=log], [role=slider]";
  const unnamed = [...document.querySelectorAll(wanted)].filter((element) => !named(element));
  return unnamed.map((element) => element.outerHTML);
}"""
"""The elements that have no name for a screen reader."""
FOCUSED = "document.activeElement.id || document.activeElement.ariaLabel || document.activeElement.textContent"
"""What has the focus, by its id, its label or its text."""


def connect_as(node: RunningNode, user: str, device: str | None = None) -> connect:
    claims = {"sub": user, "tenant": "acme", "exp": int(time.time()) + 3600}
    token = jwt.encode(claims, SECRET, "HS256")
    query = "" if device is None else f"?device={device}"
    return connect(node.url + query, subprotocols=[Subprotocol("pushgate.v1.json"), Subprotocol(f"bearer.{token}")])


@asynccontextmanager
async def acknowledging(node: RunningNode, user: str, device: str, go_on: asyncio.Event) -> AsyncIterator[None]:
    """Have a device that acknowledges what it gets once it may."""

    async def listen(socket: ClientConnection) -> None:
        async for text in socket:
            message = json.loads(text)
            if "offset" in message:
                await go_on.wait()
                await socket.send(json.dumps({"type": "ack", "offset": message["offset"]}))

    async with connect_as(node, user, device) as socket:
        listening = asyncio.create_task(listen(socket))
        try:
            yield
        finally:
            listening.cancel()
            await asyncio.wait([listening])


async def sign_in(tabs: Tabs, key: str = KEY) -> Page:
    page = await tabs.blank()
    await tabs.visit(page)
    await page.get_by_label("Key").fill(key)
    await page.keyboard.press("Enter")
    await expect(page.locator("#pulse")).to_have_text("Live")
    return page


async def find(page: Page, user: str) -> None:
    await page.get_by_label("User", exact=True).fill(user)
    await page.get_by_role("button", name="Find").click()


async def test_the_key_opens_it_and_stays_in_its_tab(tabs: Tabs) -> None:
    tabs.forgiven = NETWORK_TALK
    page = await tabs.blank()
    await tabs.visit(page)
    await expect(page.get_by_label("Key")).to_be_focused()
    await page.get_by_label("Key").fill("wrong")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert").first).to_have_text("The gateway does not know this key.")
    await expect(page.locator("#board")).to_be_hidden()
    await page.get_by_label("Key").fill(KEY)
    await page.keyboard.press("Enter")
    await expect(page.locator("#tenant")).to_have_text("acme")
    assert await page.evaluate("[localStorage.length, document.cookie, Object.values(sessionStorage)]") == [
        0,
        "",
        [KEY],
    ]
    await page.reload()
    await expect(page.locator("#pulse")).to_have_text("Live")
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_label("Key")).to_be_focused()
    assert await page.evaluate("sessionStorage.length") == 0


async def test_live_numbers_move(tabs: Tabs, running_node: RunningNode) -> None:
    page = await sign_in(tabs)
    chart = page.get_by_role("slider", name="Connections")
    await expect(page.locator("#node-table td[data-title=Connections]")).to_have_text("0")
    await expect(page.locator("#worker-table tbody tr")).to_have_count(2)
    await expect(page.locator("#bus-state")).to_have_text("well")
    await expect(page.locator("#inbox-state")).to_have_text("well")
    async with AsyncExitStack() as stack:
        for number in range(5):
            await stack.enter_async_context(connect_as(running_node, f"user-{number}"))
        await expect(page.locator("#node-table td[data-title=Connections]")).to_have_text("5")
        await expect(page.locator("#use-facts")).to_contain_text("5 of 20")
        await expect(page.get_by_role("meter", name="Connections, this node: 25 %")).to_be_visible()
        await expect(chart).to_have_attribute("aria-valuetext", re.compile("^now: connections 5, from 0 to 5; users 5"))
        drawn = await chart.locator("path.line").first.get_attribute("d")
        assert drawn is not None
        assert len({point.split(" ")[1] for point in re.split("[ML]", drawn)[1:]}) > 1
        await chart.focus()
        await page.keyboard.press("Home")  # the earliest moment
        await expect(chart).to_have_attribute("aria-valuetext", re.compile("seconds ago: connections 0"))


async def test_find_a_user_and_kick(tabs: Tabs, running_node: RunningNode) -> None:
    page = await sign_in(tabs)
    async with connect_as(running_node, "bo/b", "phone") as phone, connect_as(running_node, "bo/b", "tab") as tab:
        await find(page, "bo/b")
        await expect(page.locator("#user-state")).to_have_text("bo/b is online, 2 sessions.")
        await expect(page.locator("#session-table td[data-title=Device]")).to_have_text(["phone", "tab"])
        await page.get_by_role("row", name="phone").get_by_role("button").click()
        await page.keyboard.press("Escape")  # nothing is closed
        await page.get_by_role("row", name="phone").get_by_role("button").click()
        await expect(page.get_by_role("dialog")).to_contain_text("Kick the session of phone of bo/b?")
        await page.get_by_role("dialog").get_by_role("button", name="Kick").click()
        await expect(page.locator("#user-answer")).to_have_text("Closed 1 session of bo/b.")
        await expect(page.locator("#session-table td[data-title=Device]")).to_have_text(["tab"])
        await until(lambda: phone.close_code == 4503)
        assert tab.close_code is None
        await page.get_by_role("button", name="Kick all sessions").click()
        await page.get_by_role("dialog").get_by_role("button", name="Kick").click()
        await expect(page.locator("#user-state")).to_have_text("bo/b is offline, 0 sessions.")
        await until(lambda: tab.close_code == 4503)


async def test_a_test_push_shows_its_receipts(tabs: Tabs, running_node: RunningNode) -> None:
    page = await sign_in(tabs)
    ready, later = asyncio.Event(), asyncio.Event()
    ready.set()
    async with (
        acknowledging(running_node, "rita", "laptop", ready),
        acknowledging(running_node, "rita", "phone", later),
    ):
        await page.get_by_label("To user").fill("rita")
        await page.get_by_label("Data, as JSON").fill("{")
        await page.get_by_role("button", name="Push", exact=True).click()
        await expect(page.locator("#data-error")).to_contain_text("Not JSON")
        await expect(page.get_by_label("Data, as JSON")).to_be_focused()
        await page.get_by_label("Data, as JSON").fill('{"n": 1}')
        await page.get_by_role("button", name="Push", exact=True).click()
        states = page.locator("#receipt-table td[data-title=Acknowledged]")
        await expect(states).to_have_text(["yes", "not yet"])
        later.set()
        await expect(states).to_have_text(["yes", "yes"])
        await expect(page.locator("#push-answer")).to_contain_text("Acknowledged by 2 of 2 devices.")


async def test_a_read_key_sees_and_changes_nothing(tabs: Tabs, running_node: RunningNode) -> None:
    page = await sign_in(tabs, READ_KEY)
    await expect(page.locator("#access")).to_have_text("read only")
    await expect(page.get_by_role("button", name="Push", exact=True)).to_be_disabled()
    async with connect_as(running_node, "carol"):
        await find(page, "carol")
        await expect(page.locator("#user-state")).to_have_text("carol is online, 1 session.")
        await expect(page.get_by_role("button", name="Kick")).to_have_count(0)


async def test_the_policy_stops_what_is_not_the_consoles_own(tabs: Tabs) -> None:
    tabs.forgiven = ("This document requires", "Connecting to", "Applying inline style", "Fetch API")
    page = await sign_in(tabs)
    await page.evaluate(
        """() => {
          window.violated = [];
          document.addEventListener("securitypolicyviolation", (event) => violated.push(event.effectiveDirective));
          const script = document.createElement("script");
          try { script.textContent = "window.ran = true"; } catch { violated.push("trusted types"); }
          document.head.append(script);
          fetch("http://192.0.2.1/").catch(() => {});
          document.body.setAttribute("style", "color: red");
        }"""
    )
    await page.wait_for_function("violated.includes('connect-src') && violated.includes('style-src-attr')")
    await page.wait_for_function("violated.includes('trusted types')")
    assert await page.evaluate("window.ran") is None


async def test_it_can_be_read_and_operated_without_eyes_or_mouse(tabs: Tabs, running_node: RunningNode) -> None:
    page = await sign_in(tabs)
    async with connect_as(running_node, "dora", "phone"):
        await find(page, "dora")
        await expect(page.locator("#session-table tbody tr")).to_have_count(1)
        assert await page.evaluate(UNNAMED) == []
        assert await page.evaluate("document.querySelectorAll('[id]').length") == await page.evaluate(
            "new Set([...document.querySelectorAll('[id]')].map((element) => element.id)).size"
        )
        for width in (320, 390, 800, 1440, 2200):
            await page.set_viewport_size({"width": width, "height": 900})
            assert await page.evaluate("document.documentElement.scrollWidth") <= width
        await page.reload()
        await expect(page.locator("#pulse")).to_have_text("Live")
        reached = []
        for _ in range(21):
            await page.keyboard.press("Tab")
            reached.append(await page.evaluate(FOCUSED))
        assert reached == [
            "Skip to the content",
            "sign-out",
            *("Traffic", "Nodes", "Health", "User", "Test push", "Events"),
            *("Connections", "Pushes", "Deliveries", "Latency"),
            *("user", "Find", "push-user", "event", "data", "reliable", "Push"),
            *("events-node", "events-scroll"),
        ]


async def test_events_are_there_from_the_start_and_new_ones_are_spoken(tabs: Tabs, running_node: RunningNode) -> None:
    tabs.forgiven = NETWORK_TALK
    page = await sign_in(tabs)
    events, news = page.locator("#events li"), page.locator("#events-news")
    await expect(events.filter(has_text="starting")).to_have_count(1)
    await expect(events.filter(has_text="a worker is ready")).to_contain_text(["workers 0, 1"])
    await expect(news).to_be_empty()
    os.kill(running_node.worker_pids[0], signal.SIGKILL)
    await expect(events.filter(has_text="a worker ended")).to_contain_text(
        re.compile(r"Error: a worker ended worker [01] · pid \d+ · status -9"), timeout=15_000
    )
    await expect(news).to_contain_text(re.compile("Error: .+: a worker ended"))
    choice = page.get_by_label("Node", exact=True)
    (_, node) = await choice.get_by_role("option").all_text_contents()
    count = await events.count()
    await choice.select_option(node)
    await expect(events).to_have_count(count)
