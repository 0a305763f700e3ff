"""How long to wait before something that died starts again."""

import time

PAUSES = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds before the next start, after the n-th death in a row."""
STEADY = 30.0
"""Seconds that a process has to live for its earlier deaths to be forgotten."""


class BackOff:
    """The pauses of one process: none the first time, longer ones when it keeps dying."""

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
