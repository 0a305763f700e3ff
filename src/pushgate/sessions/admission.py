"""Who is let in by numbers: connections and handshakes, of the node and of each address."""

import random
from math import ceil
from time import monotonic

from pushgate.errors import UpgradeRefused
from pushgate.metrics.catalogue import CONNECTIONS, HANDSHAKES, LOBBY
from pushgate.metrics.rows import Row, Rows
from pushgate.sessions.terms import Terms
from pushgate.sockets.addresses import WorkerCounts

RETRY_AFTER = (1, 5)
"""Seconds between which those are told to come back who were refused for another reason than a rate."""
LONGEST = 30.0
"""Seconds that nobody is told to wait longer than; who would have to is spread over the later half of them."""


class Admission:
    """Counts connections in and out for one worker, and refuses those that are too many on the node.

    All are counted, by an address of 16 bytes; trusted proxies are never too many. Each connection is counted in once
    and out once: here until it is a session, and by whoever holds the session from then on.

    Whom a rate refuses is told to come back when it would be its turn: those of a storm come back at the rate itself,
    and are not refused again and again. `Retry-After` has whole seconds; the parts of them are left to the clients.
    """

    def __init__(self, terms: Terms, addresses: WorkerCounts, rows: Rows, row: Row) -> None:
        self._terms = terms
        self._addresses = addresses
        self._rows = rows
        self._row = row
        self._line = 0.0  # when the last one in the line of the refused is to come back, in monotonic seconds

    def enter(self, address: bytes) -> None:
        """Count in a connection just accepted. Raises UpgradeRefused, with nothing counted, when it is too many."""
        # What an address has too much of takes nothing of what the node has for all.
        self._enter(address)
        limits, rows = self._terms.limits, self._rows
        if limits.connections and rows.total(LOBBY) + rows.total(CONNECTIONS) >= limits.connections:
            self.leave(address)
            raise _refuse(503, "this node has as many connections as it may", "connections")
        most, now = limits.handshakes_per_second, monotonic()
        if most and not rows.take(self._row, HANDSHAKES, 1, most, int(now)):
            self.leave(address)
            # Workers accept in turns: to this one's line belongs its share of the rate.
            self._line = min(max(self._line, now) + (rows.count - 1) / most, now + LONGEST)
            reason = "this node has begun as many handshakes in this second as it may"
            raise _refuse(503, reason, "handshakes", self._line - now)

    def move(self, proxy: bytes, client: bytes) -> None:
        """Count a connection for the client that a proxy has named, and no longer for the proxy.

        Raises UpgradeRefused when the client's are too many; the connection then still counts for the proxy.
        """
        self._enter(client)
        self.leave(proxy)

    def leave(self, address: bytes) -> None:
        """Count out a connection that ended, or was passed on."""
        self._addresses.leave(address)

    def _enter(self, address: bytes) -> None:
        limits, addresses = self._terms.limits, self._addresses
        if self._terms.proxies.trust(address):
            addresses.enter(address)
            return
        most = limits.handshakes_per_address
        if most and (knocks := addresses.knock(address, int(monotonic()))) > most:
            reason = "too many handshakes from your address in this second"
            raise _refuse(429, reason, "address_handshakes", knocks / most)
        connections = addresses.enter(address)
        if 0 < limits.connections_per_address < connections:
            addresses.leave(address)
            raise _refuse(429, "too many connections from your address", "address_connections")


def come_back(after: float = 0.0) -> tuple[tuple[str, str], ...]:
    """Return the header that tells a client to come back in so many seconds; 0: after some time by chance."""
    if not after:
        after = random.randint(*RETRY_AFTER)  # noqa: S311
    elif after >= LONGEST:
        after = random.uniform(LONGEST / 2, LONGEST)  # noqa: S311
    return (("Retry-After", str(ceil(after))),)


def _refuse(status: int, reason: str, cause: str, after: float = 0.0) -> UpgradeRefused:
    return UpgradeRefused(status, reason, come_back(after), cause=cause)
