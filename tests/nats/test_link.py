"""What the link does for whoever asks; how it confirms, and what it does with an ill server: tests/bus/test_nats."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from pushgate.nats import link as nats_link
from pushgate.nats.connection import Connection
from pushgate.nats.link import NatsLink
from tests.fakes.scripted_nats import ScriptedNats
from tests.fakes.subscriber import until


@asynccontextmanager
async def linked(server: ScriptedNats) -> AsyncIterator[NatsLink]:
    connection = Connection(server.url, "inbox")
    connection.start()
    yield await connection.ready()
    await connection.stop()


def reply_subject(read: bytes) -> bytes:
    return next(word for word in read.split() if word.startswith(b"_INBOX") and not word.endswith(b"*"))


async def test_requests_of_one_iteration_share_a_write_and_one_subscription() -> None:
    async with ScriptedNats() as server, linked(server) as link:
        server.reads.clear()
        asks = [link.ask("a", b"1"), link.ask("b", b"22")]
        await until(lambda: server.reads)
        (read,) = server.reads
        lines = read.split(b"\r\n")
        assert lines[0].startswith(b"SUB _INBOX.")
        assert lines[0].endswith(b".* 1")
        assert [line.split()[:2] + line.split()[3:] for line in (lines[1], lines[3])] == [
            [b"PUB", b"a", b"1"],
            [b"PUB", b"b", b"2"],
        ]
        assert lines[5:] == [b"PING", b""]
        server.say(b"MSG %b 1 2\r\nhi\r\n" % reply_subject(lines[3]))
        assert (await asks[1])[0].payload == b"hi"
        assert not asks[0].done()
    assert await asks[0] == []


async def test_an_answer_that_does_not_come_is_given_up_and_the_connection_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nats_link, "TICK", 0.01)
    async with ScriptedNats() as server, linked(server) as link:
        assert await link.ask("a", b"") == []
        assert not link.lost.is_set()


async def test_a_lost_link_answers_at_once() -> None:
    async with ScriptedNats() as server, linked(server) as link:
        link.drop("the test says so")
        assert await asyncio.wait_for(link.ask("a", b""), 0.1) == []
        assert await asyncio.wait_for(link.send([b"PUB a 0\r\n\r\n"]), 0.1) == "the test says so"


async def test_what_was_left_is_not_taken_any_more() -> None:
    taken = []
    async with ScriptedNats() as server, linked(server) as link:
        first = link.listen("a", lambda *message: taken.append(message))
        second = link.listen("b", lambda *message: taken.append(message))
        link.leave(first)
        link.leave(first)
        server.say(b"MSG a %d 1\r\n1\r\n" % first)
        server.say(b"HMSG b %d re 12 13\r\nNATS/1.0\r\n\r\n2\r\n" % second)
        await until(lambda: taken)
        assert taken == [(b"b", b"re", b"NATS/1.0\r\n\r\n", b"2")]
        assert sum(read.count(b"UNSUB") for read in server.reads) == 1


async def test_a_connection_that_was_stopped_will_not_be_ready() -> None:
    connection = Connection("nats://127.0.0.1:1", "inbox")
    connection.start()
    waiting = asyncio.create_task(connection.ready())
    await asyncio.sleep(0)
    await connection.stop()
    with pytest.raises(ConnectionError, match="stopped"):
        await waiting
    with pytest.raises(ConnectionError, match="stopped"):
        await connection.ready()
    await connection.stop()


async def test_ready_does_not_return_a_link_that_is_lost() -> None:
    async with ScriptedNats() as server:
        connection = Connection(server.url, "inbox")
        connection.start()
        first = await connection.ready()
        first.drop("the test says so")
        second = await connection.ready()
        assert second is not first
        assert connection.connected
        await connection.stop()
