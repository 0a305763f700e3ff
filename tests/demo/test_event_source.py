"""The browser's own EventSource, from a page of another origin, and `fetch` for what it acknowledges."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from tests.rig.browser import NETWORK_TALK, Page, Tabs, until
from tests.rig.node import RunningNode

pytestmark = pytest.mark.asyncio(loop_scope="module")

LISTEN = """(url) => {
  window.seen = []; window.ends = []; window.opened = 0;
  window.source = new EventSource(url);
  source.onopen = () => { window.opened += 1; };
  source.onmessage = (e) => { seen.push({place: e.lastEventId, ...JSON.parse(e.data)}); };
  source.addEventListener("close", (e) => {
    const said = JSON.parse(e.data);
    ends.push(said.code);
    if (said.code >= 4500) source.close();
  });
}"""
ACK = """async ([url, token, session, offset]) => {
  const answer = await fetch(url, {
    method: "POST",
    headers: {Authorization: "Bearer " + token, "Content-Type": "application/json"},
    body: JSON.stringify({session, offset}),
  });
  return [answer.status, await answer.text()];
}"""


async def push(api: httpx.AsyncClient, **body: Any) -> None:
    assert (await api.post("/v1/push", json={"user": "alice", **body})).status_code == 202


async def seen(page: Page, count: int, kind: str = "message") -> list[dict[str, Any]]:
    """Return the messages of a kind, once there are so many."""
    await page.wait_for_function(f"seen.filter((m) => m.type === {json.dumps(kind)}).length >= {count}")
    return [message for message in await page.evaluate("seen") if message["type"] == kind]


async def test_event_source(tabs: Tabs, api: httpx.AsyncClient, running_node: RunningNode) -> None:
    tabs.forgiven = NETWORK_TALK
    node = running_node
    clients = f"http://127.0.0.1:{node.clients_port}"
    token = node.token("alice")
    page = await tabs.blank()
    await page.goto(f"{node.api}/healthz")  # another origin than the port of clients
    await page.evaluate(LISTEN, f"{clients}/sse?token={token}&device=browser")
    (welcome,) = await seen(page, 1, "welcome")
    assert welcome["user"] == "alice"

    await push(api, data={"text": "a\nb"}, event="live")
    await push(api, data="é 🎉", qos="reliable")
    live, reliable = await seen(page, 2)
    assert (live["event"], live["data"], live["place"]) == ("live", {"text": "a\nb"}, str(welcome["cursor"]))
    assert (reliable["data"], reliable["place"]) == ("é 🎉", str(reliable["offset"]))
    said = [f"{clients}/ack", token, welcome["session"]]
    assert await page.evaluate(ACK, [*said, reliable["offset"]]) == [204, ""]
    status, text = await page.evaluate(ACK, [*said, reliable["offset"] + 100])
    assert (status, "expected at most" in text) == (400, True)
    assert (await page.evaluate(ACK, [said[0], "no token", welcome["session"], 1]))[0] == 401
    assert (await page.evaluate(ACK, [said[0], token, "0" * 16, 1]))[0] == 404

    # The browser comes back by itself, with the last id that it saw, and after the pause that it was told.
    await push(api, data="unacknowledged", qos="reliable")
    *_, last = await seen(page, 3)
    await asyncio.to_thread(node.stop)
    await page.wait_for_function("ends.length >= 1")
    assert await page.evaluate("ends") == [4000]
    reconnect = (await seen(page, 1, "reconnect"))[0]
    assert reconnect["after"] >= 0
    await asyncio.to_thread(node.start)
    _, again = await seen(page, 2, "welcome")
    assert (again["cursor"], again["missed"]) == (last["offset"], False)
    headers = {"Authorization": f"Bearer {node.key}"}
    async with httpx.AsyncClient(base_url=node.api, headers=headers) as anew:
        await push(anew, data="after", qos="reliable")
        assert [message["data"] for message in await seen(page, 4)][3:] == ["after"], "nothing came twice"
        assert (await anew.delete("/v1/users/alice/sessions")).json()["closed"] == 1
    await page.wait_for_function("ends.length >= 2")
    assert await page.evaluate("[ends[1], source.readyState]") == [4503, 2]
    await until(lambda: node.metrics()["event_streams"] == 0)
