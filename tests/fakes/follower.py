"""Somebody who follows an inbox as a worker does."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager

from pushgate.inbox import Entry, Inbox, Limits
from tests.fakes.subscriber import until

TENANT = "acme"
FREE = Limits(0, 0)


class Follower:
    """Takes entries and changes of epochs."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.epochs: list[str] = []

    @property
    def payloads(self) -> list[bytes]:
        return [entry.payload for entry in self.entries]

    async def has(self, count: int, seconds: float = 10.0) -> None:
        """Wait for so many entries."""
        await until(lambda: len(self.entries) >= count, seconds)


@asynccontextmanager
async def following(
    inbox: Inbox, tenants: Mapping[str, Limits] | None = None, shards: Iterable[int] = range(256)
) -> AsyncIterator[Follower]:
    """Start an inbox, open tenants (by default TENANT without limits), and stop it after all."""
    follower = Follower()
    await inbox.start(shards, follower.entries.append, follower.epochs.append)
    try:
        await inbox.open({TENANT: FREE} if tenants is None else tenants)
        yield follower
    finally:
        await inbox.stop()
