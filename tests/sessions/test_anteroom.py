"""Devices on their way in: where they begin, and what is stored before they are told."""

import asyncio
import time
from typing import Any

import pytest

from pushgate.codes import Close
from pushgate.inbox.base import Cursor, Device
from pushgate.metrics.catalogue import LOBBY, REFUSED
from pushgate.metrics.rows import Rows
from pushgate.sessions.anteroom import FRESH, GROUP, Anteroom, find_place
from pushgate.sessions.arrival import STORED_EPOCH, Arrival
from tests.fakes.inbox import FakeCursors

NOW, OLD = "now", "before"


def arrival(cursor: int | None = None, epoch: str | None = None, start: Any = "oldest", uid: str = "alice") -> Arrival:
    return Arrival("acme", uid, 0, (), bytes(16), "", "phone", cursor, epoch, start, greeting=b"101 ")


@pytest.mark.parametrize(
    ("client", "stored", "place", "missed"),
    [
        (arrival(), None, 0, False),
        (arrival(start="now"), None, 100, False),
        (arrival(start="now"), (40, NOW), 40, False),
        (arrival(), (40, NOW), 40, False),
        (arrival(30, NOW), (40, NOW), 40, False),
        (arrival(50, NOW), (40, NOW), 50, False),
        (arrival(50), (40, NOW), 50, False),
        (arrival(50), None, 50, False),
        (arrival(100, NOW), None, 100, False),
        (arrival(101, NOW), None, 0, True),
        (arrival(101), (40, NOW), 40, True),
        (arrival(50, OLD), None, 0, True),
        (arrival(50, OLD), (40, NOW), 40, True),
        (arrival(50, NOW), (90, OLD), 50, False),
        (arrival(), (90, OLD), 0, True),
        (arrival(start="now"), (90, OLD), 0, True),
        (arrival(50, OLD), (90, OLD), 0, True),
        (arrival(50, STORED_EPOCH), (40, NOW), 50, False),
        (arrival(30, STORED_EPOCH), (40, NOW), 40, False),
        (arrival(101, STORED_EPOCH), (40, NOW), 40, True),
        (arrival(50, STORED_EPOCH), (40, OLD), 0, True),
        (arrival(50, STORED_EPOCH), None, 0, True),
    ],
)
def test_where_a_device_begins(client: Arrival, stored: tuple[int, str] | None, place: int, missed: bool) -> None:
    cursor = Cursor(*stored, 0) if stored is not None else None
    assert find_place(client, cursor, NOW, 100) == (place, missed)


class Room:
    """An anteroom, and a poller that notes what is written."""

    def __init__(self) -> None:
        self.inbox = FakeCursors()
        self.row = Rows(1).row(0)
        self.taken: list[tuple[int, Arrival, dict[Device, Cursor]]] = []
        self.finished: list[tuple[int, bytes]] = []
        self.left: set[int] = set()
        self.closed: list[int] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.anteroom = Anteroom(self.inbox, self.inbox, self.take, self, self.spawn, self.row)  # type: ignore[arg-type]

    def spawn(self, coroutine: Any) -> None:
        self.tasks.append(asyncio.create_task(coroutine))

    def take(self, fd: int, arrival: Arrival) -> None:
        self.taken.append((fd, arrival, dict(self.inbox.cursors)))

    def add(self, fd: int, handler: object) -> None: ...

    def has_left(self, fd: int) -> bool:
        return fd in self.left

    def close(self, fd: int) -> None:
        self.closed.append(fd)

    def turn_away(self, fd: int, last: bytes) -> None:
        self.finished.append((fd, last))

    async def settle(self) -> None:
        while any(not task.done() for task in self.tasks):
            await asyncio.gather(*self.tasks)


async def test_a_first_cursor_is_stored_before_the_device_is_let_in() -> None:
    room = Room()
    room.anteroom.admit(5, arrival())
    await room.settle()
    ((fd, taken, stored),) = room.taken
    assert (fd, taken.cursor, taken.epoch, taken.missed) == (5, 0, "now", False)
    assert stored == {Device("acme", "alice", "phone"): Cursor(0, "now", 0)}
    assert room.row[LOBBY] == 0


async def test_a_storm_costs_few_calls() -> None:
    room = Room()
    for number in range(3 * GROUP + 1):
        room.anteroom.admit(number, arrival(5, "now", uid=f"user{number}"))
    await room.settle()
    assert [fd for fd, _, _ in room.taken] == list(range(3 * GROUP + 1))
    assert sorted(room.inbox.calls) == sorted(
        [("load", GROUP)] * 3 + [("store", GROUP)] * 3 + [("newest", 1)] * 4 + [("load", 1), ("store", 1)]
    )


async def test_a_known_cursor_is_stored_again_once_a_day() -> None:
    room = Room()
    device = Device("acme", "alice", "phone")
    for age, stores in ((FRESH - 60, 0), (FRESH + 60, 1)):
        room.inbox.cursors[device] = Cursor(5, "now", int(time.time()) - age)
        room.anteroom.admit(5, arrival())
        await room.settle()
        assert room.inbox.calls.count(("store", 1)) == stores


async def test_without_the_inbox_devices_are_told_to_come_again() -> None:
    room = Room()
    room.inbox.away = True
    room.anteroom.admit(5, arrival())
    await room.settle()
    ((fd, last),) = room.finished
    assert fd == 5
    assert last.startswith(b"101 \x88")
    assert last[6:8] == Close.OVERLOADED.to_bytes(2, "big")
    assert (room.row[LOBBY], room.row[REFUSED["inbox"]]) == (0, 1)
    room.inbox.away = False
    room.anteroom.admit(6, arrival())
    await room.settle()
    assert [fd for fd, _, _ in room.taken] == [6]


async def test_where_no_cursor_is_stored_only_who_begins_now_has_to_wait() -> None:
    """An inbox that is full answers what is asked, and stores nothing."""
    room = Room()
    room.inbox.full = True
    room.inbox.cursors[Device("acme", "carol", "phone")] = Cursor(40, NOW, 0)
    for fd, client in enumerate((arrival(), arrival(start="now", uid="bob"), arrival(50, NOW, uid="carol"))):
        room.anteroom.admit(fd, client)
    await room.settle()
    assert [(fd, taken.cursor) for fd, taken, _ in room.taken] == [(0, 0), (2, 50)]
    assert [fd for fd, _ in room.finished] == [1]
    assert (room.row[LOBBY], room.row[REFUSED["inbox"]]) == (0, 1)


async def test_who_has_left_meanwhile_takes_nobodys_place() -> None:
    room = Room()
    room.left.add(6)
    room.anteroom.admit(5, arrival())
    room.anteroom.admit(6, arrival())
    await room.settle()
    assert [fd for fd, _, _ in room.taken] == [5]
    assert room.closed == [6]
    assert (room.row[LOBBY], room.row[REFUSED["gone"]]) == (0, 1)


async def test_who_waits_while_the_logs_become_others_comes_again() -> None:
    """Its place was one of the epoch before: in the new one it would pass over what it lacks."""
    room = Room()
    store = room.inbox.store_cursors

    async def begin_anew(cursors: Any) -> None:
        await store(cursors)
        room.inbox.current = "later"

    room.inbox.store = begin_anew  # type: ignore[method-assign]
    room.anteroom.admit(5, arrival(50, NOW))
    await room.settle()
    assert room.taken == []
    assert [fd for fd, _ in room.finished] == [5]
    assert room.row[LOBBY] == 0


async def test_a_stopping_worker_turns_everybody_away() -> None:
    room = Room()
    room.anteroom.admit(5, arrival())
    room.anteroom.empty()
    room.anteroom.admit(6, arrival())
    await room.settle()
    assert [fd for fd, _ in room.finished] == [5, 6]
    assert room.taken == []
    assert room.row[LOBBY] == 0
