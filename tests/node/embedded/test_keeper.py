import os
import signal
from collections.abc import Iterator
from typing import cast

import pytest
from structlog.testing import capture_logs

from pushgate.errors import StartError
from pushgate.metrics.catalogue import CLUSTER_LEADER, CLUSTER_SERVERS, NATS_MAX_STORED, NATS_RESTARTS, NATS_STORED
from pushgate.metrics.rows import Rows
from pushgate.node.back_off import PAUSES
from pushgate.node.embedded.keeper import GRACE, HEALTH, ILL, ROOM, NatsKeeper
from pushgate.node.embedded.probe import Health
from pushgate.node.embedded.server import NatsServer
from pushgate.node.embedded.server_log import NOT_THERE
from pushgate.node.loop import Loop
from tests.node.conftest import Clock


class FakeNats:
    """A server whose end is a readable descriptor; `faults` are what its next starts raise."""

    def __init__(self) -> None:
        self.starts = 0
        self.faults: list[StartError] = []
        self.answers: list[bool | StartError] = []
        self.moved = False
        self.pidfd = -1
        self.ailments: list[str] = []
        self.health = Health()
        self.trouble = ""
        self.room = ROOM
        self.signals: list[int] = []

    def start(self) -> None:
        if self.faults:
            raise self.faults.pop(0)
        self.starts += 1
        self.forget()
        self.pidfd = os.eventfd(0)

    def forget(self) -> None:
        if self.pidfd >= 0:
            os.close(self.pidfd)

    def end(self) -> None:
        os.eventfd_write(self.pidfd, 1)

    def ready(self, timeout: float) -> None:
        pass

    def examine(self) -> Health:
        return self.health._replace(ailment=self.ailments.pop(0) if self.ailments else "")

    def route_trouble(self) -> str:
        return self.trouble

    def signal(self, number: int) -> None:
        self.signals.append(number)

    def is_ready(self) -> bool:
        answer = self.answers.pop(0) if self.answers else True
        if isinstance(answer, StartError):
            raise answer
        return answer


class Rig:
    """A keeper in a loop of the test's own, which goes on when the clock does."""

    def __init__(self, clock: Clock, cluster: int = 0) -> None:
        self.clock = clock
        self.nats = FakeNats()
        self.loop = Loop()
        self.row = Rows(1).row(1)
        self.moves = 0
        nats = cast(NatsServer, self.nats)
        self.keeper = NatsKeeper(nats, self.loop, self.row, self._move, cluster)
        self.keeper.start()

    def _move(self) -> None:
        self.moves += 1

    def go_on(self, seconds: float = 0.0) -> None:
        self.clock.advance(seconds, self.loop)

    def end(self) -> None:
        self.nats.end()
        self.go_on()


@pytest.fixture
def rig(clock: Clock) -> Iterator[Rig]:
    made = Rig(clock)
    yield made
    made.nats.forget()


def test_it_is_started_again_when_it_ends(rig: Rig) -> None:
    rig.end()
    assert rig.nats.starts == 2
    rig.nats.answers = [False, False, True]
    for _ in range(3):
        rig.go_on(0.05)
    assert rig.nats.answers == []
    assert rig.row[NATS_RESTARTS] == 1
    assert rig.moves == 0
    wait = rig.loop._patience()
    assert wait is not None
    assert wait > 1, "it is looked at no more"


def test_it_is_tried_again_when_it_does_not_start(rig: Rig) -> None:
    rig.nats.faults = [StartError("no"), StartError("still no")]
    with capture_logs() as logs:
        rig.end()
        rig.go_on(PAUSES[1])
        assert rig.nats.starts == 1
        rig.go_on(PAUSES[2])
    assert rig.nats.starts == 2
    assert [line["reason"] for line in logs if "reason" in line] == ["no", "still no"]


def test_who_waits_at_its_old_port_is_told_of_another(rig: Rig) -> None:
    rig.nats.moved = True
    rig.end()
    rig.go_on(0.05)
    assert rig.moves == 1


def test_one_that_ends_while_it_starts_is_started_once_more(rig: Rig) -> None:
    rig.end()
    rig.nats.answers = [StartError("it ended")]
    rig.nats.end()
    rig.go_on(0.05)
    rig.go_on(PAUSES[1])
    assert rig.nats.starts == 3
    assert rig.row[NATS_RESTARTS] == 2


def test_let_go_it_may_end(rig: Rig) -> None:
    rig.keeper.let_go()
    rig.end()
    rig.go_on(60)
    assert rig.nats.starts == 1
    assert rig.row[NATS_RESTARTS] == 0


def test_one_that_stays_ill_is_ended_and_so_started_again(rig: Rig) -> None:
    rig.nats.ailments = ["no space left"] * (ILL - 1) + [""] + ["no space left"] * ILL
    with capture_logs() as logs:
        for _ in range(2 * ILL - 1):
            rig.go_on(HEALTH)
        assert rig.nats.signals == []
        rig.go_on(HEALTH)
    assert rig.nats.signals == [signal.SIGTERM]
    assert [line["reason"] for line in logs] == ["no space left"]
    rig.end()
    assert rig.nats.starts == 2
    rig.go_on(GRACE)
    assert rig.nats.signals == [signal.SIGTERM], "the new one is left alone"


def test_an_ill_one_that_does_not_end_is_killed(rig: Rig) -> None:
    rig.nats.ailments = ["no space left"] * ILL
    for _ in range(ILL):
        rig.go_on(HEALTH)
    rig.go_on(GRACE)
    assert rig.nats.signals == [signal.SIGTERM, signal.SIGKILL]


def test_an_ill_one_goes_on_until_its_disk_has_room(rig: Rig) -> None:
    rig.nats.ailments = ["no space left"] * 3 * ILL
    rig.nats.room = ROOM - 1
    with capture_logs() as logs:
        for _ in range(2 * ILL):
            rig.go_on(HEALTH)
    assert rig.nats.signals == []
    assert len(logs) == 1
    rig.nats.room = ROOM
    rig.go_on(HEALTH)
    assert rig.nats.signals == [signal.SIGTERM]


def test_the_servers_of_the_cluster_are_counted_and_their_changes_told(clock: Clock) -> None:
    with capture_logs() as logs:
        rig = Rig(clock, cluster=3)
        for trouble in (f"{NOT_THERE} 1", f"{NOT_THERE} 2", "not", "not you", "not", "no", "never", "not you"):
            rig.nats.trouble = trouble
            rig.go_on(HEALTH)
        assert (rig.row[CLUSTER_SERVERS], rig.row[CLUSTER_LEADER]) == (1, 0)
        told = [Health(), Health(peers=frozenset({"b"}), leader="b"), Health(peers=frozenset({"b", "c"}), leader="b")]
        for health in (*told, told[-1]._replace(leader="c"), told[1]):
            rig.nats.health = health
            rig.go_on(HEALTH)
            assert (rig.row[CLUSTER_SERVERS], rig.row[CLUSTER_LEADER]) == (len(health.peers) + 1, bool(health.leader))
    rig.nats.forget()
    assert [(log["event"], log["servers"], log.get("reason")) for log in logs] == [
        ("the cluster has no quorum", "1 of 3", None),
        ("the cluster has no quorum", "1 of 3", "not"),
        ("the cluster has no quorum", "1 of 3", "not you"),
        ("the cluster has no quorum", "1 of 3", "no"),
        ("the cluster misses servers", "2 of 3", "not you"),
        ("the cluster is whole", ["b", "c"], None),
        ("the cluster misses servers", "2 of 3", "not you"),
    ]


def test_what_it_can_store_is_its_limit_or_what_its_disk_has_room_for(rig: Rig) -> None:
    for health, room, largest in (
        (Health(stored=1000, max_stored=ROOM), ROOM, ROOM),
        (Health(stored=2000, max_stored=ROOM), 500, 2500),
        (Health(), 500, 2500),  # it said nothing
    ):
        rig.nats.health, rig.nats.room = health, room
        rig.go_on(HEALTH)
        assert rig.row[NATS_MAX_STORED] == largest
    assert rig.row[NATS_STORED] == 2000
