"""A registry in one process, which can be away, slow, or lose what it has."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence

from pushgate.errors import RegistryUnavailable


class FakeRegistry:
    """One worker's end, whose node has the home 1. `stalls`: calls wait until `go_on`."""

    def __init__(self) -> None:
        self.entries: dict[bytes, set[int]] = {}
        self.writes: list[tuple[list[bytes], list[bytes]]] = []
        self.reads: list[set[bytes]] = []
        self.connected = True
        self.has_lease = True
        self.renewals = 0
        self._on_new: Callable[[], None] = lambda: None
        self._moving = asyncio.Event()
        self._moving.set()

    def start(self, on_new: Callable[[], None]) -> None:
        self._on_new = on_new
        on_new()

    def stall(self) -> None:
        self._moving.clear()

    def go_on(self) -> None:
        self._moving.set()

    def go_away(self) -> None:
        """Lose the connection, and everything."""
        self.connected = False
        self.entries.clear()
        self._moving.set()

    def come_back(self) -> None:
        self.connected = True
        self._on_new()

    async def write(self, held: Sequence[bytes], left: Sequence[bytes]) -> None:
        await self._answer()
        if held or left:
            self.writes.append((list(held), list(left)))
        for key in left:
            self.entries.get(key, set()).discard(1)
        for key in held:
            self.entries.setdefault(key, set()).add(1)

    async def read(self, keys: Collection[bytes]) -> Mapping[bytes, Sequence[int]]:
        await self._answer()
        self.reads.append(set(keys))
        return {key: sorted(self.entries[key]) for key in keys if self.entries.get(key)}

    async def renew(self) -> bool:
        await self._answer()
        self.renewals += 1
        had, self.has_lease = self.has_lease, True
        return had

    async def stop(self) -> None: ...

    def held(self) -> set[bytes]:
        return {key for key, homes in self.entries.items() if 1 in homes}

    async def _answer(self) -> None:
        if not self.connected:
            raise RegistryUnavailable("the registry is away")
        await self._moving.wait()
        if not self.connected:
            raise RegistryUnavailable("the registry went away")
