"""Who is let in by numbers: connections and handshakes, of the node and of each address."""

import random
from time import monotonic

from pushgate.errors import UpgradeRefused
from pushgate.metrics.catalogue import CONNECTIONS, HANDSHAKES, LOBBY
from pushgate.metrics.rows import Row, Rows
from pushgate.sessions.terms import Terms
from pushgate.sockets.addresses import WorkerCounts

RETRY_AFTER = (1, 5)
"""Seconds between which those who were refused are told to come back, so that they do not come all at once."""


class Admission:
    """Counts connections in and out for one worker, and refuses those that are too many on the node.

    All are counted, by an address of 16 bytes; trusted proxies are never too many. Each connection is counted in once
    and out once: here until it is a session, and by whoever holds the session from then on.
    """

    def __init__(self, terms: Terms, addresses: WorkerCounts, rows: Rows, row: Row) -> None:
        self._terms = terms
        self._addresses = addresses
        self._rows = rows
        self._row = row

    def enter(self, address: bytes) -> None:
        """Count in a connection just accepted. Raises UpgradeRefused, with nothing counted, when it is too many."""
        # What an address has too much of takes nothing of what the node has for all.
        self._enter(address)
        limits, rows = self._terms.limits, self._rows
        if limits.connections and rows.total(LOBBY) + rows.total(CONNECTIONS) >= limits.connections:
            self.leave(address)
            raise _refuse(503, "this node has as many connections as it may", "connections")
        most = limits.handshakes_per_second
        if most and not rows.take(self._row, HANDSHAKES, 1, most, int(monotonic())):
            self.leave(address)
            raise _refuse(503, "this node has begun as many handshakes in this second as it may", "handshakes")

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
        if most and addresses.knock(address, int(monotonic())) > most:
            raise _refuse(429, "too many handshakes from your address in this second", "address_handshakes")
        connections = addresses.enter(address)
        if 0 < limits.connections_per_address < connections:
            addresses.leave(address)
            raise _refuse(429, "too many connections from your address", "address_connections")


def _refuse(status: int, reason: str, cause: str) -> UpgradeRefused:
    after = str(random.randint(*RETRY_AFTER))  # noqa: S311
    return UpgradeRefused(status, reason, (("Retry-After", after),), cause=cause)
