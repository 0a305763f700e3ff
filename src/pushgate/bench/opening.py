"""The connections of a swarm that are still to be opened, those in their handshake, and how it went with the others."""

from array import array
from collections import Counter
from collections.abc import Callable
from time import monotonic_ns

from pushgate.bench.histogram import Histogram


class Opening:
    """Says whom to open next: each connection by its number, and at most `window` in their handshake at a time."""

    def __init__(self, window: int) -> None:
        self.opened = 0
        self.first_ns = 0  # the first request
        self.ready_ns = 0  # the last welcome
        self.failures: Counter[str] = Counter()
        self.handshakes = Histogram()
        self.request: Callable[[int], bytes] = bytes  # by number
        self._window = window
        self._waiting = array("I")  # the next stands last
        self._persistent = False
        self._refused: list[int] = []  # to open anew after a pause
        self._flying: dict[int, int] = {}  # descriptor to the time of its first byte, while in the handshake

    def start(self, count: int, request: Callable[[int], bytes]) -> None:
        """Begin with so many connections, in order; `request` returns that of each by its number from 0."""
        self.request = request
        self._waiting = array("I", range(count - 1, -1, -1))
        self.first_ns = monotonic_ns()

    def persist(self) -> None:
        """From now on open what is lost at once anew, and what is refused after a pause."""
        self._persistent = True

    def forget(self) -> None:
        """Count handshakes and the connections that are open from here on."""
        self.handshakes = Histogram()
        self.opened = 0
        self.first_ns = monotonic_ns()

    @property
    def settled(self) -> bool:
        """Whether every connection asked for has opened or failed."""
        return not (self._waiting or self._flying or self._refused)

    def take(self) -> int:
        """Return the next connection that the window allows to begin now; -1 when it allows none."""
        return self._waiting.pop() if self._waiting and len(self._flying) < self._window else -1

    def begin(self, fd: int) -> None:
        """A request goes out now."""
        self._flying[fd] = monotonic_ns()

    def welcome(self, fd: int) -> None:
        """A connection is open."""
        self.opened += 1
        self.ready_ns = monotonic_ns()
        self.handshakes.add((self.ready_ns - self._flying.pop(fd)) // 1000)

    def fail(self, number: int, why: str, fd: int = -1) -> None:
        """A connection could not be opened."""
        self.failures[why] += 1
        self._flying.pop(fd, None)
        if self._persistent:
            self._refused.append(number)

    def lose(self, number: int) -> None:
        """A connection that was open is gone."""
        if self._persistent:
            self._waiting.append(number)

    def come_again(self) -> None:
        """The pause of those that were refused is over."""
        self._waiting.extend(self._refused)
        self._refused.clear()

    def overdue(self, timeout: float) -> list[int]:
        """Return the descriptors of handshakes that have taken more than `timeout` seconds."""
        before = monotonic_ns() - int(timeout * 1e9)
        return [fd for fd, start in self._flying.items() if start < before]
