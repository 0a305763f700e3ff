"""When the pushers try again, after how long, and when they give up."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from pushgate.client.answers import Pushed
from pushgate.client.errors import ApiProblem, Unreachable
from pushgate.client.tries import Tries
from tests.client.conftest import FakeApi
from tests.client.test_pusher import Pushing

UNAVAILABLE = ("503 Service Unavailable", "")


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The upper bounds of the random waits; none of them is waited."""
    bounds: list[float] = []

    def uniform(low: float, high: float) -> float:
        assert low == 0
        bounds.append(high)
        return 0.0

    monkeypatch.setattr("random.uniform", uniform)
    return bounds


def push(qos: str) -> Callable[[Any], Any]:
    return lambda pusher: pusher.push(1, user="a", qos=qos)


async def test_a_reliable_push_is_repeated_with_its_id(api: FakeApi, pushing: Pushing, waits: list[float]) -> None:
    api.first = [UNAVAILABLE, None, ("500 Internal Server Error", ""), ("429 Too Many Requests", "")]
    assert await pushing(api.url, push("reliable")) == Pushed("m1")
    assert len(api.asked) == 5
    assert len({str(body) for _, _, body in api.asked}) == 1
    assert waits == [0.2, 0.4, 0.8, 1.6]


@pytest.mark.parametrize("answer", [UNAVAILABLE, None])
async def test_a_live_push_that_may_have_been_taken_is_not(
    api: FakeApi, pushing: Pushing, answer: tuple[str, str] | None
) -> None:
    api.first = [answer]
    with pytest.raises((ApiProblem, Unreachable)):
        await pushing(api.url, push("live"))
    assert len(api.asked) == 1


async def test_a_live_push_that_was_surely_not_taken_is(api: FakeApi, pushing: Pushing, waits: list[float]) -> None:
    api.first = [("429 Too Many Requests", "")]
    await pushing(api.url, push("live"))
    assert len(api.asked) == 2


async def test_an_answer_that_does_not_come_in_time(api: FakeApi, pushing: Pushing, waits: list[float]) -> None:
    asked = 0

    async def silent_at_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            await reader.read()  # until the caller has had enough
            writer.close()
        else:
            await api.serve(reader, writer)

    async with await asyncio.start_server(silent_at_first, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        assert await pushing(url, push("reliable"), timeout=0.3) == Pushed("m1")
    assert asked == 2


async def test_retry_after_is_obeyed(api: FakeApi, pushing: Pushing, waits: list[float]) -> None:
    api.first = [("503 Service Unavailable", "Retry-After: 1\r\n")]
    begun = time.monotonic()
    await pushing(api.url, push("reliable"))
    assert time.monotonic() - begun >= 1


async def test_a_wait_that_is_longer_than_patience_is_not_begun(api: FakeApi, pushing: Pushing) -> None:
    api.status, api.headers = "503 Service Unavailable", "Retry-After: 40\r\n"
    api.body = b'{"code":"a_code_of_a_newer_gateway","title":"The bus is away"}'
    with pytest.raises(ApiProblem, match="The bus is away") as caught:
        await pushing(api.url, push("reliable"))
    assert caught.value.retry_after == 40
    assert len(api.asked) == 1


@pytest.mark.parametrize(
    ("use", "again"),
    [
        (lambda p: p.batch([{"user": "a", "qos": "reliable"}] * 2), True),
        (lambda p: p.batch([{"user": "a", "qos": "reliable"}, {"user": "a"}]), False),
        (lambda p: p.kick("a"), True),
        (lambda p: p.kick("a", "s"), False),
        (lambda p: p.user("a"), True),
        (lambda p: p.receipt("i", 1), True),
        (lambda p: p.token("a"), True),
    ],
)
async def test_what_is_repeated(
    api: FakeApi, pushing: Pushing, waits: list[float], use: Callable[[Any], Any], again: bool
) -> None:
    api.first, api.status = [UNAVAILABLE], "404 Not Found"
    with pytest.raises(ApiProblem) as caught:
        await pushing(api.url, use)
    assert caught.value.status == (404 if again else 503)


def test_waits_grow_to_a_bound_and_are_spread() -> None:
    failure = ApiProblem(503, "", "")
    firsts, lasts = [], []
    for _ in range(100):
        tries = Tries(True, 3600)
        waits = [tries.wait_after(failure, "") for _ in range(10)]
        firsts.append(waits[0])
        lasts.append(waits[-1])
    assert max(firsts) <= 0.2 < max(lasts) <= 5.0
    assert min(lasts) < 1 < 4 < max(lasts)
