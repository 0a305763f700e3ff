from collections.abc import Callable

import pytest

from pushgate.sessions import admission


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Turn the clock of the seconds that handshakes are counted in; it stands still from the first turn on."""

    def turn(seconds: float) -> None:
        monkeypatch.setattr(admission, "monotonic", lambda: seconds)

    return turn
