"""A Listener against a server that closes as told: when it connects again, when it stops, and what it yields."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from pushgate.client import listener as module
from pushgate.client.backoff import Backoff
from pushgate.client.errors import ListenStopped, Unreachable
from pushgate.client.listener import Listener

WELCOME = '{"type":"welcome","session":"s","user":"alice","tenant":"default","ping":25,"limits":{"message":65536}}'


def message(text: str) -> str:
    return f'{{"type":"message","id":"{text}","event":"e","data":"{text}","time":1}}'


class Script:
    """What the server does with one connection after another: says things, then closes with a code."""

    def __init__(self, *steps: tuple[int, list[str]]) -> None:
        self.steps = list(steps)
        self.seen: list[ServerConnection] = []

    async def __call__(self, connection: ServerConnection) -> None:
        self.seen.append(connection)
        code, words = self.steps.pop(0)
        for word in words:
            await connection.send(word)
        if code:
            await connection.close(code, "why")
        else:
            connection.transport.abort()


@asynccontextmanager
async def serving(script: Callable[[ServerConnection], Awaitable[None]]) -> AsyncIterator[str]:
    async with serve(script, "127.0.0.1", 0, subprotocols=["pushgate.v1.json"]) as server:  # type: ignore[list-item]
        yield f"ws://127.0.0.1:{port_of(server)}/ws"


def port_of(server: Server) -> int:
    port: int = next(iter(server.sockets)).getsockname()[1]
    return port


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits, the longest that there can be; none of them is waited."""
    noted: list[float] = []

    class Noted(Backoff):
        def next(self, after: float | None = None) -> float:
            with monkeypatch.context() as patched:
                patched.setattr("random.random", lambda: 1.0)
                noted.append(super().next(after))
            return 0.0

    monkeypatch.setattr(module, "Backoff", Noted)
    return noted


async def read_all(listener: Listener) -> list[str]:
    """The ids of all messages, and the code that ended them."""
    got: list[str] = []
    try:
        async for each in listener:
            got.append(each.id)  # noqa: PERF401 - what came before the end counts
    except ListenStopped as stopped:
        return [*got, str(stopped.code)]
    raise AssertionError("it ended without a reason")


async def test_it_connects_again_until_told_not_to(waits: list[float]) -> None:
    script = Script(
        (1001, [WELCOME, message("a"), '{"type":"from the future"}', message("b")]),
        (0, [WELCOME, message("c")]),
        (1011, [WELCOME]),
        (4503, [WELCOME, message("d")]),
    )
    words: list[str] = []
    async with serving(script) as url:
        listener = Listener(url, lambda: "the token", device="phone", notice=words.append)
        assert await read_all(listener) == ["a", "b", "c", "d", "4503"]
    assert waits == [2.0, 2.0, 2.0]
    request = script.seen[0].request
    assert request
    assert request.path == "/ws?device=phone", "without an inbox there is no cursor"
    assert request.headers["Authorization"] == "Bearer the token"
    assert script.seen[0].subprotocol == "pushgate.v1.json"
    assert listener.welcome
    assert listener.welcome.user == "alice"
    assert words[:2] == ["connected as alice, session s", "closed with 1001 why; connecting again in 0.0 s"]


async def test_an_expired_token_is_replaced(waits: list[float]) -> None:
    tokens = iter(["old", "new"])

    async def token() -> str:
        return next(tokens)

    script = Script((4501, []), (4502, [WELCOME]))
    async with serving(script) as url:
        assert await read_all(Listener(url, token)) == ["4502"]
    requests = [each.request for each in script.seen]
    assert [each.headers["Authorization"] for each in requests if each] == ["Bearer old", "Bearer new"]


async def test_an_expired_token_without_a_new_one_ends_it(waits: list[float]) -> None:
    script = Script((4501, []))
    async with serving(script) as url:
        assert await read_all(Listener(url, lambda: "old")) == ["4501"]
    assert len(script.seen) == 1


@pytest.mark.parametrize("code", [1000, 1002, 4500, 4999])
async def test_final_codes(code: int, waits: list[float]) -> None:
    async with serving(Script((code, [WELCOME]))) as url:
        assert await read_all(Listener(url, lambda: "t")) == [str(code)]
    assert waits == []


async def test_what_the_gateway_tells_spreads_its_tries(waits: list[float]) -> None:
    far, near = (f'{WELCOME[:-1]},"spread":{spread}}}' for spread in (7.5, 0.5))
    script = Script((0, [far]), (0, [near]), (4503, []))
    async with serving(script) as url:
        assert await read_all(Listener(url, lambda: "t")) == ["4503"]
    assert waits == [7.5, 7.5]


async def test_it_waits_as_long_as_the_gateway_asks(waits: list[float]) -> None:
    script = Script((4000, [WELCOME, '{"type":"reconnect","after":7.5}']), (4503, []))
    async with serving(script) as url:
        assert await read_all(Listener(url, lambda: "t")) == ["4503"]
    assert waits == [7.5]


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [("7", 7, 8), ("999999", 300, 301)],
)
def test_retry_after_is_obeyed_and_spread_within_its_second(header: str, least: float, most: float) -> None:
    waits = [module._read_retry_after(header) for _ in range(50)]
    assert all(wait is not None and least <= wait <= most for wait in waits)
    assert len(set(waits)) > 20


@pytest.mark.parametrize("header", ["Wed, 21 Oct 2026 07:28:00 GMT", "", "-3", "²"])
def test_a_retry_after_without_seconds_says_nothing(header: str) -> None:
    assert module._read_retry_after(header) is None


async def test_a_refusal_is_waited_out_as_long_as_it_says(waits: list[float]) -> None:
    def refuse(connection: ServerConnection, request: Request) -> Response | None:
        if waits:
            return None
        response = connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "later\n")
        response.headers["Retry-After"] = "4"
        return response

    async with serve(Script((4503, [])), "127.0.0.1", 0, process_request=refuse) as server:
        assert await read_all(Listener(f"ws://127.0.0.1:{port_of(server)}/ws", lambda: "t")) == ["4503"]
    (wait,) = waits
    assert 4 <= wait < 5


async def test_refused_handshakes(waits: list[float]) -> None:
    statuses = [HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.BAD_REQUEST]

    def refuse(connection: ServerConnection, request: Request) -> Response:
        return connection.respond(statuses.pop(0), "two tokens\n")

    async with serve(Script(), "127.0.0.1", 0, process_request=refuse) as server:
        listener = Listener(f"ws://127.0.0.1:{port_of(server)}/ws", lambda: "t")
        with pytest.raises(ListenStopped, match="400: two tokens"):
            async for _ in listener:
                pass
    assert len(waits) == 2


async def test_an_unreachable_gateway_is_waited_for(waits: list[float]) -> None:
    left = 12

    def token() -> str:
        nonlocal left
        left -= 1
        if left == 0:
            raise LookupError("enough")
        if left == 1:
            raise Unreachable("the API is away")
        return "t"

    with pytest.raises(LookupError):
        async for _ in Listener("ws://127.0.0.1:1/ws", token):
            pass
    assert len(waits) == 11
