"""The pace at which a worker's clients leave, without a clock."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from pushgate.metrics.catalogue import CONNECTIONS
from pushgate.metrics.rows import Rows
from pushgate.node.departures import Departures

TICK = 0.25


class Rig:
    """Sessions that are noted when they are sent away, by moment; later turns of the loop come at once."""

    def __init__(self, count: int, phase: float = 0.0) -> None:
        self.row = Rows(1).row(0)
        self.by_fd: list[Any] = [None] * (3 * count + 8)
        for number in range(count):
            self.enter(3 * number + 5)
        self.now = 50.0
        self.left: list[float] = []
        self.afters: list[float] = []
        self.turns: list[Callable[[], None]] = []
        sessions: Any = SimpleNamespace(by_fd=self.by_fd, send_away=self._send_away)
        self.departures = Departures(sessions, self.row, phase, self.turns.append)

    def enter(self, fd: int) -> None:
        self.by_fd[fd] = SimpleNamespace(fd=fd)
        self.row[CONNECTIONS] += 1

    def run(self, seconds: float, tick: float = TICK) -> None:
        for _ in range(round(seconds / tick)):
            self.now += tick
            self.departures.tick(self.now)
            while self.turns:
                self.turns.pop(0)()

    def _send_away(self, session: Any, after: float) -> None:
        self.by_fd[session.fd] = None
        self.row[CONNECTIONS] -= 1
        self.left.append(self.now - 50.0)
        self.afters.append(after)


@pytest.mark.parametrize("count", [2, 7, 100, 5000])
def test_they_leave_evenly_whatever_their_number(count: int) -> None:
    rig = Rig(count)
    rig.departures.begin(110.0, 50.0)
    rig.run(60)
    assert len(rig.left) == count
    for number, when in enumerate(rig.left):
        assert abs(when - 60 * number / count) <= 2 * TICK
    assert all(0 <= after <= TICK for after in rig.afters)


def test_one_alone_leaves_at_once_and_workers_take_turns() -> None:
    firsts = []
    for phase in (0.0, 0.25, 0.5, 0.75):
        rig = Rig(1, phase)
        rig.departures.begin(90.0, 50.0)
        rig.run(40)
        firsts += rig.left
    assert firsts[0] == TICK
    assert [round(first) for first in firsts] == [0, 10, 20, 30]


def test_nobody_leaves_before_it_begins() -> None:
    rig = Rig(10)
    rig.run(10)
    assert not rig.left
    assert not rig.departures.under_way


def test_at_once_they_leave_in_slices() -> None:
    rig = Rig(1000)
    rig.departures.begin(50.0, 50.0)
    rig.departures.tick(50.1)
    assert len(rig.left) == 256
    rig.run(TICK)
    assert len(rig.left) == 1000


def test_another_time_changes_the_pace() -> None:
    rig = Rig(100)
    rig.departures.begin(150.0, 50.0)
    rig.run(10)
    assert 9 <= len(rig.left) <= 12
    rig.departures.begin(64.0, rig.now)
    rig.run(4)
    assert len(rig.left) == 100


def test_who_leaves_alone_does_not_hurry_the_others_and_who_comes_late_leaves_too() -> None:
    rig = Rig(100)
    rig.departures.begin(150.0, 50.0)
    for fd in range(5, 3 * 60 + 5, 3):
        rig.by_fd[fd] = None
        rig.row[CONNECTIONS] -= 1
    rig.run(50)
    assert 18 <= len(rig.left) <= 22
    rig.run(60)
    assert len(rig.left) == 40
    rig.enter(5)
    rig.run(TICK)
    assert len(rig.left) == 41


def test_a_loop_that_stood_still_catches_up() -> None:
    rig = Rig(100)
    rig.departures.begin(60.0, 50.0)
    rig.run(5, tick=5)
    assert 50 <= len(rig.left) <= 52
    rig.run(20, tick=20)
    assert len(rig.left) == 100
