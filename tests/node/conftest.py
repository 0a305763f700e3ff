import pytest

from pushgate.node import back_off, loop
from pushgate.node.loop import Loop


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def advance(self, seconds: float, loop: Loop) -> None:
        """Let time pass, and then the loop do what there is to do, without waiting for more."""
        self.now += seconds
        loop.after(0.0, lambda: None)
        loop.turn()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Stop the supervisor's time."""
    made = Clock()
    for module in (loop, back_off):
        monkeypatch.setattr(module, "time", made)
    return made
