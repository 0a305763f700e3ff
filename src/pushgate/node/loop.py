"""The supervisor's loop: files that are waited for and actions that wait for their time, without library and thread."""

import selectors
import time
from collections.abc import Callable
from typing import Protocol


class _HasFile(Protocol):
    def fileno(self) -> int: ...


class Loop:
    """A loop that turns as long as somebody calls `turn`. A process may fork within any action of it."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._due: list[tuple[float, Callable[[], None]]] = []

    def watch(self, file: int | _HasFile, action: Callable[[], None]) -> None:
        """Have `action` called whenever there is something to read, or the other side is gone, until `unwatch`."""
        self._selector.register(file, selectors.EVENT_READ, action)

    def unwatch(self, file: int | _HasFile) -> None:
        """Watch a file no more, before it is closed. Raises KeyError when it is not watched."""
        self._selector.unregister(file)

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Have `action` called once, when so many seconds are over."""
        self._due.append((time.monotonic() + seconds, action))

    def turn(self) -> None:
        """Wait until there is something to do, and do it: what came first, then what is due, the earliest first."""
        for key, _ in self._selector.select(self._patience()):
            key.data()
        now = time.monotonic()
        due = sorted((entry for entry in self._due if entry[0] <= now), key=lambda entry: entry[0])
        self._due = [entry for entry in self._due if entry[0] > now]
        for _, action in due:
            action()

    def _patience(self) -> float | None:
        """Return the seconds until the next action is due; None when there is none."""
        if not self._due:
            return None
        return max(0.0, min(moment for moment, _ in self._due) - time.monotonic())
