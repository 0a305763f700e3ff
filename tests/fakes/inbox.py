"""An inbox's cursors in memory, that can be away."""

from collections.abc import Mapping, Sequence

from pushgate.errors import InboxUnavailable
from pushgate.inbox.base import Cursor, Device


class FakeCursors:
    """Keeps what is stored; while `away` every call fails. `calls` says how large each was."""

    def __init__(self) -> None:
        self.cursors: dict[Device, Cursor] = {}
        self.away = False
        self.calls: list[tuple[str, int]] = []
        self.newest_offset = 1000
        self.current = "now"
        self.clock = 0

    async def load_cursors(self, devices: Sequence[Device]) -> list[Cursor | None]:
        self._ask("load", len(devices))
        return [self.cursors.get(device) for device in devices]

    async def store_cursors(self, cursors: Mapping[Device, tuple[int, str]]) -> None:
        self._ask("store", len(cursors))
        for device, (offset, epoch) in cursors.items():
            self.cursors[device] = Cursor(offset, epoch, self.clock)

    load = load_cursors
    store = store_cursors

    def epoch(self, tenant: str) -> str:
        return self.current

    async def newest(self, tenant: str) -> int:
        self._ask("newest", 1)
        return self.newest_offset

    def _ask(self, what: str, size: int) -> None:
        self.calls.append((what, size))
        if self.away:
            raise InboxUnavailable("away")
