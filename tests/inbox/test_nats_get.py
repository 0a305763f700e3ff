"""What is asked of the server, and what its answers mean. With the real one: tests/contract."""

import json
import re

import pytest

from pushgate.errors import InboxUnavailable
from pushgate.inbox import nats_get
from pushgate.inbox.nats_get import ANY, Found, Gets, NotYet, TooMany
from pushgate.inbox.nats_stream import Stream
from pushgate.nats.replies import Reply
from tests.fakes.fake_link import Answer, FakeLink, connected, status


@pytest.fixture(autouse=True)
def revived(monkeypatch: pytest.MonkeyPatch) -> list[Stream]:
    """Be quick, and note streams that are to be made instead of making them."""
    monkeypatch.setattr(nats_get, "PAUSE", 0.001)
    revived: list[Stream] = []
    monkeypatch.setattr(Stream, "revive", lambda stream, link: revived.append(stream))
    return revived


def message(sequence: int, subject: str = "s.1", payload: bytes = b"") -> Reply:
    return Reply(
        0, b"NATS/1.0\r\nNats-Subject: %b\r\nNats-Sequence: %d\r\n\r\n" % (subject.encode(), sequence), payload
    )


def end(pending: int = 0, up_to: int = 0) -> Reply:
    headers = b"NATS/1.0 204 EOB\r\nNats-Num-Pending: %d\r\nNats-UpTo-Sequence: %d\r\n\r\n" % (pending, up_to)
    return Reply(204, headers, b"")


def request(asked: bytes) -> dict[str, object]:
    found = re.search(rb"\r\n(\{.*\})\r\n", asked)
    assert found
    body: dict[str, object] = json.loads(found[1])
    return body


def gets(*answers: Answer, seen: int = 0) -> tuple[Gets, FakeLink, Stream]:
    waiting = list(answers)
    link = FakeLink(lambda asked: waiting.pop(0))
    stream = Stream("name", "s", {"num_replicas": 1})
    stream.seen = seen
    return Gets(connected(link), stream), link, stream


async def test_a_look_says_what_is_last_and_up_to_where_without_the_marker() -> None:
    getter, link, _ = gets([message(3, "s"), message(7, "s.1", b"x"), end(up_to=9)])
    found, up_to = await getter.attempt(lambda link: getter.look(link, ["s.1", "s.2.*"], 2, 10))
    assert [(each.sequence, each.subject, each.payload) for each in found] == [(7, b"s.1", b"x")]
    assert up_to == 9
    assert link.asked[0].startswith(b"PUB $JS.API.DIRECT.GET.name reply.1 ")
    assert request(link.asked[0]) == {"multi_last": ["s", "s.1", "s.2.*"], "seq": 3, "batch": 11}


async def test_an_answer_that_was_cut_for_its_size_is_asked_for_to_its_end() -> None:
    getter, link, _ = gets([message(3), end(2, 9)], [message(5), message(8), end(0, 12)])
    found, up_to = await getter.attempt(lambda link: getter.look(link, ["s.*"], 0, 10))
    assert [each.sequence for each in found] == [3, 5, 8]
    assert up_to == 9, "what the second look saw above may lack something"
    assert request(link.asked[1])["seq"] == 4


async def test_a_server_that_is_behind_what_this_process_has_seen_is_asked_again() -> None:
    getter, link, _ = gets([end(up_to=4)], [end(up_to=5)], seen=5)
    assert await getter.newest() == 5
    assert len(link.asked) == 2
    getter, link, _ = gets(*[[end(up_to=4)]] * (nats_get.ATTEMPTS + 1), seen=5)
    with pytest.raises(InboxUnavailable, match="behind"):
        await getter.newest()
    assert len(link.asked) == nats_get.ATTEMPTS + 1


async def test_a_stream_without_its_marker_gets_one() -> None:
    getter, link, _ = gets(status(404), [Reply(0, b"", b"{}")], [end(up_to=1)])
    assert await getter.newest() == 1
    assert link.asked[1].startswith(b"HPUB s reply.2 ")
    assert b"Nats-Rollup: sub" in link.asked[1]


async def test_what_cannot_be_answered_is_unavailable() -> None:
    for answer in ([], status(408), status(500)):
        getter, _, _ = gets(answer)
        with pytest.raises(InboxUnavailable):
            await getter.newest()
    getter, _, _ = gets()
    getter._connection.link = None
    with pytest.raises(InboxUnavailable, match="away"):
        await getter.newest()


async def test_a_stream_that_is_not_there_is_revived(revived: list[Stream]) -> None:
    getter, _, stream = gets(status(503), [end(up_to=1)])
    assert await getter.newest() == 1
    assert revived == [stream]


async def test_too_many_subjects_are_walked_one_by_one() -> None:
    getter, link, _ = gets(status(413), [message(3)], [message(9)], status(404))
    assert [found.sequence for found in await getter.latest(["s.1.*"])] == [3, 9]
    assert request(link.asked[1]) == {"next_by_subj": "s.1.*", "seq": 1}
    getter, _, _ = gets(status(413))
    with pytest.raises(TooMany):
        await getter.attempt(lambda link: getter.look(link, [], 0, 1))


class TestWalk:
    async def walk(self, *answers: Answer, up_to: int = ANY, limit: int = 100) -> tuple[list[int], FakeLink]:
        getter, link, _ = gets(*answers)
        found = await getter.attempt(lambda link: getter.walk(link, "s.1", 0, up_to, limit))
        assert all(isinstance(each, Found) for each in found)
        return [each.sequence for each in found], link

    async def test_it_goes_on_until_there_is_nothing(self) -> None:
        found, link = await self.walk([message(2)], [message(5)], status(404))
        assert found == [2, 5]
        assert [request(asked)["seq"] for asked in link.asked] == [1, 3, 6]

    async def test_it_ends_at_the_limit(self) -> None:
        found, link = await self.walk([message(2)], [message(5)], limit=2)
        assert found == [2, 5]
        assert len(link.asked) == 2

    async def test_it_ends_where_it_should_and_leaves_out_what_is_above(self) -> None:
        assert (await self.walk([message(2)], [message(9)], up_to=8))[0] == [2]
        found, link = await self.walk([message(2)], [message(8)], up_to=8)
        assert found == [2, 8]
        assert len(link.asked) == 2

    async def test_a_long_one_goes_on_in_batches(self) -> None:
        singles = [[message(number)] for number in range(1, 9)]
        found, link = await self.walk(
            *singles, [message(10), message(11), end(3)], [message(12), end(0)], up_to=50, limit=400
        )
        assert found == [*range(1, 9), 10, 11, 12]
        assert request(link.asked[8]) == {"next_by_subj": "s.1", "seq": 9, "batch": 256, "max_bytes": 1024 * 1024}
        assert request(link.asked[9])["seq"] == 12

    async def test_a_stream_without_a_leader_is_not_yet(self) -> None:
        getter, _, _ = gets(status(503))
        with pytest.raises(NotYet):
            await getter.walk(getter._connection.link, "s.1", 0, 1, 1)  # type: ignore[arg-type]
