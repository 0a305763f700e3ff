import signal

import pytest
from structlog.testing import capture_logs

from pushgate.metrics.catalogue import WATCHDOG_KILLS, WORKER_TICKS
from pushgate.metrics.rows import Rows
from pushgate.node.loop import Loop
from pushgate.node.watchdog import Watchdog
from tests.node.conftest import Clock


class FakeWorker:
    """A place with a process that remembers its signals."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.pid = 100 + index
        self.signals: list[signal.Signals] = []

    def kill(self, number: signal.Signals) -> None:
        self.signals.append(number)


class Node:
    """Two workers and a watchdog of 10 s, under the test's clock; those in `stuck` do not tick."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.rows = Rows(2)
        self.workers = [FakeWorker(0), FakeWorker(1)]
        self.stuck: set[int] = set()
        self.loop = Loop()
        self.watchdog = Watchdog(self.workers, self.rows, self.loop, 10)
        self.watchdog.start()

    def pass_seconds(self, count: int) -> None:
        for _ in range(count):
            for worker in self.workers:
                if worker.index not in self.stuck:
                    self.rows.row(worker.index)[WORKER_TICKS] += 4
            self.clock.advance(1, self.loop)

    def kills(self, index: int) -> int:
        return self.rows.row(index)[WATCHDOG_KILLS]


@pytest.fixture
def node(clock: Clock) -> Node:
    return Node(clock)


def test_a_stuck_worker_is_told_to_speak_and_then_killed(node: Node) -> None:
    node.pass_seconds(5)
    node.stuck.add(1)
    with capture_logs() as logs:
        node.pass_seconds(9)
        assert node.workers[1].signals == []
        assert node.watchdog.silence == 9
        node.pass_seconds(1)
        assert node.workers[1].signals == [signal.SIGABRT]
        node.pass_seconds(1)
        assert node.workers[1].signals == [signal.SIGABRT]
        node.pass_seconds(5)
    assert node.workers[1].signals == [signal.SIGABRT, signal.SIGKILL]
    assert node.workers[0].signals == []
    assert [node.kills(0), node.kills(1)] == [0, 1]
    assert logs == [
        {
            "part": "supervisor",
            "lifecycle": True,
            "log_level": "error",
            "event": "a worker is stuck",
            "worker": 1,
            "pid": 101,
            "seconds": 10,
        }
    ]


def test_one_that_comes_back_in_time_is_left_alone(node: Node) -> None:
    for _ in range(5):
        node.stuck.add(0)
        node.pass_seconds(9)
        node.stuck.clear()
        node.pass_seconds(1)
        assert node.watchdog.silence == 0
    assert node.workers[0].signals == []


def test_nobody_is_killed_for_a_stall_of_the_supervisor(node: Node) -> None:
    """All of the machine slept for an hour: there is one look after it, and the workers tick again."""
    node.pass_seconds(3)
    node.clock.advance(3600, node.loop)
    assert node.watchdog.silence == 1
    node.pass_seconds(20)
    assert [worker.signals for worker in node.workers] == [[], []]


def test_the_one_started_in_its_place_begins_anew(node: Node) -> None:
    node.pass_seconds(1)
    node.stuck.add(0)
    node.pass_seconds(10)
    node.workers[0].pid = 0
    node.pass_seconds(30)
    assert node.workers[0].signals == [signal.SIGABRT], "nobody is there"
    node.workers[0].pid = 200
    node.pass_seconds(10)
    assert node.watchdog.silence == 9
    assert node.workers[0].signals == [signal.SIGABRT]
    node.pass_seconds(1)
    assert node.workers[0].signals == [signal.SIGABRT] * 2, "one that never ticks at all is stuck too"


def test_a_short_limit_is_looked_at_more_often(clock: Clock) -> None:
    loop, worker = Loop(), FakeWorker(0)
    Watchdog([worker], Rows(1), loop, 1.0).start()
    for _ in range(4):
        clock.advance(0.25, loop)
    assert worker.signals == []
    clock.advance(0.25, loop)
    assert worker.signals == [signal.SIGABRT]
