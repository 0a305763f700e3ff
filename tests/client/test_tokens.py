"""Tokens that a Listener asks for before the one that it has expires."""

import json
import time
from collections.abc import Iterator

import jwt
import pytest
from websockets.asyncio.server import ServerConnection

from pushgate.client import tokens as module
from pushgate.client.errors import ListenStopped, Unreachable
from pushgate.client.listener import Listener
from pushgate.client.tokens import Tokens, read_expiry
from tests.client.test_listener import WELCOME, message, read_all, serving, waits  # noqa: F401 - a fixture


def token(seconds: float, name: str = "") -> str:
    return jwt.encode({"sub": "alice", "exp": time.time() + seconds, "name": name}, "k" * 32, "HS256")


@pytest.mark.parametrize(
    ("text", "expires"),
    [
        (jwt.encode({"exp": 1767225600}, "k" * 32, "HS256"), 1767225600),
        (jwt.encode({"sub": "a"}, "k" * 32, "HS256"), None),
        ("opaque", None),
        ("a.b.c", None),
        ("", None),
    ],
)
def test_when_a_token_expires(text: str, expires: float | None) -> None:
    assert read_expiry(text) == expires


@pytest.mark.parametrize(("left", "until"), [(3600, 3540), (100, 50), (1.5, 1.0)])
async def test_a_token_is_due_a_minute_or_half_of_its_time_before_its_end(left: float, until: float) -> None:
    tokens = Tokens(lambda: token(left))
    await tokens.take()
    assert tokens.due is not None
    assert tokens.due - time.monotonic() == pytest.approx(until, abs=0.5)


async def test_a_source_that_has_no_new_one_is_asked_again() -> None:
    given: Iterator[str | Exception] = iter([token(100, "a"), Unreachable("away"), token(100, "b"), token(-1, "c")])

    def source() -> str:
        match next(given):
            case str(text):
                return text
            case error:
                raise error

    tokens = Tokens(source)
    assert await tokens.take()
    assert await tokens.renew() is None
    assert tokens.due is not None
    assert await tokens.renew() is not None
    assert await tokens.renew() is not None
    assert tokens.due is None, "it has expired: the gateway will say so"


async def test_a_token_that_was_sent_late_may_still_be_tried() -> None:
    old, new = token(100, "old"), token(100, "new")
    given = iter([old, new, new, new])
    tokens = Tokens(lambda: next(given))
    assert await tokens.take() == old
    assert await tokens.renew() == new
    tokens.refuse()
    assert await tokens.take() == new
    tokens.refuse()
    with pytest.raises(ListenStopped):
        await tokens.take()


async def test_a_connection_is_refreshed_while_messages_come(
    waits: list[float],  # noqa: F811 - the fixture
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_SOONEST", 0.0)
    given = iter([token(0.4, "first"), token(0.4, "second"), token(3600, "third")])
    refreshed: list[str] = []

    async def serve(connection: ServerConnection) -> None:
        await connection.send(WELCOME)
        await connection.send(message("a"))
        for text in ("b", "c"):
            said = json.loads(await connection.recv())
            assert said["type"] == "refresh"
            refreshed.append(jwt.decode(said["token"], options={"verify_signature": False})["name"])
            await connection.send(message(text))
        await connection.close(4503)

    async with serving(serve) as url:
        assert await read_all(Listener(url, lambda: next(given))) == ["a", "b", "c", "4503"]
    assert refreshed == ["second", "third"]
    assert waits == [], "it stayed on one connection"


async def test_what_a_source_raises_ends_the_listening(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SOONEST", 0.0)
    given = iter([token(0.2)])

    def source() -> str:
        try:
            return next(given)
        except StopIteration:
            raise LookupError("no more") from None

    async def serve(connection: ServerConnection) -> None:
        await connection.send(WELCOME)
        await connection.wait_closed()

    async with serving(serve) as url:
        with pytest.raises(LookupError):
            await read_all(Listener(url, source))
