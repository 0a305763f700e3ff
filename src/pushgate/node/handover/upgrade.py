"""An upgrade, seen from the old supervisor: it starts the new one and hands the node over, or goes on as it was."""

import errno
import os
import signal
import socket
from collections.abc import Callable, Sequence
from enum import IntEnum, auto

from pushgate.inbox import FollowedTo
from pushgate.log import get_logger
from pushgate.node.children import Child
from pushgate.node.control import FORGET, GIVEN, NOTE, NOTED, Said, packets_of
from pushgate.node.handover.giving import read_places
from pushgate.node.handover.heritage import (
    PROTOCOL,
    Ask,
    GiveUp,
    Lost,
    Message,
    Mine,
    Noted,
    Ready,
    Yours,
)
from pushgate.node.handover.progress import Report
from pushgate.node.handover.successor import Successor
from pushgate.node.holdings import Holdings
from pushgate.node.loop import Loop
from pushgate.node.systemd import Systemd
from pushgate.node.workers import Workers

ASK_TIMEOUT = 30.0
"""Seconds that the new program is given to start and to check its configuration."""
NOTE_TIMEOUT = 10.0
"""Seconds that our workers have to begin noting."""
READY_TIMEOUT = 60.0
"""Seconds that the new workers have to be ready."""
GIVE_TIMEOUT = 120.0
"""Seconds that our workers have to hand over all their sessions."""
MINE_TIMEOUT = 30.0
"""Seconds that the new ones then have to take over."""
RETRY = 0.005
"""Seconds until descriptors are passed that could not be just now."""

_WAIT = frozenset({errno.EAGAIN, errno.ETOOMANYREFS, errno.ENOBUFS})
_log = get_logger("supervisor", lifecycle=True)


class _Step(IntEnum):
    STARTING = auto()
    NOTING = auto()
    PREPARING = auto()
    GIVING = auto()
    LEAVING = auto()
    DONE = auto()
    FAILED = auto()


class Upgrade:
    """One upgrade, from `begin` until `succeeded` is called, when the new one is in charge and has everything.

    Or until `failed` is: then the node is ours as it was, but for sessions that were handed over already.
    """

    def __init__(
        self,
        holdings: Holdings,
        workers: Workers,
        systemd: Systemd,
        loop: Loop,
        report: Report,
        succeeded: Callable[[], None],
        failed: Callable[[], None],
    ) -> None:
        self.stop_wanted = False
        """Whether we were told to stop, and pass that on."""
        self.reload_wanted = False
        """Whether we were told to reload meanwhile."""
        self._holdings = holdings
        self._workers = workers
        self._systemd = systemd
        self._loop = loop
        self._report = report
        self._succeeded = succeeded
        self._failed = failed
        self._successor = Successor(loop, self._take, self._fail)
        self._step = _Step.STARTING
        self._waiting_for: set[int] = set()
        self._channels: list[int] = []
        self._rows = -1
        self._description = b""
        self._places: dict[str, FollowedTo] = {}
        self._unsent: list[tuple[Child, bytes, list[int]]] = []

    def begin(self) -> None:
        """Start the new supervisor."""
        try:
            self._successor.start(self._systemd.environ)
        except OSError as error:
            self._fail(f"the new program cannot be started: {error.strerror}")
            return
        self._report.pid = self._successor.pid
        self._enter(_Step.STARTING, "the new program starts", ASK_TIMEOUT)

    def stop(self) -> bool:
        """We are told to stop. Returns True when that is passed on: what began to be handed over is handed over first.

        With False the upgrade was given up, and we have to stop ourselves.
        """
        if self._step < _Step.GIVING:
            self._fail("the node was told to stop")
            return False
        self.stop_wanted = True
        return True

    def hear_worker(self, child: Child, said: Said) -> None:
        """Take a word of one of our workers (Leader)."""
        if (said.word, self._step) == (NOTED, _Step.NOTING):
            for tenant, place in read_places(said.body).items():
                self._places[tenant] = min(place, self._places.get(tenant, place))
            self._tick_off(child.index)
        elif (said.word, self._step) == (GIVEN, _Step.GIVING):
            self._tick_off(child.index)

    def lose_worker(self, child: Child) -> bool:
        """One of our workers has died; returns whether it is to be started again."""
        if self._step < _Step.GIVING:
            self._fail(f"worker {child.index} ended")
            return True
        if self._step == _Step.GIVING and child.index in self._waiting_for:
            _log.error("a worker ended while it handed over: its clients have to reconnect", worker=child.index)
            if self._send(Lost(child.index)):
                self._tick_off(child.index)
        return False

    def _take(self, message: Message, files: list[int]) -> None:
        match message:
            case Ask() if self._step == _Step.STARTING:
                self._answer(message)
            case Ready() if self._step == _Step.PREPARING:
                self._gather(message, files)
            case Mine() if self._step == _Step.LEAVING:
                self._succeed()
            case GiveUp() if self._step < _Step.DONE:
                self._successor.expect_end()
                self._go_on(message.reason)
            case _:
                self._fail(f"the new one said {type(message).__name__} out of turn")

    def _answer(self, ask: Ask) -> None:
        if ask.protocol != PROTOCOL:
            self._fail(f"version {ask.version} cannot take over from this one: it has to be a restart")
            return
        if not self._send(*self._holdings.bequeath()):
            return
        self._waiting_for = {child.index for child in self._workers.children}
        self._enter(_Step.NOTING, f"version {ask.version} starts its workers", NOTE_TIMEOUT)
        self._workers.say(NOTE)

    def _gather(self, ready: Ready, files: list[int]) -> None:
        """Take the channels to the new workers; when they are all there, have our workers hand over."""
        if ready.rows:
            self._rows, self._description = files.pop(0), ready.rows
        self._channels += files
        if len(self._channels) < ready.channels:
            return
        self._waiting_for = {child.index for child in self._workers.children}
        self._enter(_Step.GIVING, "the sessions are handed over", GIVE_TIMEOUT)
        packets = packets_of(self._channels, self._rows, self._description)
        self._unsent = [(child, body, files) for child in self._workers.children for body, files in packets]
        self._send_channels()

    def _send_channels(self) -> None:
        while self._unsent:
            child, body, files = self._unsent[0]
            try:
                child.hand_over(body, files)
            except OSError as error:
                if error.errno in _WAIT:  # ETOOMANYREFS: too many descriptors of this user are on their way
                    self._loop.after(RETRY, self._send_channels)
                    return
                # It just died, and is buried next.
            del self._unsent[0]
        self._close_channels()

    def _tick_off(self, index: int) -> None:
        self._waiting_for.discard(index)
        if self._waiting_for:
            return
        if self._step == _Step.NOTING:
            self._enter(_Step.PREPARING, "", READY_TIMEOUT)
            self._send(Noted(self._places))
        else:
            self._enter(_Step.LEAVING, "the new workers take over", MINE_TIMEOUT)
            self._systemd.hand_over(self._report.pid)
            self._send(Yours(self.stop_wanted, self.reload_wanted))

    def _succeed(self) -> None:
        if self.stop_wanted:
            self._successor.signal(signal.SIGTERM)
        elif self.reload_wanted:
            self._successor.signal(signal.SIGHUP)
        self._step = _Step.DONE
        self._report.succeed()
        self._succeeded()

    def _fail(self, reason: str) -> None:
        """Give the new one up, unless it is over already."""
        if self._step < _Step.DONE:
            self._successor.end(reason)
            self._go_on(reason)

    def _go_on(self, reason: str) -> None:
        """Go on as we were, as far as that is."""
        failed_at, self._step = self._step, _Step.FAILED
        self._unsent = []
        self._close_channels()
        if failed_at >= _Step.LEAVING:
            self._systemd.hand_over(os.getpid())
        if failed_at >= _Step.NOTING:
            self._workers.say(FORGET)
        if failed_at >= _Step.GIVING:
            self._workers.start_missing()
        self._report.fail(reason)
        self._failed()

    def _enter(self, step: _Step, words: str, seconds: float) -> None:
        """Begin a step that may take so many seconds."""
        self._step = step
        if words:
            self._report.note(words)
        self._loop.after(seconds, lambda: self._expire(step, seconds))

    def _expire(self, step: _Step, seconds: float) -> None:
        if self._step == step:
            self._fail(f"{step.name.lower()} took longer than {seconds:g} s")

    def _send(self, message: Message, files: Sequence[int] = ()) -> bool:
        try:
            self._successor.send(message, files)
        except OSError as error:
            self._fail(f"the new one cannot be told anything: {error.strerror}")
            return False
        return True

    def _close_channels(self) -> None:
        for file in (*self._channels, *([self._rows] if self._rows >= 0 else ())):
            socket.close(file)
        self._channels, self._rows = [], -1
