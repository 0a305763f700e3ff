"""How far clients who lose this node all at once are to be spread when they come back."""

from math import ceil

from pushgate.metrics.catalogue import CONNECTIONS
from pushgate.metrics.rows import Rows
from pushgate.sessions.terms import Terms

LEAST = 0.5
MOST = 30.0
"""Seconds; clients never wait longer between two tries."""
ROOM = 1.1
"""Others want in, too, and what comes by chance comes unevenly: a tenth of the rate is left free."""
FORGETS = 0.99
"""What is left of a number of connections after a tick, where fewer are there now: most are to come back."""
UNLIMITED = 2000
"""Handshakes a second that a node is taken to be good for where it has no limit."""


class Spread:
    """The `seconds` over which the clients of this node fit in by the rate at which it begins handshakes.

    Workers who lose or send away their clients at the same time say the same, since it falls slowly.
    """

    def __init__(self, terms: Terms, rows: Rows) -> None:
        self.seconds = LEAST
        self._terms = terms
        self._rows = rows
        self._connections = 0.0

    def tick(self) -> None:
        """Count anew."""
        self._connections = max(self._rows.total(CONNECTIONS), self._connections * FORGETS)
        rate = self._terms.limits.handshakes_per_second or UNLIMITED
        needed = ceil(self._connections * ROOM / rate * 10) / 10
        self.seconds = min(max(needed, LEAST), MOST)
