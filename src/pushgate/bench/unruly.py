"""Connections that do as real ones do: some come and go all the time, some stop reading for a while."""

from collections.abc import Iterator

from pushgate.bench.options import Share
from pushgate.bench.swarm import Swarm

STALL = 10.0
"""Seconds for which a connection that stalls does not read."""

_FAREWELL = b"\x88\x82\0\0\0\0" + (1000).to_bytes(2, "big")  # masked with nothing


class Unruly:
    """Has those of a swarm that a share names as churning leave and come back, and the stalling ones stall."""

    def __init__(self, share: Share, swarm: Swarm) -> None:
        self.left = 0
        self.stalls = 0
        self._swarm = swarm
        self._churn = share.unrest.churn
        self._churning, self._stalling = share.churning, share.stalling
        swarm.well_behaved = self._stalling.start
        self._began = 0

    def step(self, now: int) -> None:
        """Do what is due at this time, in ns of the monotonic clock; called a few times a second."""
        swarm = self._swarm
        self._began = self._began or now
        due = int((now - self._began) / 1e9 * self._churn) - self.left
        if due > 0:
            there = list(self._live(self._churning))
            for _ in range(min(due, len(there))):
                # Every other one goes without a word.
                swarm.leave(there[self.left % len(there)], _FAREWELL if self.left % 2 else b"")
                self.left += 1
        for fd in list(self._live(self._stalling)):
            since = swarm.deaf.get(fd)
            if since is None:
                swarm.deafen(fd, now)
                self.stalls += 1
            elif now - since >= STALL * 1e9:
                swarm.hear(fd)

    def _live(self, numbers: range) -> Iterator[int]:
        return (fd for fd in self._swarm.live() if self._swarm.number[fd] in numbers)
