"""Heads of pushes that were parsed before: a caller sends the same few again and again, and a look costs less."""

from typing import NamedTuple

from pushgate.api.context import TenantKeys
from pushgate.api.push import Form

BOUND = 256
"""Heads that are kept; whoever puts something new into each of theirs gains nothing, and costs no more than this."""
LONGEST = 2048
"""Bytes of the longest head that is kept."""


class Head(NamedTuple):
    """What a head said: whose push it is, what it is written in, and the bytes of its body."""

    tenant: str
    form: Form
    size: int


class Heads:
    """The heads that one worker knows, of requests that came whole and were answered without anything special."""

    def __init__(self, tenants: TenantKeys) -> None:
        self._tenants = tenants
        self._generation = tenants.generation
        self._known: dict[bytes, Head] = {}

    def find(self, head: bytes) -> Head | None:
        """Return what a head says, if it is known, byte for byte, and its key is still good."""
        if self._generation != self._tenants.generation:
            self._known.clear()
            self._generation = self._tenants.generation
        return self._known.get(head)

    def add(self, head: bytes, said: Head) -> None:
        """Remember what a head said."""
        if len(head) > LONGEST:
            return
        if len(self._known) >= BOUND:
            self._known.clear()
        self._known[head] = said
