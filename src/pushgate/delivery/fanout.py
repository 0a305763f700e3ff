"""The fan-out to everyone: in slices over the table of descriptors, so that the loop stays responsive.

Fan-outs run one after the other. A session that gets a message of its own while a slice has yet to reach it is
first given what is pending (`catch_up`), and the slice then skips it: what this worker took in order arrives in order.
A fan-out with `spread` runs beside the others, at its own pace, and promises no order.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from math import ceil

from pushgate.delivery.following import Delivery, Following
from pushgate.delivery.outgoing import Channel, Outgoing, Sessions
from pushgate.delivery.reliable import Reliable
from pushgate.log import get_logger
from pushgate.metrics.catalogue import DROPPED, PUSH_TO_WRITE
from pushgate.metrics.rows import Row, observe

SLICE = 256
"""Descriptors looked at in one callback: at some 7 microseconds a write, under 2 ms."""
PACE = 0.05
"""Seconds between two slices of a fan-out with `spread`, or less where slices would grow beyond SLICE."""
PENDING_BOUND = 64 * 1024 * 1024
"""Bytes of messages that may be under way to everyone in one worker; beyond that they are dropped and counted."""

_log = get_logger("delivery")


class _Run:
    """One fan-out: everything below `position` is done, and so are the descriptors in `early`.

    `delivery` tells of it where it is followed.
    """

    __slots__ = ("delivery", "early", "outgoing", "position")

    def __init__(self, outgoing: Outgoing, delivery: Delivery | None) -> None:
        self.outgoing = outgoing
        self.delivery = delivery
        self.position = 0
        self.early: set[int] = set()


class FanOut:
    """The fan-outs of one worker."""

    def __init__(
        self,
        sessions: Sessions,
        row: Row,
        call_soon: Callable[[Callable[[], None]], object],
        call_later: Callable[..., object],
        reliable: Reliable | None = None,
        following: Following | None = None,
    ) -> None:
        self._sessions = sessions
        self._row = row
        self._call_soon = call_soon
        self._call_later = call_later
        self._reliable = reliable
        self._following = following
        self._runs: deque[_Run] = deque()
        self._spreads: set[_Run] = set()
        self._pending = 0

    @property
    def busy(self) -> bool:
        """Whether a fan-out without `spread` is under way."""
        return bool(self._runs)

    def start(self, outgoing: Outgoing) -> None:
        """Begin to write a push to everyone in its tenant, or line it up behind those under way."""
        size = len(outgoing.push.data)
        if self._pending + size > PENDING_BOUND:
            self._row[DROPPED["fan_out_full"]] += 1
            if outgoing.offset and self._reliable is not None:
                self._hold(outgoing, self._reliable)
            return
        self._pending += size
        if outgoing.push.spread > 0:
            self._start_spread(outgoing)
            return
        self._runs.append(self._begin(outgoing))
        if len(self._runs) == 1:
            self._call_soon(self._continue)

    def catch_up(self, channel: Channel) -> bool:
        """Write everything pending to one session, so that what follows comes after it.

        Returns whether the session is still open: a client that does not read may be closed over it.
        """
        return self._write_early(self._runs, channel)

    def finish(self, channel: Channel) -> None:
        """Write everything under way to one session, with what is spread over time: it goes to another process."""
        if self.catch_up(channel):
            self._write_early(self._spreads, channel)

    def _write_early(self, runs: Iterable[_Run], channel: Channel) -> bool:
        fd, by_fd = channel.fd, self._sessions.by_fd
        for run in runs:
            if fd >= run.position and fd not in run.early and by_fd[fd] is channel:
                self._write(run, (channel,))
                run.early.add(fd)
        return by_fd[fd] is channel

    def _begin(self, outgoing: Outgoing) -> _Run:
        if outgoing.push.trail is None or self._following is None:
            return _Run(outgoing, None)
        return _Run(outgoing, self._following.begin(outgoing, time.time()))

    def _hold(self, outgoing: Outgoing, reliable: Reliable) -> None:
        """Leave an entry to the inbox: the devices of its tenant read it there."""
        for channel in self._sessions.by_fd:
            if channel is not None and channel.device is not None and channel.user.tenant == outgoing.push.tenant:
                reliable.hold(channel, outgoing.offset)

    def _continue(self) -> None:
        if self._write_slice(self._runs[0], SLICE):
            self._runs.popleft()
        if self._runs:
            self._call_soon(self._continue)

    def _start_spread(self, outgoing: Outgoing) -> None:
        size, spread = len(self._sessions.by_fd), outgoing.push.spread
        slices = max(1, ceil(size / SLICE), ceil(spread / PACE))
        run = self._begin(outgoing)
        self._spreads.add(run)
        self._continue_spread(run, ceil(size / slices), spread / slices)

    def _continue_spread(self, run: _Run, share: int, pace: float) -> None:
        if self._write_slice(run, share):
            self._spreads.discard(run)
        else:
            self._call_later(pace, self._continue_spread, run, share, pace)

    def _write_slice(self, run: _Run, size: int) -> bool:
        """Write to the sessions of the next descriptors; returns whether that was the last slice."""
        by_fd = self._sessions.by_fd
        stop = run.position + size
        try:
            self._write_range(run, stop)
        except Exception:
            _log.exception("a push to everyone met a fault in the gateway")
            stop = len(by_fd)  # the others go on
        run.position = stop
        if stop < len(by_fd):
            return False
        self._pending -= len(run.outgoing.push.data)
        observe(self._row, PUSH_TO_WRITE, time.time() - run.outgoing.push.time / 1000)
        if run.delivery is not None:
            run.delivery.tell()
        return True

    def _write_range(self, run: _Run, stop: int) -> None:
        """Write to all from the run's position to below `stop`; by descriptors alone where that says whom it is for."""
        outgoing = run.outgoing
        if outgoing.narrowed or outgoing.offset or run.early or run.delivery is not None:
            self._write(run, self._sessions.by_fd[run.position : stop])
        else:
            tenant = outgoing.push.tenant
            outgoing.write(self._sessions.descriptors(tenant, run.position, stop), self._sessions)

    def _write(self, run: _Run, channels: Sequence[Channel | None]) -> None:
        outgoing, early = run.outgoing, run.early
        tenant, narrowed = outgoing.push.tenant, outgoing.narrowed
        reliable = self._reliable if outgoing.offset else None
        alike: dict[int, list[int]] = {}  # descriptors by format
        for channel in channels:
            if channel is None or channel.user.tenant != tenant:
                continue
            if reliable is not None and channel.device is not None:
                if channel.fd not in early:
                    reliable.offer(channel, outgoing)
                continue
            if narrowed and not outgoing.matches(channel, self._sessions):
                continue
            fd = channel.fd
            if early and fd in early:
                continue
            if channel.format in alike:
                alike[channel.format].append(fd)
            else:
                alike[channel.format] = [fd]
        outgoing.write(alike, self._sessions)
        if run.delivery is not None:
            run.delivery.count(channel for channel in channels if channel is not None and channel.fd not in early)
