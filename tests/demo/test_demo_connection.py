"""How the demo page keeps its connection: a gateway that says what a test wants, a clock that a test moves."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.rig.browser import NETWORK_TALK, Page, Tabs, WebSocketRoute, expect, until

SOCKET = re.compile(r"/ws\?")

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Scripted:
    """A gateway in place of the real one's WebSocket: `sockets` and what each page `said`, in order."""

    def __init__(self) -> None:
        self.sockets: list[WebSocketRoute] = []
        self.said: list[dict[str, Any]] = []
        self.pongs = True
        self.tokens: set[str] = set()
        self.greets = True
        self.place: dict[str, Any] = {}

    def admit(self, socket: WebSocketRoute) -> None:
        self.sockets.append(socket)
        socket.on_message(lambda text: self._hear(socket, text))
        if self.greets:
            self.send({"type": "welcome", "session": f"s{len(self.sockets)}", "user": "alice", **self.place})

    def send(self, message: dict[str, Any]) -> None:
        self.sockets[-1].send(json.dumps(message))

    async def close(self, code: int, reason: str = "") -> None:
        await self.sockets[-1].close(code=code, reason=reason)

    def _hear(self, socket: WebSocketRoute, text: str | bytes) -> None:
        self.said.append(json.loads(text))
        if self.said[-1]["type"] == "ping" and self.pongs:
            socket.send('{"type": "pong"}')


async def visit(tabs: Tabs, gateway: Scripted, *, clock: bool = False) -> Page:
    """Open the page; with `clock` its time stands still from then on, but for what the test moves it."""
    tabs.forgiven = NETWORK_TALK
    page = await tabs.blank()
    await page.route_web_socket(SOCKET, gateway.admit)
    if clock:
        await page.clock.install()
    await tabs.visit(page)
    if gateway.greets:
        await expect(page.locator("#session")).to_have_text("s1")
    if clock:
        now = await page.evaluate("Date.now()")
        await page.clock.pause_at(datetime.fromtimestamp(now / 1000 + 1, UTC))
    return page


def count_tokens(page: Page) -> Callable[[], int]:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/v1/tokens") else None)
    return lambda: len(asked)


async def test_codes_after_which_it_connects_again_with_the_same_token(tabs: Tabs) -> None:
    gateway = Scripted()
    page = await visit(tabs, gateway)
    await page.evaluate("Math.random = () => 0")
    tokens = count_tokens(page)
    for number, code in enumerate((1001, 1009, 1011, 1012, 4000, 4001, 4002, 4003, 4004, 4499)):
        await gateway.close(code)
        await expect(page.locator("#session")).to_have_text(f"s{number + 2}")
    assert tokens() == 0


async def test_codes_after_which_it_stays_closed(tabs: Tabs) -> None:
    gateway = Scripted()
    page = await visit(tabs, gateway, clock=True)
    for number, code in enumerate((1000, 1002, 1007, 4500, 4502, 4503, 4504, 4505, 4506, 4999)):
        await gateway.close(code, "because of <b>")
        await expect(page.locator("#state")).to_have_text("Closed")
        await expect(page.locator("#reason")).to_contain_text(f"Closed with {code}")
        await expect(page.locator("#reason")).to_contain_text("The gateway says: because of <b>")
        await page.clock.fast_forward("10:00")
        await expect(page.locator("#state")).to_have_text("Closed")
        assert len(gateway.sockets) == number + 1
        await page.get_by_role("button", name="Connect").click()
        await expect(page.locator("#session")).to_have_text(f"s{number + 2}")


async def test_an_expired_token_is_replaced(tabs: Tabs) -> None:
    gateway = Scripted()
    page = await visit(tabs, gateway)
    tokens = count_tokens(page)
    await gateway.close(4501)
    await expect(page.locator("#session")).to_have_text("s2")
    assert tokens() == 1


async def test_it_waits_as_long_as_the_gateway_asks(tabs: Tabs) -> None:
    gateway = Scripted()
    page = await visit(tabs, gateway, clock=True)
    gateway.send({"type": "reconnect", "after": 200})
    await gateway.close(4000)
    await expect(page.locator("#state")).to_contain_text("Reconnecting in")
    await page.clock.fast_forward(150_000)
    await page.evaluate("dispatchEvent(new Event('online'))")
    await expect(page.locator("#state")).to_contain_text("Reconnecting in")
    assert len(gateway.sockets) == 1
    await page.clock.fast_forward(50_000)
    await expect(page.locator("#session")).to_have_text("s2")


async def test_it_backs_off_up_to_half_a_minute(tabs: Tabs) -> None:
    gateway = Scripted()
    page = await visit(tabs, gateway, clock=True)
    await page.evaluate("Math.random = () => 0.999")
    waits = []
    for attempt in range(9):
        await gateway.close(4004)
        await expect(page.locator("#state")).to_contain_text("Reconnecting in")
        waits.append(int(str(await page.locator("#state").text_content()).split()[2]))
        await page.clock.fast_forward(30_000)
        await expect(page.locator("#session")).to_have_text(f"s{attempt + 2}")
    assert waits == [1, 1, 2, 4, 8, 16, 30, 30, 30]
    await page.clock.fast_forward(6_000)  # it held: the next loss is a first one again
    await gateway.close(4004)
    await expect(page.locator("#state")).to_have_text("Reconnecting in 1 s")


async def test_silence_is_asked_about_and_answered(tabs: Tabs) -> None:
    gateway = Scripted()
    page = await visit(tabs, gateway, clock=True)
    for pings in (1, 2, 3):
        await page.clock.fast_forward(40_000)
        await until(lambda expected=pings: gateway.said == [{"type": "ping"}] * expected)  # type: ignore[misc]
        await page.clock.fast_forward(11_000)
    await expect(page.locator("#session")).to_have_text("s1")


async def test_a_gateway_that_does_not_answer_is_left(tabs: Tabs) -> None:
    gateway = Scripted()
    page = await visit(tabs, gateway, clock=True)
    gateway.pongs = False
    await page.clock.fast_forward(40_000)
    await until(lambda: gateway.said == [{"type": "ping"}])
    await page.clock.fast_forward(9_000)
    await expect(page.locator("#session")).to_have_text("s1")
    await page.clock.fast_forward(1_000)
    await expect(page.locator("#reason")).to_have_text("The gateway stopped answering.")
    await page.clock.fast_forward(500)
    await expect(page.locator("#session")).to_have_text("s2")


async def test_a_gateway_that_does_not_greet_is_left(tabs: Tabs) -> None:
    gateway = Scripted()
    gateway.greets = False
    page = await visit(tabs, gateway, clock=True)
    await until(lambda: len(gateway.sockets) == 1)
    await expect(page.locator("#state")).to_have_text("Connecting…")
    gateway.greets = True
    await page.clock.fast_forward(15_000)
    await expect(page.locator("#reason")).to_have_text("The gateway did not say welcome in time.")
    await page.clock.fast_forward(500)
    await expect(page.locator("#session")).to_have_text("s2")


EVENTS = {
    "offline": "window.dispatchEvent(new Event('offline'))",
    "online": "window.dispatchEvent(new Event('online'))",
    "visible": "document.dispatchEvent(new Event('visibilitychange'))",
}


async def test_a_doubtful_connection_is_asked_about_at_once(tabs: Tabs) -> None:
    gateway = Scripted()
    page = await visit(tabs, gateway)
    for number, event in enumerate(EVENTS.values()):
        await page.evaluate(event)
        await until(lambda expected=number + 1: gateway.said == [{"type": "ping"}] * expected)  # type: ignore[misc]
    await expect(page.locator("#session")).to_have_text("s1")


async def test_it_does_not_wait_any_longer_when_the_network_or_the_tab_is_back(tabs: Tabs) -> None:
    gateway = Scripted()
    page = await visit(tabs, gateway, clock=True)
    for number, event in enumerate(("online", "visible")):
        await gateway.close(4004)
        await expect(page.locator("#state")).to_contain_text("Reconnecting in")
        await page.evaluate(EVENTS[event])
        await expect(page.locator("#session")).to_have_text(f"s{number + 2}")


@pytest.mark.parametrize(
    ("status", "state", "said"),
    [
        (401, "Closed", "does not know this page's key"),
        (400, "Closed", "The request is not right: a field is wrong (400). user: expected a name."),
        (503, "Reconnecting in 60 s", "Not ready: soon (503)."),
    ],
)
async def test_tokens_that_it_does_not_get(tabs: Tabs, status: int, state: str, said: str) -> None:
    gateway = Scripted()
    tabs.forgiven = NETWORK_TALK
    page = await tabs.blank()
    await page.clock.install()
    await page.clock.pause_at("2030-01-01")
    problems: dict[int, dict[str, Any]] = {
        400: {
            "title": "The request is not right",
            "detail": "a field is wrong",
            "errors": [{"field": "user", "message": "expected a name"}],
        },
        401: {"title": "No or unknown API key"},
        503: {"title": "Not ready", "detail": "soon"},
    }
    await page.route(
        "**/v1/tokens",
        lambda route: route.fulfill(
            status=status, headers={"Retry-After": "60"}, content_type="application/problem+json", json=problems[status]
        ),
    )
    await page.route_web_socket(SOCKET, gateway.admit)
    await tabs.visit(page)
    await expect(page.locator("#state")).to_have_text(state)
    await expect(page.locator("#reason")).to_contain_text(said)
    assert gateway.sockets == []


async def test_the_list_is_bounded(tabs: Tabs) -> None:
    gateway = Scripted()
    page = await visit(tabs, gateway)
    for number in range(520):
        gateway.send({"type": "message", "id": f"{number}", "event": f"e{number}", "data": number, "time": 0})
    await expect(page.locator("#messages .event").first).to_have_text("e519")
    await expect(page.locator("#messages li")).to_have_count(500)
    await expect(page.locator("#messages .event").last).to_have_text("e20")
    await expect(page.locator("#count")).to_have_text("the newest 500")


async def test_bytes_are_shown_as_base64(tabs: Tabs) -> None:
    gateway = Scripted()
    page = await visit(tabs, gateway)
    gateway.send(
        {"type": "message", "id": "1", "event": "b", "data": "3q2+7w==", "encoding": "base64", "time": 0, "new": 1}
    )
    await expect(page.locator("#messages pre")).to_have_text("bytes, as base64: 3q2+7w==")


async def test_an_error_is_told_and_the_connection_lives(tabs: Tabs) -> None:
    gateway = Scripted()
    page = await visit(tabs, gateway)
    gateway.send({"type": "error", "code": "bad_field", "message": "no such <i>"})
    gateway.send({"type": "something new"})
    await expect(page.locator("#reason")).to_contain_text("no such <i> (bad_field)")
    await expect(page.locator("#state")).to_have_text("Connected")


async def test_a_tab_behind_others_counts_in_its_title(tabs: Tabs) -> None:
    gateway = Scripted()
    page = await visit(tabs, gateway)
    await page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    for number in range(2):
        gateway.send({"type": "message", "id": f"{number}", "event": "e", "data": number, "time": 0})
    await expect(page).to_have_title("(2) pushgate demo")
    await page.evaluate("delete document.hidden")
    await page.evaluate(EVENTS["visible"])
    await expect(page).to_have_title("pushgate demo")


def asked(socket: WebSocketRoute) -> dict[str, str]:
    """What a page asked for, but for its device's name."""
    query = {name: value for name, (value,) in parse_qs(urlsplit(socket.url).query).items()}
    assert query.pop("device").startswith("tab-")
    return query


async def test_it_goes_on_from_its_cursor_and_drops_what_it_has(tabs: Tabs) -> None:
    gateway = Scripted()
    gateway.place = {"cursor": 4, "epoch": "e"}
    page = await visit(tabs, gateway)
    await page.evaluate("Math.random = () => 0")

    def send(offset: int, **more: Any) -> None:
        gateway.send({"type": "message", "id": "i", "event": "e", "data": offset, "time": 0, "offset": offset, **more})

    for offset in (4, 6, 9, 6):
        send(offset)
    await until(lambda: {"type": "ack", "offset": 9} in gateway.said)
    await expect(page.locator("#messages pre")).to_have_text(["9", "6"])
    await expect(page.locator("#messages .mark")).to_have_text(["acknowledged"] * 2)
    assert gateway.said == [{"type": "ack", "offset": 9}], "one for both"
    gateway.place = {"cursor": 9, "epoch": "e"}
    await gateway.close(4000)
    await expect(page.locator("#session")).to_have_text("s2")
    send(9, resent=True)
    send(12)
    await expect(page.locator("#messages pre")).to_have_text(["12", "9", "6"])
    gateway.place = {"cursor": 0, "epoch": "new", "missed": True}
    await gateway.close(4000)
    await expect(page.locator("#session")).to_have_text("s3")
    await expect(page.locator("#reason")).to_contain_text("Some reliable messages are gone")
    send(1)
    await expect(page.locator("#messages pre")).to_have_text(["1", "12", "9", "6"])
    queries = [asked(socket) for socket in gateway.sockets]
    assert queries == [{"from": "now"}, {"cursor": "9", "epoch": "e"}, {"cursor": "12", "epoch": "e"}]


async def test_a_line_that_was_not_acknowledged_in_time_is_once_the_page_is_back(tabs: Tabs) -> None:
    gateway = Scripted()
    gateway.place = {"cursor": 0, "epoch": "e"}
    page = await visit(tabs, gateway, clock=True)
    gateway.send({"type": "message", "id": "i", "event": "e", "data": 1, "time": 0, "offset": 3})
    await expect(page.locator("#messages .mark")).to_have_text("received")
    gateway.place = {"cursor": 3, "epoch": "e"}
    await gateway.close(4000)
    await page.clock.fast_forward(1_000)
    await expect(page.locator("#session")).to_have_text("s2")
    await expect(page.locator("#messages .mark")).to_have_text("acknowledged")
    assert asked(gateway.sockets[1]) == {"cursor": "3", "epoch": "e"}
    assert gateway.said == []
