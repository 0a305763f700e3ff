"""The SDK in a real Chromium, against a real gateway: an inbox, several tabs, what happens to pages."""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.rig.node import RunningNode
from tests.sdk.pages import Page, Pages, connected, wait_for

pytestmark = pytest.mark.asyncio(loop_scope="module")


def push(node: RunningNode, user: str, *data: Any, **fields: Any) -> None:
    for one in data:
        answer = node.push(user, one, qos="reliable", **fields)
        assert answer.status_code == 202, answer.text


async def connections(page: Page, node: RunningNode, user: str) -> int:
    """How many connections a user has, as the gateway sees it."""
    answer = httpx.get(f"{node.api}/v1/users/{user}", headers={"Authorization": f"Bearer {node.key}"}, timeout=10)
    return len(answer.json()["sessions"])


async def test_live_and_reliable_messages_come_without_an_inbox(pages: Pages, node: RunningNode) -> None:
    page = await pages.open("plain")
    assert node.push("plain", {"n": 1}).status_code == 202
    await wait_for(page, [{"n": 1}])
    push(node, "plain", 2)
    await wait_for(page, [{"n": 1}, 2])


async def test_a_page_that_was_away_gets_the_rest(pages: Pages, node: RunningNode) -> None:
    page = await pages.open("away", inbox=True)
    push(node, "away", 1, 2)
    await wait_for(page, [1, 2])
    await page.goto("about:blank")
    push(node, "away", 3, 4)
    await page.goto(pages.address("away", inbox=True))
    await wait_for(page, [3, 4])


async def test_tabs_share_a_connection_and_each_gets_every_message(pages: Pages, node: RunningNode) -> None:
    first, second, third = [await pages.open("shared", inbox=True) for _ in range(3)]
    assert await connections(first, node, "shared") == 1
    push(node, "shared", 1, 2, 3)
    for page in (first, second, third):
        await wait_for(page, [1, 2, 3])
    assert node.push("shared", "live").status_code == 202
    for page in (first, second, third):
        await wait_for(page, [1, 2, 3, "live"])
    await first.close()
    push(node, "shared", 4)
    for page in (second, third):
        await wait_for(page, [1, 2, 3, "live", 4])
    await second.close()
    push(node, "shared", 5)
    await wait_for(third, [1, 2, 3, "live", 4, 5])
    assert await connections(third, node, "shared") == 1


async def test_what_the_leading_tab_did_not_finish_the_next_one_does(pages: Pages, node: RunningNode) -> None:
    first = await pages.open("unfinished", inbox=True)
    await first.evaluate("void (work = () => new Promise(() => {}))")
    push(node, "unfinished", 1, 2)
    await first.wait_for_function("gate.state.name === 'connected'")
    second = await pages.open("unfinished", inbox=True)
    push(node, "unfinished", 3)
    await wait_for(second, [3])
    third = await pages.blank()
    await third.goto(pages.address("unfinished", inbox=True))
    await connected(third)
    await second.close()
    await first.close()
    await wait_for(third, [1, 2, 3])


async def test_a_handler_that_throws_is_offered_the_message_again(pages: Pages, node: RunningNode) -> None:
    page = await pages.open("throws", inbox=True)
    await page.evaluate(
        "let tries = 0; void (work = ({data}) => { if (data === 2 && tries++ < 2) throw new Error('not yet') })"
    )
    push(node, "throws", 1, 2, 3)
    await wait_for(page, [1, 2, 3])
    assert await page.evaluate("errors") == ["Error: not yet"] * 2


async def test_a_device_a_tab_and_a_copied_tab_is_its_own(pages: Pages, node: RunningNode) -> None:
    first = await pages.open("alone", inbox=True, shared=False)
    async with first.expect_popup() as opened:
        await first.evaluate("window.open(location.href)")  # what is in sessionStorage is copied
    second = await opened.value
    await connected(second)
    assert await connections(first, node, "alone") == 2
    push(node, "alone", 1)
    for page in (first, second):
        await wait_for(page, [1])
    await first.goto("about:blank")
    push(node, "alone", 2)
    await wait_for(second, [1, 2])
    await first.goto(pages.address("alone", inbox=True, shared=False))
    await wait_for(first, [2])


async def test_a_page_that_comes_back_by_the_back_button_goes_on(pages: Pages, node: RunningNode) -> None:
    page = await pages.open("back", inbox=True)
    push(node, "back", 1)
    await wait_for(page, [1])
    await page.goto(pages.site.url)
    assert await connections(page, node, "back") == 0
    push(node, "back", 2)
    await page.go_back(wait_until="commit")
    await wait_for(page, [1, 2])  # `got` is still there: the page was kept
    assert not any(state.get("missed") for state in await page.evaluate("states"))


async def test_bytes_are_bytes(pages: Pages, node: RunningNode) -> None:
    page = await pages.open("bytes")
    await page.evaluate(
        "void (work = (message) => { message.data = [message.data instanceof Uint8Array, ...message.data] })"
    )
    body = {"user": "bytes", "data_base64": "AQL/"}
    httpx.post(f"{node.api}/v1/push", json=body, headers={"Authorization": f"Bearer {node.key}"}, timeout=10)
    await wait_for(page, [[True, 1, 2, 255]])


async def test_a_user_that_is_kicked_is_told_in_every_tab(pages: Pages, node: RunningNode) -> None:
    first, second = [await pages.open("kicked", inbox=True) for _ in range(2)]
    httpx.delete(
        f"{node.api}/v1/users/kicked/sessions", headers={"Authorization": f"Bearer {node.key}"}, timeout=10
    ).raise_for_status()
    for page in (first, second):
        await page.wait_for_function("gate.state.name === 'closed' && gate.state.code === 4503")
    assert await connections(first, node, "kicked") == 0


async def test_a_plain_websocket_in_ten_lines(pages: Pages, node: RunningNode) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "client.md").read_text()
    lines = re.findall(r"```js\n(async function connect.*?)```", guide, re.DOTALL)[0]
    script = lines.replace("wss://push.example.com/ws", node.url).replace("/push-token", "/token?user=plainly")
    assert node.url in script
    assert "/token?user=plainly" in script
    page = await pages.blank()
    await page.goto(pages.site.url)
    async with page.expect_websocket() as opened:
        await page.add_script_tag(content=script.replace("console.log(event, data)", "got.push([event, data])"))
    async with (await opened.value).expect_event("framereceived"):
        pass  # the gateway's welcome
    assert node.push("plainly", {"n": 1}, event="note").status_code == 202
    await wait_for(page, [["note", {"n": 1}]])
