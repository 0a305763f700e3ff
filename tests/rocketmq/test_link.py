import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from pushgate.brokers import line
from pushgate.rocketmq.frames import Command
from pushgate.rocketmq.link import Request, RocketLink
from pushgate.rocketmq.signing import Credentials, sign
from tests.fakes.scripted_rocketmq import ScriptedRocketMq
from tests.fakes.subscriber import until

PROBE = Request(30, {"topic": "t"})


@pytest.fixture(autouse=True)
def fast_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "TICK", 0.02)


@asynccontextmanager
async def linked(server: ScriptedRocketMq, credentials: Credentials | None = None) -> AsyncIterator[RocketLink]:
    link = RocketLink("bus", PROBE, credentials)
    await link.open("127.0.0.1", server.port, None)
    yield link
    await link.close()


async def test_answers_find_their_requests_in_any_order() -> None:
    async with ScriptedRocketMq() as server, linked(server) as link:
        asks = [link.ask(Request(1, {"n": number}, b"body")) for number in range(3)]
        await until(lambda: len(server.requests) == 3)
        assert [request.fields for request in server.requests] == [{"n": "0"}, {"n": "1"}, {"n": "2"}]
        for request in reversed(server.requests):
            server.answer(request, 0, request.fields or {}, request.body)
        answers = [await ask for ask in asks]
        assert [answer and answer.fields for answer in answers] == [{"n": "0"}, {"n": "1"}, {"n": "2"}]
        assert all(answer is not None and answer.body == b"body" for answer in answers)


async def test_an_overdue_answer_ends_the_connection_and_every_wait() -> None:
    async with ScriptedRocketMq() as server, linked(server) as link:
        server.answers[30] = (0, {}, b"")
        held = link.ask(Request(11, {}), 1000)
        assert await link.ask(Request(1, {})) is None
        assert link.reason == "the bus is silent"
        assert await held is None
        assert await link.ask(Request(1, {})) is None, "a lost link answers at once"


async def test_a_silent_server_is_asked_and_kept_while_it_answers() -> None:
    async with ScriptedRocketMq() as server, linked(server) as link:
        server.answers[30] = (0, {}, b"")
        held = link.ask(Request(11, {}), 1000)
        await until(lambda: len([request for request in server.requests if request.code == 30]) >= 3)
        assert not link.lost.is_set()
        server.answers.clear()
        await asyncio.wait_for(link.lost.wait(), 2)
        assert await held is None


async def test_what_the_server_asks_is_left_alone_and_what_is_no_frame_ends_the_connection() -> None:
    async with ScriptedRocketMq() as server, linked(server) as link:
        await until(lambda: server.connections)
        server.answer(Command(40), 40, {})
        ask = link.ask(Request(1, {}))
        await until(lambda: server.requests)
        server.answer(server.requests[-1], 0, {})
        assert await ask is not None
        server.connections[-1].write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await asyncio.wait_for(link.lost.wait(), 2)
        assert "does not speak as RocketMQ does" in link.reason


async def test_requests_are_signed() -> None:
    credentials = Credentials("key", "secret")
    async with ScriptedRocketMq() as server, linked(server, credentials) as link:
        link.ask(Request(1, {"n": 1}, b"body"))
        await until(lambda: server.requests)
        assert server.requests[0].fields == sign({"n": "1"}, b"body", credentials)
