"""What cursors in NATS cost, and what becomes of a store whose answer is lost. What they promise: tests/contract."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
import pytest_asyncio

from pushgate.errors import InboxUnavailable
from pushgate.inbox import Appended, Device, Options, Outcome, Refused, create_inbox
from pushgate.inbox import nats_cursors as module
from pushgate.inbox.nats import NatsInbox
from pushgate.inbox.nats_append import Message
from pushgate.inbox.nats_cursors import Cursors
from pushgate.inbox.nats_errors import SUPERSEDED
from pushgate.inbox.nats_get import Found
from pushgate.inbox.nats_subjects import CursorSubjects
from pushgate.metrics.rows import Rows
from tests.fakes.follower import TENANT, following
from tests.fakes.nats import RealNats

PHONE, TABLET = Device(TENANT, "alice", "phone"), Device(TENANT, "alice", "tablet")


class FakeStream:
    """The last message of each subject, which both a commit and gets are made of; `reads` counts what is asked for.

    Once `deaf` it takes what it is given next and says that it refused it, as where an answer was lost; `hostile`, it
    refuses everything.
    """

    def __init__(self) -> None:
        self.last: dict[bytes, Found] = {}
        self.sequence = 0
        self.reads = 0
        self.writes = 0
        self.deaf = False
        self.hostile = False

    def submit(self, messages: Sequence[Message]) -> "asyncio.Future[list[Outcome]]":
        future: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        future.set_result([self._take(message) for message in messages])
        return future

    def _take(self, message: Message) -> Outcome:
        self.writes += 1
        subject = message.head.split()[1]
        expected = int(message.headers.rpartition(b":")[2])
        if self.hostile or expected != (self.last[subject].sequence if subject in self.last else 0):
            return Refused(SUPERSEDED, "wrong last sequence")
        self.sequence += 1
        self.last[subject] = Found(self.sequence, subject, b"", message.payload)
        deaf, self.deaf = self.deaf, False
        return Refused(SUPERSEDED, "wrong last sequence") if deaf else Appended(self.sequence)

    async def latest(self, subjects: Sequence[str]) -> list[Found]:
        self.reads += len(subjects)
        return [self.last[subject.encode()] for subject in subjects if subject.encode() in self.last]


@pytest.fixture
def stream() -> FakeStream:
    return FakeStream()


@pytest.fixture
def cursors(stream: FakeStream, monkeypatch: pytest.MonkeyPatch) -> Cursors:
    monkeypatch.setattr(module, "PAUSE", 0)
    return make(stream)


def make(stream: FakeStream) -> Cursors:
    return Cursors(CursorSubjects("p"), stream, stream)  # type: ignore[arg-type]


async def offset_of(cursors: Cursors, device: Device = PHONE) -> int:
    (cursor,) = await cursors.load([device])
    assert cursor is not None
    return cursor.offset


async def test_a_device_that_was_loaded_and_acknowledges_costs_no_reads(cursors: Cursors, stream: FakeStream) -> None:
    assert await cursors.load([PHONE, TABLET]) == [None, None]
    for offset in range(1, 9):
        await cursors.store({PHONE: (offset, "e"), TABLET: (offset, "e")})
    assert (stream.reads, stream.writes) == (2, 16)


async def test_whose_cursor_is_not_remembered_has_it_read_first(
    cursors: Cursors, stream: FakeStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make(stream).store({PHONE: (9, "e")})
    reads, writes = stream.reads, stream.writes
    await cursors.store({PHONE: (7, "e")})
    assert (stream.reads - reads, stream.writes - writes) == (1, 0), "a lower one is not even written"
    monkeypatch.setattr(module, "KEEP", 0.0)
    for offset in (10, 11):
        await cursors.load([])
        await cursors.load([])
        assert not cursors._last
        assert not cursors._older, "nothing is remembered for ever"
        await cursors.store({PHONE: (offset, "e")})
    assert await offset_of(cursors) == 11


async def test_what_is_remembered_of_a_cursor_that_was_forgotten_keeps_nothing_down(
    cursors: Cursors, stream: FakeStream
) -> None:
    await cursors.store({PHONE: (9, "e")})
    stream.last.clear()
    await cursors.store({PHONE: (3, "e")})
    assert await offset_of(cursors) == 3


async def test_a_store_whose_answer_was_lost_comes_to_its_end(cursors: Cursors, stream: FakeStream) -> None:
    stream.deaf = True
    await cursors.store({PHONE: (5, "e")})
    assert await offset_of(cursors) == 5
    assert stream.sequence == 2, "it met its own first attempt"


async def test_it_is_not_tried_for_ever(cursors: Cursors, stream: FakeStream) -> None:
    stream.hostile = True
    with pytest.raises(InboxUnavailable, match="others store the same cursors"):
        await cursors.store({PHONE: (5, "e")})
    assert stream.writes == module.TRIES - 1, "the first look found that it has to be read"
    stream.hostile = False
    await cursors.store({PHONE: (5, "e")})
    assert await offset_of(cursors) == 5


@pytest_asyncio.fixture
async def inboxes(server: RealNats) -> AsyncIterator[tuple[NatsInbox, NatsInbox]]:
    one, two = (create_inbox(server.url, "p", Rows(1).row(0), Options()) for _ in range(2))
    assert isinstance(one, NatsInbox)
    assert isinstance(two, NatsInbox)
    async with following(one), following(two):
        yield one, two


async def test_a_batch_with_a_late_one_is_not_taken_apart(inboxes: tuple[NatsInbox, NatsInbox]) -> None:
    """Each part would be another write to the disk: 50 late ones among 5,000 took seconds."""
    one, two = inboxes
    devices = [Device(TENANT, f"user {number}", "d") for number in range(1000)]
    await one.store_cursors(dict.fromkeys(devices, (1, "e")))
    await two.store_cursors(dict.fromkeys(devices[::100], (9, "e")))
    submitted: list[int] = []
    submit = one._cursor_commit._attempt

    async def attempt(link: object, group: Sequence[object], apart: bool) -> object:
        submitted.append(len(group))
        return await submit(link, group, apart)  # type: ignore[arg-type]

    one._cursor_commit._attempt = attempt  # type: ignore[assignment,method-assign]
    await one.store_cursors(dict.fromkeys(devices, (5, "e")))
    assert submitted == [1000, 990]
    loaded = await two.load_cursors(devices)
    assert [cursor and cursor.offset for cursor in loaded] == [5 if number % 100 else 9 for number in range(1000)]


async def test_a_store_of_a_task_that_was_cancelled_is_in_nobodys_way(inboxes: tuple[NatsInbox, NatsInbox]) -> None:
    one, two = inboxes
    await one.load_cursors([PHONE])
    first = asyncio.create_task(one.store_cursors({PHONE: (9, "e")}))
    while not one._cursor_commit._queue:
        await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    await one.store_cursors({PHONE: (5, "e")})
    (cursor,) = await two.load_cursors([PHONE])
    assert cursor is not None
    assert cursor.offset == 9, "it was on its way, and is not lowered"
