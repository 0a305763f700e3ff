import pytest

from pushgate.node import timers


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Stop the time of Timers."""
    made = Clock()
    monkeypatch.setattr(timers, "time", made)
    return made
