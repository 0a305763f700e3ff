"""What goes to the server, and what its answers mean. With the real one: tests/contract."""

import asyncio
import json
import re
from collections.abc import Callable

import pytest

from pushgate.inbox import Appended, Refused, Unknown, nats_append
from pushgate.inbox.nats_append import GroupCommit, Message
from pushgate.inbox.nats_stream import Stream
from pushgate.metrics.catalogue import INBOX_RETRIES
from pushgate.metrics.rows import Rows
from pushgate.nats.replies import Reply
from tests.fakes.fake_link import Answer, FakeLink, connected, said, status
from tests.fakes.subscriber import until

ROW = Rows(1).row(0)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nats_append, "PAUSE", 0.01)
    monkeypatch.setattr(nats_append, "PATIENCE", 1.0)


def message(number: int, alone: bytes = b"", payload: bytes = b"") -> Message:
    return Message(b"HPUB s", b"NATS/1.0\r\nNats-Msg-Id: %d\r\n" % number, payload or b"p%d" % number, alone)


def ids(asked: bytes) -> list[int]:
    """Return the ids of what was published together."""
    return [int(number) for number in re.findall(rb"Nats-Msg-Id: (\d+)", asked)]


def error(code: int, description: str = "") -> list[Reply]:
    return said(json.dumps({"error": {"err_code": code, "description": description}, "seq": 0}).encode())


class Server:
    """Gives sequences, and rejects what has an id that `bad` has an error for."""

    def __init__(self, bad: dict[int, Answer] | None = None) -> None:
        self.sequence = 0
        self.stored: list[int] = []
        self.bad = bad or {}
        self.link = FakeLink(self.answer)

    def answer(self, asked: bytes) -> Answer:
        wanted = ids(asked)
        for number in wanted:
            if number in self.bad:
                return self.bad[number]
        self.stored += wanted
        self.sequence += len(wanted)
        return said(b'{"stream":"s","seq":%d}' % self.sequence)

    @property
    def groups(self) -> list[list[int]]:
        return [ids(asked) for asked in self.link.asked]


def commit(link: FakeLink) -> GroupCommit:
    return GroupCommit(connected(link), Stream("s", "s", {"num_replicas": 1}), ROW)


def first_time(then: Callable[[bytes], Answer], answer: Answer) -> Callable[[bytes], Answer]:
    """Return what answers the first time like this, and then as it should."""
    waiting = [answer]
    return lambda asked: waiting.pop() if waiting else then(asked)


async def test_a_single_message_is_published_as_it_is() -> None:
    server = Server()
    assert await commit(server.link).submit([message(7)]) == [Appended(1)]
    assert server.link.asked == [b"HPUB s reply.1 28 30\r\nNATS/1.0\r\nNats-Msg-Id: 7\r\n\r\np7\r\n"]


async def test_after_one_that_was_tried_in_vain_the_next_are_tried_for_less_until_one_succeeds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nats_append, "PATIENCE", 0.5)
    monkeypatch.setattr(nats_append, "RESIGNED", 0.05)
    server = Server()
    groups = commit(server.link)
    answer, server.link.answer = server.link.answer, lambda asked: status(503)
    attempts = []
    for number in range(2):
        before = len(server.link.asked)
        assert isinstance((await groups.submit([message(number)]))[0], Unknown)
        attempts.append(len(server.link.asked) - before)
    assert 1 <= attempts[1] < attempts[0] / 3
    assert groups.resigned
    server.link.answer = answer
    assert await groups.submit([message(2)]) == [Appended(1)]
    assert not groups.resigned
    server.link.answer = lambda asked: status(503)
    before = len(server.link.asked)
    await groups.submit([message(3)])
    assert len(server.link.asked) - before > attempts[0] / 2


async def test_what_was_tried_in_vain_is_prodded_until_it_takes_its_marker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nats_append, "PATIENCE", 0.05)
    monkeypatch.setattr(nats_append, "RESIGNED", 0.05)
    server = Server()
    groups = commit(server.link)
    groups.prod()
    answer, server.link.answer = server.link.answer, lambda asked: status(503)
    await groups.submit([message(1)])
    asked = len(server.link.asked)
    server.link.answer = answer
    assert groups.resigned
    for _ in range(3):
        groups.prod()
    await until(lambda: not groups.resigned)
    assert [b"Rollup: sub" in each for each in server.link.asked[asked:]] == [True]


async def test_who_waited_for_others_too_long_has_not_tried_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nats_append, "PATIENCE", -1.0)
    groups = commit(Server().link)
    assert isinstance((await groups.submit([message(1)]))[0], Unknown)
    assert not groups.resigned


async def test_a_few_go_one_by_one_at_once_and_more_as_an_atomic_batch() -> None:
    server = Server()
    few = await commit(server.link).submit([message(number) for number in range(8)])
    assert few == [Appended(number) for number in range(1, 9)]
    assert server.groups == [[number] for number in range(8)]
    many = await commit(server.link).submit([message(number) for number in range(10, 20)])
    assert many == [Appended(number) for number in range(9, 19)]
    lines = server.link.asked[-1].split(b"\r\n")
    assert [line.split()[2:] for line in lines if line.startswith(b"HPUB")][-1][0] == b"reply.9"
    assert sum(b"reply" in line for line in lines) == 1
    assert [line for line in lines if b"Batch-Sequence" in line] == [
        b"Nats-Batch-Sequence: %d" % number for number in range(1, 11)
    ]
    assert lines.count(b"Nats-Batch-Commit: 1") == 1
    assert len({line for line in lines if b"Batch-Id" in line}) == 1


async def test_what_waits_while_a_group_is_on_its_way_forms_the_next() -> None:
    server = Server()
    groups = commit(server.link)
    release = asyncio.Event()
    take = groups._attempt

    async def hold(*arguments: object) -> object:
        await release.wait()
        return await take(*arguments)  # type: ignore[arg-type]

    groups._attempt = hold  # type: ignore[method-assign, assignment]
    first = groups.submit([message(0)])
    await asyncio.sleep(0)
    others = [groups.submit([message(number)]) for number in range(1, 31)]
    release.set()
    assert await first == [Appended(1)]
    assert [await other for other in others] == [[Appended(number)] for number in range(2, 32)]
    assert server.groups == [[0], list(range(1, 31))]


async def test_a_group_has_its_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    await commit(server.link).submit([message(number) for number in range(2100)])
    assert [len(group) for group in server.groups] == [1000, 1000, 100]
    server = Server()
    monkeypatch.setattr(nats_append, "BATCH_BYTES", 20_000)
    await commit(server.link).submit([message(number, payload=bytes(1000)) for number in range(32)])
    assert [len(group) for group in server.groups] == [16, 16]
    server = Server()
    await commit(server.link).submit(
        [message(number, alone=b"key" if number % 10 == 0 else b"") for number in range(40)]
    )
    assert [group[0] for group in server.groups if len(group) > 1] == [0, 10, 20, 30]


@pytest.mark.parametrize("culprit", [0, 7, 8, 20, 99])
@pytest.mark.parametrize(
    ("code", "description", "outcome"),
    [
        (10077, "maximum messages per subject exceeded", "user_full"),
        (10077, "maximum bytes exceeded", "inbox_full"),
        (10023, "insufficient resources", "inbox_full"),
        (10002, "resource limits exceeded for account", "inbox_full"),
        (10054, "message size exceeds maximum allowed", "too_large"),
        (10165, "invalid per-message TTL", "unknown"),
    ],
)
async def test_one_that_is_rejected_does_not_keep_the_others_from_being_stored_in_order(
    culprit: int, code: int, description: str, outcome: str
) -> None:
    server = Server({culprit: error(code, description)})
    outcomes = await commit(server.link).submit([message(number) for number in range(100)])
    rejected = outcomes.pop(culprit)
    assert (rejected.code if isinstance(rejected, Refused) else "unknown") == outcome
    assert outcomes == [Appended(number) for number in range(1, 100)]
    assert server.stored == [number for number in range(100) if number != culprit]


async def test_duplicates_do_not_cost_a_batch_each() -> None:
    def answer(asked: bytes) -> Answer:
        wanted = ids(asked)
        if len(wanted) > 1:
            return error(10201, "atomic publish batch contains duplicate message id")
        return said(b'{"stream":"s","seq":%d,"duplicate": true}' % wanted[0])

    link = FakeLink(answer)
    outcomes = await commit(link).submit([message(number) for number in range(1, 601)])
    assert outcomes == [Appended(number, duplicate=True) for number in range(1, 601)]
    assert len([asked for asked in link.asked if len(ids(asked)) > 1]) == 1


@pytest.mark.parametrize(
    "answer",
    [status(503), [], said(b"nonsense"), error(10158, "duplicate message id is in process"), error(10008), error(0)],
    ids=str,
)
async def test_what_passes_is_tried_again_with_the_same_ids(answer: Answer) -> None:
    before = ROW[INBOX_RETRIES]
    for count in (1, 20):
        server = Server()
        server.link.answer = first_time(server.answer, answer)
        outcomes = await commit(server.link).submit([message(number) for number in range(count)])
        assert outcomes == [Appended(number) for number in range(1, count + 1)]
        asked = [group for group in server.groups if group]
        assert asked == [list(range(count))] * 2
    assert ROW[INBOX_RETRIES] == before + 2


async def test_a_duplicate_after_an_attempt_without_answer_is_our_own() -> None:
    link = FakeLink(first_time(lambda asked: said(b'{"stream":"s","seq":5,"duplicate": true}'), []))
    assert await commit(link).submit([message(1)]) == [Appended(5)]


async def test_it_is_unknown_after_a_while_and_who_came_later_has_a_while_of_his_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = Server()
    server.link.answer = lambda asked: status(503)
    groups = commit(server.link)
    monkeypatch.setattr(nats_append, "PATIENCE", 0.1)
    first = groups.submit([message(1), message(2)])
    await asyncio.sleep(0)
    monkeypatch.setattr(nats_append, "PATIENCE", 5.0)
    second = groups.submit([message(3)])
    assert await first == [Unknown("the inbox is not ready")] * 2
    server.link.answer = server.answer
    assert await second == [Appended(1)]


async def test_what_is_larger_than_the_server_takes_is_not_sent() -> None:
    server = Server()
    server.link.limit = 1000
    outcomes = await commit(server.link).submit([message(1), message(2, payload=bytes(1000)), message(3)])
    assert [type(outcome) for outcome in outcomes] == [Appended, Refused, Appended]
    assert server.stored == [1, 3]


async def test_a_fault_of_our_own_is_told_and_the_next_call_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    groups = commit(server.link)

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(nats_append, "_compose", fail)
        assert await groups.submit([message(1)]) == [Unknown("a fault in the gateway: ZeroDivisionError")]
    assert await groups.submit([message(2)]) == [Appended(1)]


async def test_stop_tells_who_waits_and_who_comes() -> None:
    link = FakeLink(lambda asked: None)
    groups = commit(link)
    first, second = groups.submit([message(1)]), groups.submit([message(2), message(3)])
    await asyncio.sleep(0)
    await groups.stop()
    assert await first == [Unknown("the inbox is stopped")]
    assert await second == [Unknown("the inbox is stopped")] * 2
    assert await groups.submit([message(4)]) == [Unknown("the inbox is stopped")]
    await groups.stop()


async def test_no_message_is_no_work() -> None:
    link = FakeLink(lambda asked: None)
    assert await commit(link).submit([]) == []
    assert link.asked == []
