"""What a generator process tells the one that started it: short progress often, all its totals when asked."""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from pushgate.bench.histogram import Histogram

_SUMS = (
    "opened",
    "messages",
    "received",
    "accepted",
    "expected",
    "missing",
    "surplus",
    "again",
    "acknowledgements",
    "pings",
    "left",
    "stalls",
    "memory",
    "cpu",
)


class Progress(NamedTuple):
    """How far a process is. `done`: its present phase is over. Times are ns of the monotonic clock, `cpu` seconds."""

    command: int = 0  # how many commands it has obeyed
    done: bool = False
    opened: int = 0
    failed: int = 0
    lost: int = 0
    messages: int = 0
    answers: int = 0
    last_message_ns: int = 0
    cpu: float = 0.0


@dataclass(slots=True)
class Totals:
    """Everything that one process, or all of them, counted."""

    opened: int = 0
    messages: int = 0
    received: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    dismissed: Counter[str] = field(default_factory=Counter)
    handshakes: Histogram = field(default_factory=Histogram)
    latencies: Histogram = field(default_factory=Histogram)
    connect_first_ns: int = 0
    connect_last_ns: int = 0
    accepted: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    calls: Histogram = field(default_factory=Histogram)
    call_first_ns: int = 0
    call_last_ns: int = 0
    expected: int = 0
    missing: int = 0
    surplus: int = 0
    again: int = 0
    acknowledgements: int = 0
    pings: int = 0
    left: int = 0
    stalls: int = 0
    memory: int = 0  # bytes that it took more than when it began
    cpu: float = 0.0

    def merge(self, other: "Totals") -> None:
        """Add another process's totals."""
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("failures", "lost", "dismissed", "errors"):
            getattr(self, name).update(getattr(other, name))
        for name in ("handshakes", "latencies", "calls"):
            getattr(self, name).merge(getattr(other, name))
        for name in ("connect_first_ns", "call_first_ns"):
            # 0 means never.
            setattr(self, name, min(filter(None, (getattr(self, name), getattr(other, name))), default=0))
        for name in ("connect_last_ns", "call_last_ns"):
            setattr(self, name, max(getattr(self, name), getattr(other, name)))
