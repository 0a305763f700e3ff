"""Devices and logs under everything that can happen to them, against what was promised: nothing lost, all in order.

The machine below has the stream lag behind the log, reads end long after they began, sockets jam, clients vanish,
workers crash and entries expire, in whatever order hypothesis finds. A device's own program is modelled too: it drops
what is not above its cursor, and keeps its cursor with its work.
"""

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Coroutine, Iterator, Sequence
from itertools import islice
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from pushgate.codes import Close
from pushgate.delivery.outgoing import Outgoing
from pushgate.delivery.reliable import Reliable
from pushgate.delivery.tracks import TRIES, WINDOW
from pushgate.errors import InboxUnavailable, MessageError
from pushgate.inbox.base import EVERYONE, Entry
from pushgate.messages.push import Push, decode_push, encode_push
from pushgate.metrics.rows import Rows

USERS = ("alice", "bob")
DEVICES = [(uid, device) for uid in USERS for device in ("phone", "tablet")]


class FakeChannel:
    """A connection, and what its client did with what came over it."""

    def __init__(self, fd: int, uid: str, device: str) -> None:
        self.fd = fd
        self.format = 0
        self.device: Any = device
        self.tags: tuple[str, ...] = ()
        self.user: Any = SimpleNamespace(tenant="acme", uid=uid)
        self.got: list[int] = []
        self.seen: set[int] = set()
        self.acknowledged = 0


class Read:
    """A read of the inbox under way: it sees the log as it was at some moment between its begin and its end."""

    def __init__(self, uid: str, after: int, limit: int) -> None:
        self.uid, self.after, self.limit = uid, after, limit
        self.future: asyncio.Future[list[Entry]] = asyncio.Future(loop=LOOP)
        self.seen: list[Entry] | None = None


LOOP = asyncio.new_event_loop()


class World(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.log: list[Entry] = []
        self.gone: set[int] = set()
        self.appended = 0
        self.current_epoch = "one"
        self.meant: dict[tuple[str, str], list[int]] = {key: [] for key in DEVICES}
        self.stored: dict[tuple[str, str], int] = {}
        self.released: list[tuple[str, str]] = []
        self.handled: dict[tuple[str, str], list[int]] = {key: [] for key in DEVICES}
        self.start_worker()

    # The world of the worker

    @property
    def by_fd(self) -> Sequence[FakeChannel | None]:
        return self.channels

    def start_worker(self) -> None:
        self.channels: list[FakeChannel | None] = [None] * 16
        self.position = len(self.log)  # the stream begins behind what is there
        self.runs: list[tuple[Outgoing, set[FakeChannel]]] = []
        self.reads: list[Read] = []
        self.steps: list[tuple[Coroutine[Any, Any, None], asyncio.Future[Any]]] = []
        self.parked: set[int] = set()
        rows = Rows(1)
        self.reliable = Reliable(self, self, self, self.close, self.spawn, rows.row(0))

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self.step(coroutine)

    def step(self, coroutine: Coroutine[Any, Any, None]) -> None:
        try:
            future = coroutine.send(None)
        except StopIteration:
            return
        future._asyncio_future_blocking = False
        self.steps.append((coroutine, future))

    async def read(self, tenant: str, uid: str, after: int, limit: int) -> list[Entry]:
        read = Read(uid, after, limit)
        self.reads.append(read)
        return await read.future

    def epoch(self, tenant: str) -> str:
        return self.current_epoch

    def note(self, channel: Any, offset: int, epoch: str) -> None:
        assert epoch == self.current_epoch
        key = channel.user.uid, channel.device
        assert offset >= self.stored.get(key, 0), "a cursor never goes back"
        self.stored[key] = offset

    def take(self, channel: Any) -> bool:
        raise AssertionError("no other process is there")

    def release(self, channel: Any) -> None:
        self.released.append((channel.user.uid, channel.device))

    def is_parked(self, fd: int) -> bool:
        return fd in self.parked

    def find(self, tenant: str, uid: str) -> list[FakeChannel]:
        return [channel for channel in self.live() if channel.user.uid == uid]

    def descriptors(self, tenant: str, start: int, stop: int) -> dict[int, list[int]]:
        raise AssertionError("a reliable push looks at each connection")

    def serial_of(self, fd: int) -> int:
        return fd

    def count_written(self, tenant: str, messages: int, size: int) -> None: ...

    def write_live(self, fd: int, frame: bytes) -> bool:
        channel = self.channels[fd]
        assert channel is not None
        payload = frame[2:] if frame[1] < 126 else frame[4:]
        message = DECODE(payload)
        offset = message["offset"]
        assert message.get("resent", False) == (offset in channel.seen)
        assert offset > channel.acknowledged, "what was acknowledged is not sent again"
        channel.got.append(offset)
        channel.seen.add(offset)
        self.handle(channel, offset)
        return True

    def write_all(self, fds: Sequence[int], frame: bytes) -> int:
        return sum(self.write_live(fd, frame) for fd in fds)

    def handle(self, channel: FakeChannel, offset: int) -> None:
        """The device's own program."""
        handled = self.handled[channel.user.uid, channel.device]
        if not handled or offset > handled[-1]:
            meant = self.meant[channel.user.uid, channel.device]
            between = meant[bisect_right(meant, handled[-1] if handled else 0) : bisect_left(meant, offset)]
            lacking = [each for each in between if each not in self.gone]
            assert not lacking, f"{lacking} should have come before {offset}"
            handled.append(offset)

    def close(self, channel: Any, code: Close) -> None:
        assert code == Close.ACK_OVERDUE
        self.end(channel)

    def end(self, channel: FakeChannel) -> None:
        self.channels[channel.fd] = None
        self.parked.discard(channel.fd)
        self.reliable.end(channel)

    def live(self) -> list[FakeChannel]:
        return [channel for channel in self.channels if channel is not None]

    # What happens

    @rule(
        user=st.sampled_from([*USERS, EVERYONE]), device=st.sampled_from([None, None, "phone"]), hole=st.integers(1, 3)
    )
    def append(self, user: str, device: str | None, hole: int) -> None:
        self.appended += hole
        push = Push("acme", [user] if user else None, f"m{self.appended}", "e", 0, b"1", device=device)
        self.log.append(Entry("acme", user, self.appended, encode_push(push)))
        for key in DEVICES:
            if user in (key[0], EVERYONE) and device in (None, key[1]):
                self.meant[key].append(self.appended)

    @rule(count=st.integers(70, 400))
    def append_many(self, count: int) -> None:
        for _ in range(count):
            self.append("alice", None, 1)

    @rule(data=st.data())
    def expire(self, data: st.DataObject) -> None:
        if self.log:
            self.gone.add(data.draw(st.sampled_from(self.log)).offset)

    @rule(count=st.integers(1, 100))
    def bring(self, count: int) -> None:
        """The stream brings the next entries; those that expired first do not come."""
        for entry in self.log[self.position : self.position + count]:
            self.position += 1
            if entry.offset in self.gone:
                continue
            outgoing = Outgoing(decode_push(entry.payload), entry.offset)
            if entry.uid == EVERYONE:
                self.runs.append((outgoing, set(self.live())))
                continue
            for channel in self.live():
                if channel.user.uid == entry.uid:
                    for run, waiting in self.runs:
                        if channel in waiting:
                            waiting.discard(channel)
                            self.offer(channel, run)
                    self.offer(channel, outgoing)

    def offer(self, channel: FakeChannel, outgoing: Outgoing) -> None:
        if self.channels[channel.fd] is channel:
            self.reliable.offer(channel, outgoing)

    @precondition(lambda self: self.runs)
    @rule(count=st.integers(1, 4))
    def continue_fan_out(self, count: int) -> None:
        """The slice of a push to everyone, as FanOut has it: one run after the other."""
        outgoing, waiting = self.runs[0]
        for channel in sorted(waiting, key=lambda channel: channel.fd)[:count]:
            waiting.discard(channel)
            self.offer(channel, outgoing)
        if not waiting:
            self.runs.pop(0)

    @precondition(lambda self: self.reads)
    @rule(data=st.data())
    def look(self, data: st.DataObject) -> None:
        """A read takes its sight of the log, and ends later."""
        read = data.draw(st.sampled_from(self.reads))
        if read.seen is None:
            self.see(read)

    def see(self, read: Read) -> None:
        after = islice(self.log, bisect_right(self.log, read.after, key=lambda entry: entry.offset), None)
        found = (entry for entry in after if entry.uid in (read.uid, EVERYONE) and entry.offset not in self.gone)
        read.seen = list(islice(found, read.limit))

    @precondition(lambda self: self.reads)
    @rule(data=st.data(), fails=st.integers(0, 9))
    def end_read(self, data: st.DataObject, fails: int) -> None:
        read = data.draw(st.sampled_from(self.reads))
        self.finish(read, fails == 9)

    def finish(self, read: Read, fails: bool = False) -> None:
        self.reads.remove(read)
        if fails:
            read.future.set_exception(InboxUnavailable("away"))
        else:
            if read.seen is None:
                self.see(read)
            read.future.set_result(read.seen or [])
        coroutine, _ = next(pair for pair in self.steps if pair[1] is read.future)
        self.steps = [pair for pair in self.steps if pair[1] is not read.future]
        self.step(coroutine)

    @rule(key=st.sampled_from(DEVICES), own=st.booleans())
    def connect(self, key: tuple[str, str], own: bool) -> None:
        """A device connects, and takes the place of its older connection; with its own cursor, or with the server's."""
        for channel in self.live():
            if (channel.user.uid, channel.device) == key:
                self.end(channel)
        fd = next(fd for fd, channel in enumerate(self.channels) if channel is None and fd > 2)
        channel = FakeChannel(fd, *key)
        cursor = self.stored.setdefault(key, 0)
        if own and self.handled[key]:
            cursor = self.stored[key] = max(cursor, self.handled[key][-1])
        channel.acknowledged = cursor
        self.channels[fd] = channel
        self.reliable.begin(channel, cursor)

    @precondition(lambda self: self.live())
    @rule(data=st.data())
    def vanish(self, data: st.DataObject) -> None:
        self.end(data.draw(st.sampled_from(self.live())))

    @precondition(lambda self: any(channel.got for channel in self.live()))
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        channel = data.draw(st.sampled_from([channel for channel in self.live() if channel.got]))
        self.acknowledge_up_to(channel, data.draw(st.sampled_from(channel.got)))

    def acknowledge_up_to(self, channel: FakeChannel, offset: int) -> None:
        channel.acknowledged = max(channel.acknowledged, offset)
        self.reliable.acknowledge(channel, offset)

    @precondition(lambda self: self.live())
    @rule(data=st.data())
    def jam(self, data: st.DataObject) -> None:
        self.parked.add(data.draw(st.sampled_from(self.live())).fd)

    @precondition(lambda self: self.parked)
    @rule(data=st.data())
    def unjam(self, data: st.DataObject) -> None:
        fd = data.draw(st.sampled_from(sorted(self.parked)))
        self.parked.discard(fd)
        self.reliable.resume(fd)

    @rule(ticks=st.sampled_from([1, 5, 30, 300]))
    def wait(self, ticks: int) -> None:
        for _ in range(ticks):
            self.reliable.tick()

    @rule(late=st.booleans())
    def crash(self, late: bool) -> None:
        """The worker dies; the cursors that it had not stored yet are lost."""
        for coroutine, _ in self.steps:
            coroutine.close()
        if late:
            for key, offset in self.stored.items():
                self.stored[key] = next((each for each in self.handled[key] if each <= offset), 0)
        self.start_worker()

    def teardown(self) -> None:
        """All is well again: everybody gets everything."""
        for key in DEVICES:
            if not any((channel.user.uid, channel.device) == key for channel in self.live()):
                self.connect(key, True)
        for fd in sorted(self.parked):
            self.parked.discard(fd)
            self.reliable.resume(fd)
        for _ in range(2000):
            self.bring(1000)
            while self.runs:
                self.continue_fan_out(10)
            while self.reads:
                self.finish(self.reads[0])
            for channel in self.live():
                if channel.got and max(channel.got) > channel.acknowledged:
                    self.acknowledge_up_to(channel, max(channel.got))
            self.reliable.tick()
            if not self.reads and not self.steps and all(self.has_all(channel) for channel in self.live()):
                break
        for channel in self.live():
            assert self.has_all(channel), (channel.user.uid, channel.device)
            handled = self.handled[channel.user.uid, channel.device]
            assert handled == sorted(set(handled))
        assert not self.reliable._behind
        for coroutine, _ in self.steps:
            coroutine.close()

    def has_all(self, channel: FakeChannel) -> bool:
        key = channel.user.uid, channel.device
        return set(self.meant[key]) - self.gone <= set(self.handled[key])


DECODE: Callable[[bytes], dict[str, Any]] = __import__("json").loads
TestWorld = World.TestCase
TestWorld.settings = settings(max_examples=100, stateful_step_count=60, deadline=None)


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.teardown()


def join(world: World, key: tuple[str, str] = ("alice", "phone")) -> FakeChannel:
    """Connect a device and give it what there is."""
    world.connect(key, False)
    (channel,) = [each for each in world.live() if (each.user.uid, each.device) == key]
    while world.reads:
        world.finish(world.reads[0])
    return channel


def append(world: World, count: int, user: str = "alice", device: str | None = None) -> None:
    for _ in range(count):
        world.append(user, device, 1)
    world.bring(count)


def test_a_read_that_began_before_a_resend_is_thrown_away(world: World) -> None:
    channel = join(world)
    append(world, 3)
    world.parked.add(channel.fd)
    append(world, 1)
    world.parked.discard(channel.fd)
    world.reliable.resume(channel.fd)
    assert channel.got == [1, 2, 3]
    (read,) = world.reads
    world.see(read)
    world.wait(30)  # overdue: all is sent again
    world.finish(read)
    assert channel.got == [1, 2, 3], "4 does not come before 1 to 3 again"
    world.finish(world.reads[0])
    assert channel.got == [1, 2, 3, 1, 2, 3, 4]


def test_what_comes_while_history_is_read_comes_after_it(world: World) -> None:
    channel = join(world)
    world.parked.add(channel.fd)
    append(world, 2)
    world.parked.discard(channel.fd)
    world.reliable.resume(channel.fd)
    (read,) = world.reads
    world.see(read)
    append(world, 2)
    assert channel.got == []
    world.finish(read)
    assert channel.got == [1, 2]
    world.finish(world.reads[0])
    assert channel.got == [1, 2, 3, 4]
    append(world, 1)
    assert channel.got == [1, 2, 3, 4, 5], "with the stream again"


def test_overdue_messages_are_sent_again_and_at_last_the_connection_is_given_up(world: World) -> None:
    channel = join(world)
    append(world, 1)
    gaps = []
    for _ in range(TRIES):
        ticks = 0
        while not world.reads:
            world.wait(1)
            ticks += 1
        gaps.append(ticks)
        world.finish(world.reads[0])
    assert channel.got == [1] * 6
    assert [round(gap / 20) for gap in gaps] == [1, 2, 4, 8, 12], "5 s, doubling to 60 s"
    world.wait(300)
    assert world.live() == []


def test_an_acknowledgement_starts_the_patience_anew(world: World) -> None:
    channel = join(world)
    append(world, 2)
    world.wait(19)
    world.acknowledge_up_to(channel, 1)
    world.wait(18)
    assert not world.reads
    world.wait(8)
    world.finish(world.reads[0])
    assert channel.got == [1, 2, 2]


def test_a_window_full_waits_for_acknowledgements(world: World) -> None:
    channel = join(world)
    append(world, 600)
    assert channel.got == list(range(1, WINDOW + 1))
    assert not world.reads
    world.acknowledge_up_to(channel, WINDOW // 2)
    while world.reads:
        world.finish(world.reads[0])
    assert len(channel.got) == WINDOW + WINDOW // 2


def test_an_acknowledgement_beyond_what_was_sent_moves_nothing(world: World) -> None:
    channel = join(world)
    append(world, 2)
    for offset in (3, -1, 2**53):
        with pytest.raises(MessageError, match="expected at most 2"):
            world.reliable.acknowledge(channel, offset)
    assert world.reliable.progress(channel) == (2, 0)
    for offset in (0, 1, 1, 0):
        world.acknowledge_up_to(channel, offset)
    assert world.reliable.progress(channel) == (2, 1)


def test_what_is_for_another_device_moves_the_cursor_once_all_else_is_acknowledged(world: World) -> None:
    tablet = join(world, ("alice", "tablet"))
    append(world, 1)
    append(world, 2, device="phone")
    assert world.reliable.progress(tablet) == (3, 0)
    world.acknowledge_up_to(tablet, 1)
    assert world.reliable.progress(tablet) == (3, 3)
    append(world, 1, device="phone")
    assert world.reliable.progress(tablet) == (4, 4)
    assert world.stored["alice", "tablet"] == 4


def test_what_comes_for_a_device_that_was_just_closed_moves_no_cursor(world: World) -> None:
    """A fan-out's messages are written one after the other: the first may close the session that the second is for."""
    channel = join(world)
    append(world, 1)
    world.close(channel, Close.ACK_OVERDUE)
    push = Push("acme", None, "id", "e", 1, b"1", tags=["nobody"], qos="reliable")
    world.reliable.offer(channel, Outgoing(push, 2))
    assert world.stored == {("alice", "phone"): 0}
    assert not world.reliable._behind


def test_another_epoch_ends_the_devices_connections(world: World) -> None:
    channel = join(world)
    codes = []

    def close(each: Any, code: Close) -> None:
        codes.append((each, code))
        world.end(each)

    world.reliable._close = close
    world.reliable.end_epoch("acme")
    assert codes == [(channel, Close.GOING_AWAY)]
    assert world.released == [("alice", "phone")], "its cursor is stored at once"


def test_an_inbox_that_is_away_is_asked_again(world: World) -> None:
    world.append("alice", None, 1)
    world.bring(1)
    world.connect(("alice", "phone"), False)
    (channel,) = world.live()
    for _ in range(3):
        world.finish(world.reads[0], fails=True)
        assert not world.reads
        world.wait(1)
    world.finish(world.reads[0])
    assert channel.got == [1]
