"""Notes of the live pushes that a worker has taken, for those that its sessions are handed over to.

The old worker and the new ones hear the same bus, each at its own moment. A push that the old one took before it gave a
shard away was written to the sessions of that shard; one that it took later was not. So with each shard goes how many
notes there were, and the new owner leaves out what is among them.
"""

from collections.abc import Sequence
from hashlib import blake2b

DIGEST = 8
"""Bytes of a digest: of a million pushes no two are taken for each other, but with a chance of 1 in 10^7."""


def digest_of(payload: bytes) -> bytes:
    """Return what stands for a push in notes."""
    return blake2b(payload, digest_size=DIGEST).digest()


class Notes:
    """What one worker took, in order."""

    def __init__(self) -> None:
        self._digests: list[bytes] = []

    def __len__(self) -> int:
        """Return how many notes there are."""
        return len(self._digests)

    def add(self, payload: bytes) -> None:
        """Note a push. (Entries of the inbox need no notes: how far the logs were followed says enough.)"""
        self._digests.append(digest_of(payload))

    def between(self, start: int, stop: int) -> bytes:
        """Return notes as they travel."""
        return b"".join(self._digests[start:stop])


def split(travelled: bytes) -> Sequence[bytes]:
    """Return the digests in what `between` made."""
    return [travelled[at : at + DIGEST] for at in range(0, len(travelled), DIGEST)]
