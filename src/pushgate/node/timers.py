"""Time in the supervisor: things to do at a moment, and how long to wait before something that died starts again."""

import time
from collections.abc import Callable

PAUSES = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds before the next start, after the n-th death in a row."""
STEADY = 30.0
"""Seconds that a process has to live for its earlier deaths to be forgotten."""


class Timers:
    """Actions that wait for their time (monotonic seconds)."""

    def __init__(self) -> None:
        self._entries: list[tuple[float, Callable[[], None]]] = []

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Have `action` called by `run_due` once so many seconds are over."""
        self._entries.append((time.monotonic() + seconds, action))

    def wait(self) -> float | None:
        """Return the seconds until the next action is due; None when there is none."""
        if not self._entries:
            return None
        return max(0.0, min(moment for moment, _ in self._entries) - time.monotonic())

    def run_due(self) -> None:
        """Call what is due, the earliest first."""
        now = time.monotonic()
        due = sorted((entry for entry in self._entries if entry[0] <= now), key=lambda entry: entry[0])
        self._entries = [entry for entry in self._entries if entry[0] > now]
        for _, action in due:
            action()


class BackOff:
    """How long to wait before a process is started again: at once the first time, longer when it keeps dying."""

    def __init__(self) -> None:
        self._deaths = 0
        self._born = 0.0

    def note_start(self) -> None:
        """The process was started."""
        self._born = time.monotonic()

    def pause(self) -> float:
        """It died, or would not start; returns the seconds to wait."""
        lived = time.monotonic() - self._born
        self._deaths = 1 if lived > STEADY else self._deaths + 1
        return PAUSES[min(self._deaths, len(PAUSES)) - 1]
