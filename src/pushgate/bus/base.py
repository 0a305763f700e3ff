"""The bus: carries live pushes from the node that took them to the workers that hold the sessions.

What every backend promises:

- **Publish is confirmed.** `publish` returns when the bus has taken the whole group; it raises BusUnavailable
  when the bus is away or went away before it confirmed, and then any part of the group may or may not arrive.
- **A payload over the backend's limit** is Problem("too_large"), known before any part of its group goes out.
  (NATS: the server's `max_payload`, 8 MiB where it is embedded; memory has none.)
- **Order.** What one publisher publishes to one shard, one call after the answer to another, arrives in that
  order; so does what it publishes to everyone; and a shard and everyone are in that order too where one
  subscriber has both.
- **At most once.** A message arrives once or not at all. What may have been missed is reported by `on_gap`.
- **`publish` awaits plain futures only**, no `asyncio.timeout` and no `current_task`: the push route steps it
  without a task.
- **A node can be addressed**, where the backend is one that routing by directory works with: a parcel with a `node`
  reaches the subscribers that were made for this node, of these the ones that have the shard, in order with the others.
- **Delivery is a plain call** of `receive` on the event loop, one at a time, in order of arrival.
- A backend reconnects by itself, for ever, and never loses a subscription over it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

Receive = Callable[[bytes], None]
"""Takes one payload from the bus; must not raise."""


class Parcel(NamedTuple):
    """A payload for one shard, or with `shard` None for every worker of every node.

    With `node` a shard's goes to the node of this number alone; None means to every node.
    """

    shard: int | None
    payload: bytes
    node: int | None = None


class Bus(Protocol):
    """The interface of a backend; see the module for what it promises."""

    async def start(self, shards: Iterable[int], receive: Receive, on_gap: Callable[[], None]) -> None:
        """Connect and subscribe to the shards, of our own node too if it has a number, and to everyone; returns when
        subscriptions hold.

        Waits for a bus that is not there yet. `on_gap` is called each time that messages may have been
        missed.
        """

    async def publish(self, parcels: Sequence[Parcel]) -> None:
        """Publish the parcels in order; returns when the bus has them all.

        No parcels are a barrier: what the bus had for this subscriber has been received when it returns.

        Raises BusUnavailable (nothing is kept to be sent later) or Problem("too_large").
        """

    @property
    def connected(self) -> bool:
        """Whether a publish could succeed now."""

    @property
    def reconnects(self) -> int:
        """How often the bus was lost and came back since `start`."""

    async def stop(self) -> None:
        """Let go of the bus; what was published and not confirmed may be lost."""


Produced = Callable[[Mapping[str, str], bytes], None]
"""Takes what a business system produced: the properties of the message, and its body; must not raise."""


class Feed(Protocol):
    """What business systems produce to a broker, brought to every worker: from the start on, at least once."""

    async def start(self, take: Produced) -> None:
        """Begin; returns when nothing produced from now on is missed. Waits for a broker that is not there yet."""

    async def stop(self) -> None:
        """Let go of the broker."""
