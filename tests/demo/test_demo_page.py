"""The demo page in a real browser, against a real gateway."""

import json
import re
import shlex
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from tests.rig.browser import NETWORK_TALK, Page, Tabs, expect, until
from tests.rig.node import RunningNode

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def push(api: httpx.AsyncClient, **body: Any) -> None:
    response = await api.post("/v1/push", json=body)
    assert response.status_code == 202, response.text


async def send_form(page: Page, event: str, data: str, target: str | None = None) -> None:
    await page.bring_to_front()  # a tab behind others is drawn seldom, and a click waits for that
    if target is not None:
        await page.get_by_role("radio", name=target).check()
    await page.get_by_label("Event").fill(event)
    await page.get_by_label("Data, as JSON").fill(data)
    await page.get_by_role("button", name="Push", exact=True).click()


async def test_both_tabs_of_a_user_show_a_push_and_another_user_does_not(tabs: Tabs, api: httpx.AsyncClient) -> None:
    first, second, other = await tabs.open(), await tabs.open(), await tabs.open("bob")
    await push(api, user="alice", event="comment", data={"text": "from a shell", "n": [1, 2]})
    for page in (first, second):
        row = page.get_by_role("log").get_by_role("listitem")
        await expect(row).to_have_count(1)
        await expect(row.locator(".event")).to_have_text("comment")
        await expect(row.locator("pre")).to_have_text('{ "text": "from a shell", "n": [ 1, 2 ] }')
        await expect(row.locator(".latency")).to_contain_text("ms")
        await expect(row.locator("time")).to_contain_text(":")
    # What comes to everyone afterwards would come after the push that bob must not get.
    await push(api, everyone=True, event="notice", data="all of you")
    await expect(other.locator("#messages .event")).to_have_text(["notice"])
    await expect(second.locator("#messages .event")).to_have_text(["notice", "comment"])


async def test_the_form_pushes_to_the_user_or_to_everyone(tabs: Tabs) -> None:
    first, second, other = await tabs.open(), await tabs.open(), await tabs.open("bob")
    await send_form(first, "order.shipped", '{ "number": 1.50,  "to": "a  b" }')
    await expect(first.locator("#answer")).to_contain_text("Accepted in")
    await expect(first.locator("#answer")).to_contain_text("id ")
    for page in (first, second):
        await expect(page.locator("#messages pre")).to_have_text('{ "number": 1.5, "to": "a  b" }')
    await send_form(first, "notice", '"all of you"', target="everyone")
    for page, events in ((other, ["notice"]), (second, ["notice", "order.shipped"])):
        await expect(page.locator("#messages .event")).to_have_text(events)
    await second.bring_to_front()
    await second.get_by_role("button", name="Clear").click()
    await expect(second.locator("#messages li")).to_have_count(0)
    await expect(second.locator("#empty")).to_be_visible()


async def test_the_curl_line_makes_the_same_push(tabs: Tabs) -> None:
    await (await tabs.context()).grant_permissions(["clipboard-read", "clipboard-write"])
    page = await tabs.open()
    await page.get_by_label("Data, as JSON").fill("""{"text": "it's $HOME `x` \\\\ \\"y\\""}""")
    await page.get_by_role("button", name="Copy").click()
    await expect(page.locator("#copy")).to_have_text("Copied")
    words = shlex.split(await page.evaluate("navigator.clipboard.readText()"))
    assert words[0::2] == ["curl", "-H", "-H", "-d"]
    headers = dict(words[index].split(": ", 1) for index in (3, 5))
    async with httpx.AsyncClient() as shell:
        assert (await shell.post(words[1], headers=headers, content=words[7])).status_code == 202
    await expect(page.locator("#messages pre")).to_have_text("""{ "text": "it's $HOME `x` \\\\ \\"y\\"" }""")


async def test_what_is_pushed_is_shown_as_text(tabs: Tabs, api: httpx.AsyncClient) -> None:
    page = await tabs.open()
    markup = "<img src=x onerror=\"document.title = 'owned'\"><script>alert(1)</script>"
    await push(api, user="alice", event=markup, data=markup)
    await expect(page.locator("#messages .event")).to_have_text(markup)
    await expect(page.locator("#messages pre")).to_have_text(json.dumps(markup))
    await expect(page.locator("#messages img, #messages script")).to_have_count(0)


async def test_mistakes_are_told_in_plain_words(tabs: Tabs) -> None:
    tabs.forgiven = NETWORK_TALK
    page = await tabs.open()
    data = page.get_by_label("Data, as JSON")
    await send_form(page, "comment", "{text: 1}")
    await expect(page.locator("#data-error")).to_contain_text("Not JSON")
    await expect(data).to_have_attribute("aria-invalid", "true")
    await expect(data).to_be_focused()
    await expect(page.get_by_role("button", name="Copy")).to_be_disabled()
    await expect(page.locator("#answer")).to_be_empty()
    async with page.expect_request("**/v1/push") as request:
        await send_form(page, "comment", "9007199254740993")
    assert '"data":9007199254740993}' in str((await request.value).post_data)  # not rounded to …992
    await expect(page.locator("#answer")).to_contain_text("The request is not right")
    await expect(page.locator("#answer .line")).to_contain_text("data")
    await expect(page.locator("#data-error")).to_be_hidden()


async def test_another_user_by_the_form(tabs: Tabs, api: httpx.AsyncClient) -> None:
    page = await tabs.open()
    before = await page.locator("#session").text_content()
    await page.get_by_label("User").fill("Zoë/*")
    await page.get_by_label("User").press("Enter")
    await expect(page.locator("#session")).not_to_have_text(str(before))
    await expect(page.locator("#session")).not_to_have_text("none")
    await push(api, user="Zoë/*", event="for-zoe", data=None)
    await expect(page.locator("#messages pre")).to_have_text("null")
    await page.reload()
    await expect(page.get_by_label("User")).to_have_value("Zoë/*")


async def test_it_comes_back_when_the_gateway_does(
    tabs: Tabs, running_node: RunningNode, api: httpx.AsyncClient
) -> None:
    tabs.forgiven = NETWORK_TALK
    page = await tabs.open()
    running_node.stop()
    try:
        await expect(page.locator("#state")).to_have_text(re.compile(r"Reconnecting in \d+ s"))
        await expect(page.locator("#reason")).to_have_text(re.compile(r"Closed with 4000 going_away|\(1006\)"))
        await expect(page.get_by_role("button", name="Connect now")).to_be_visible()
    finally:
        running_node.start()
    await expect(page.locator("#state")).to_have_text("Connected", timeout=15_000)
    await expect(page.locator("#reason")).to_be_hidden()
    await push(api, user="alice", event="after", data=1)
    await expect(page.locator("#messages .event")).to_have_text("after")


async def test_it_says_why_it_was_closed_and_stays_so(
    tabs: Tabs, running_node: RunningNode, api: httpx.AsyncClient
) -> None:
    page = await tabs.open("carol")
    answer = await api.post("/v1/tokens", json={"user": "carol"})
    protocols = [Subprotocol("pushgate.v1.json"), Subprotocol(f"bearer.{answer.json()['token']}")]
    async with AsyncExitStack() as stack:
        for _ in range(10):  # the cap of one user: the oldest goes
            await stack.enter_async_context(connect(running_node.url, subprotocols=protocols))
        await expect(page.locator("#state")).to_have_text("Closed")
        await expect(page.locator("#reason")).to_contain_text("Closed with 4502 replaced")
    await page.get_by_role("button", name="Connect").click()
    await expect(page.locator("#state")).to_have_text("Connected")
    await page.get_by_role("button", name="Disconnect").click()
    await expect(page.locator("#reason")).to_have_text("Closed by you.")


async def test_it_lives_through_a_network_that_goes_and_comes(tabs: Tabs, api: httpx.AsyncClient) -> None:
    tabs.forgiven = NETWORK_TALK
    page = await tabs.open()
    context = await tabs.context()
    await context.set_offline(True)
    assert await page.evaluate("navigator.onLine") is False
    await context.set_offline(False)
    await expect(page.locator("#state")).to_have_text("Connected")
    await push(api, user="alice", event="after", data=1)
    await expect(page.locator("#messages .event")).to_have_text("after")


async def test_it_brings_a_new_token_before_the_old_expires(tabs: Tabs) -> None:
    page = await tabs.blank()
    sent: list[str] = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(str(frame))))
    await page.clock.install()
    await tabs.visit(page)
    await page.locator("#state[data-state=connected]").wait_for()
    async with page.expect_response("**/v1/tokens"):
        await page.clock.fast_forward("48:01")
    await until(lambda: any('"refresh"' in frame for frame in sent))
    await expect(page.locator("#state")).to_have_text("Connected")
    await expect(page.locator("#reason")).to_be_hidden()


async def test_narrow_and_wide_pages_do_not_scroll_sideways(tabs: Tabs, api: httpx.AsyncClient) -> None:
    await tabs.context(viewport={"width": 320, "height": 640})
    page = await tabs.open("w" * 255)
    await push(api, user="w" * 255, event="e" * 128, data={"long": "x" * 6000})
    await expect(page.locator("#messages pre")).to_contain_text("characters more")
    for width in (320, 390, 930, 1600):
        await page.set_viewport_size({"width": width, "height": 700})
        assert await page.evaluate("document.documentElement.scrollWidth") <= width


async def test_reliable_lines_are_acknowledged_and_told_to_who_pushed(tabs: Tabs) -> None:
    first, second = await tabs.open("rita"), await tabs.open("rita")
    names = [await page.locator("#device").text_content() for page in (first, second)]
    assert len({*names}) == 2, "each tab is a device"
    await first.bring_to_front()
    await first.get_by_role("switch", name="Reliable").check()
    await expect(first.locator("#curl")).to_contain_text('"qos":"reliable"')
    await send_form(first, "paid", '{"order": 7}')
    for page in (first, second):
        await expect(page.locator("#messages .mark")).to_have_text(["acknowledged"])
    await expect(first.locator("#answer .receipt")).to_have_text("Acknowledged by 2 of 2 connected devices.")
    await send_form(first, "notice", '"all of you"', target="everyone")
    await expect(second.locator("#messages .mark")).to_have_text(["acknowledged", "acknowledged"])
    await expect(first.locator("#answer .receipt")).to_have_text(re.compile(r"Acknowledged by (\d+) of \1 connected"))
    await first.get_by_role("switch", name="Reliable").uncheck()
    await send_form(first, "live", "1")
    await expect(second.locator("#messages .event")).to_have_text(["live", "notice", "paid"])
    await expect(second.locator("#messages .mark")).to_have_count(2)
    await expect(first.locator("#answer .receipt")).to_have_count(0)


def lines(page: Page) -> Any:
    return page.locator("#messages pre")


async def test_no_line_is_missed_or_doubled_over_disconnects_and_reloads(tabs: Tabs, api: httpx.AsyncClient) -> None:
    page = await tabs.open("sven")
    pushed = 0

    async def push_some() -> None:
        nonlocal pushed
        for _ in range(3):
            await push(api, user="sven", data=pushed, qos="reliable")
            pushed += 1

    await push_some()
    await expect(lines(page)).to_have_count(3)
    for _ in range(3):
        await page.get_by_role("button", name="Disconnect").click()
        await push_some()
        await page.get_by_role("button", name="Connect", exact=True).click()
        await expect(page.locator("#state")).to_have_text("Connected")
        await push_some()
        await expect(lines(page)).to_have_text([str(number) for number in reversed(range(pushed))])
        await expect(page.locator("#messages .mark.done")).to_have_count(pushed)
    seen = pushed
    await tabs.visit(page, "?user=sven")
    await page.locator("#state[data-state=connected]").wait_for()
    await push_some()
    await expect(lines(page)).to_have_text([str(number) for number in reversed(range(seen, pushed))])


async def test_no_line_is_missed_or_doubled_over_a_restart_of_the_gateway(
    tabs: Tabs, running_node: RunningNode, api: httpx.AsyncClient
) -> None:
    tabs.forgiven = NETWORK_TALK
    page = await tabs.open("ute")
    for number in range(3):
        await push(api, user="ute", data=number, qos="reliable")
    await expect(lines(page)).to_have_count(3)
    running_node.stop()
    running_node.start()
    for number in range(3, 6):  # before the page is back, or while it comes
        await push(api, user="ute", data=number, qos="reliable")
    await expect(page.locator("#state")).to_have_text("Connected", timeout=15_000)
    await push(api, user="ute", data=6, qos="reliable")
    await expect(lines(page)).to_have_text([str(number) for number in reversed(range(7))])
    await expect(page.locator("#messages .mark.done")).to_have_count(7)
    await expect(page.locator("#reason")).to_be_hidden()


async def test_a_copied_tab_is_another_device(tabs: Tabs) -> None:
    page = await tabs.open("vera")
    async with (await tabs.context()).expect_page() as opened:
        await page.evaluate("open('/demo?user=vera')")  # takes the storage of its opener along
    copy = await opened.value
    await copy.locator("#state[data-state=connected]").wait_for()
    assert await copy.locator("#device").text_content() != await page.locator("#device").text_content()
    await expect(page.locator("#state")).to_have_text("Connected")
