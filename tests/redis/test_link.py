"""One connection, against a server that answers what the test wants it to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hiredis import ReplyError

from pushgate.brokers import line
from pushgate.redis.link import RedisLink
from tests.fakes.subscriber import until


class ScriptedRedis:
    """Keeps what it is told; says what it is made to say. The first command, HELLO, is answered with OK."""

    def __init__(self) -> None:
        self.reads: list[bytes] = []
        self.first = b"+OK\r\n"
        self.writer: asyncio.StreamWriter | None = None
        self.reading = asyncio.Event()
        self.reading.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        await reader.read(65536)
        writer.write(self.first)
        await self.reading.wait()
        while data := await reader.read(65536):
            self.reads.append(data)
        writer.close()

    def say(self, data: bytes) -> None:
        assert self.writer is not None
        self.writer.write(data)


@asynccontextmanager
async def scripted(redis: ScriptedRedis, link: RedisLink) -> AsyncIterator[None]:
    async with await asyncio.start_server(redis.serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        try:
            await link.open("127.0.0.1", port, None, ("HELLO", 3))
            yield
        finally:
            redis.reading.set()
            await link.close()
            await until(lambda: redis.writer is not None and redis.writer.is_closing())


async def test_what_is_handed_in_within_one_turn_is_one_write_and_each_has_its_answers() -> None:
    redis, link = ScriptedRedis(), RedisLink("bus")
    async with scripted(redis, link):
        calls = [link.ask(("A",)), link.ask(("B", 1), ("C", b"\r\n", 1.5)), link.ask(("D",))]
        await until(lambda: redis.reads)
        assert redis.reads == [
            b"*1\r\n$1\r\nA\r\n*2\r\n$1\r\nB\r\n$1\r\n1\r\n*3\r\n$1\r\nC\r\n$2\r\n\r\n\r\n$3\r\n1.5\r\n*1\r\n$1\r\nD\r\n"
        ]
        redis.say(b":1\r\n+two\r\n-ERR th")
        assert await calls[0] == [1]
        assert not calls[1].done()
        redis.say(b"ree\r\n_\r\n")
        two, three = await calls[1] or []
        assert two == b"two"
        assert isinstance(three, ReplyError)
        assert str(three) == "ERR three"
        assert await calls[2] == [None]


async def test_messages_between_answers_are_taken_in_order_and_a_receiver_that_fails_does_not_end_it() -> None:
    taken: list[tuple[bytes, bytes]] = []

    def take(channel: bytes, payload: bytes) -> None:
        taken.append((channel, payload))
        if payload == b"1":
            raise ValueError("a fault of the receiver")

    redis, link = ScriptedRedis(), RedisLink("bus", take)
    async with scripted(redis, link):
        call = link.ask(("PING",))
        message = b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\n%d\r\n"
        redis.say(message % 1 + b">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n" + message % 2 + b"+PONG\r\n")
        assert await call == [b"PONG"]
        assert taken == [(b"c", b"1"), (b"c", b"2")]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"+what\r\n", "the server answered what was not asked"),
        (b"HTTP/1.1 400 Bad Request\r\n", "it does not speak as Redis does"),
        (b">3\r\n$12\r\nsunsubscribe\r\n$1\r\nc\r\n:0\r\n", "the bus has moved its channels to another server"),
    ],
)
async def test_a_server_that_says_something_strange_is_left(said: bytes, reason: str) -> None:
    redis, link = ScriptedRedis(), RedisLink("bus")
    async with scripted(redis, link):
        redis.say(said)
        await asyncio.wait_for(link.lost.wait(), 2)
        assert reason in link.reason
        assert await link.ask(("PING",)) is None


async def test_a_first_command_that_is_refused_is_an_error() -> None:
    redis, link = ScriptedRedis(), RedisLink("bus")
    redis.first = b"-NOAUTH who is it\r\n"
    with pytest.raises(ConnectionError, match="NOAUTH who is it"):
        async with scripted(redis, link):
            pass


async def test_a_silent_server_is_asked_and_then_left_and_one_that_talks_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(line, "TICK", 0.01)
    redis, link = ScriptedRedis(), RedisLink("bus")
    async with scripted(redis, link):
        for _ in range(3):
            await until(lambda: redis.reads)
            assert redis.reads == [b"*1\r\n$4\r\nPING\r\n"]
            redis.reads.clear()
            redis.say(b"+PONG\r\n")
        call = link.ask(("SLOW",))
        for _ in range(2 * line.PATIENCE):  # it does not answer, and is not silent
            redis.say(b">2\r\n$4\r\nnews\r\n$1\r\nx\r\n")
            await asyncio.sleep(line.TICK)
        assert not call.done()
        assert await call is None
        assert link.reason == "the bus is silent"


async def test_a_server_that_does_not_read_is_left_before_memory_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "PARKED", 1024 * 1024)
    redis, link = ScriptedRedis(), RedisLink("bus")
    redis.reading.clear()
    async with scripted(redis, link):
        while not link.lost.is_set():
            link.ask(("SET", "key", bytes(256 * 1024)))
            await asyncio.sleep(0)
        assert link.reason == "the bus does not keep up"


async def test_whoever_waits_is_told_when_the_server_ends() -> None:
    redis, link = ScriptedRedis(), RedisLink("inbox")
    async with scripted(redis, link):
        call = link.ask(("PING",))
        await until(lambda: redis.reads)
        assert redis.writer is not None
        redis.writer.close()
        assert await asyncio.wait_for(call, 2) is None
        assert link.reason == "the inbox closed the connection"
