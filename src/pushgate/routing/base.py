"""The registry: which nodes hold which user. A worker writes its users' entries; whoever pushes reads those of a user.

An entry is a user's key with a node's `home`, the number under which the bus carries a push to that node alone. What
every backend promises:

- **What was written is read** by everybody from then on; with copies on several servers once these have it, which one
  that is connected has within milliseconds.
- **A loss shows.** Each worker has a lease beside its entries. Who finds it gone writes everything anew; an answer that
  does not have the reader's own is none.
- **Entries end by themselves** KEPT seconds after they were last written, and leases after LEASE: a node that died
  leaves nothing for good. Who reads leaves out what belongs to nodes that are not there any more.
- **Nothing is kept for later.** When the server is away every call says so at once.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from hashlib import blake2b
from typing import Protocol

KEPT = 3600
"""Seconds that an entry is kept which is not written again."""
LEASE = 10
"""Seconds that a worker's lease is kept which is not renewed."""


def key_of(tenant: str, uid: str) -> bytes:
    """Return what stands for a user: a digest of 8 bytes, the same on every node.

    Two users with one key would only share their entries: each one's pushes would go to the other's nodes too, until
    one of them left for good on a node where both were. Among 10 million users the chance of such a pair is 3 in 10^6.
    """
    return blake2b(f"{tenant}\0{uid}".encode(), digest_size=8).digest()


class Registry(Protocol):
    """The interface of a backend; see the module for what it promises.

    A backend is made for the `worker` of this index on the node that has this `home`; `prefix` begins every name,
    `replicas` servers keep a copy where the backend makes them.
    """

    def start(self, on_new: Callable[[], None]) -> None:
        """Begin to connect, and try for ever.

        `on_new` is called for each new connection: what was written before may be lost.
        """

    @property
    def connected(self) -> bool:
        """Whether a call could succeed now."""

    async def write(self, held: Sequence[bytes], left: Sequence[bytes]) -> None:
        """Note that the node holds users, by their keys, and that it does not hold others any more.

        Returns once everybody reads it so. Raises RegistryUnavailable: then any part of it may be so or not.
        """

    async def read(self, keys: Collection[bytes]) -> Mapping[bytes, Sequence[int]]:
        """Return the homes of the nodes that hold users, by their keys; users whom nobody holds are left out.

        Raises RegistryUnavailable.
        """

    async def renew(self) -> bool:
        """Renew the worker's lease; returns whether it was still there. If not, all entries have to be written anew.

        Raises RegistryUnavailable.
        """

    async def stop(self) -> None:
        """Let go of it; prompt even when the server is gone. What was written ends by itself."""
