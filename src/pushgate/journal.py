"""The journal of a node: its recent lifecycle events, in a file in memory that all its processes write to.

A generation of processes takes it over from the one before. It is gone with the last process that has it; the log keeps
everything.
"""

import fcntl
import os
import time
from contextlib import suppress
from struct import Struct as Layout

from msgspec import DecodeError, Struct, msgpack

EVENTS = 256
"""Events that are kept; a new one takes the place of the oldest."""
MOST_TEXT = 200
"""Characters of a text that are kept."""
_SLOT = 1024
_SIZE = (1 + EVENTS) * _SLOT
_TRIES = 20
_PAUSE = 0.001

_COUNT, _LENGTH = Layout("<Q"), Layout("<H")

Fact = str | int | float | bool | None
"""What an event is told with."""


class Event(Struct, array_like=True, frozen=True):
    """Something that happened in the life of a node: a line of its log, which says when in seconds since 1970.

    New fields go to the end with a default.
    """

    time: float
    level: str
    event: str
    facts: dict[str, Fact]


_encode = msgpack.Encoder().encode
_decode = msgpack.Decoder(Event).decode


class Journal:
    """A ring of slots behind one that counts the events written so far. `file` is that of the generation before, taken
    over if it is laid out like ours; -1 begins anew.

    The lock is a process's and ends with it. One that was stopped while it had it makes nobody wait for long.
    """

    def __init__(self, file: int = -1) -> None:
        if file >= 0 and os.fstat(file).st_size != _SIZE:
            os.close(file)
            file = -1
        if file < 0:
            file = os.memfd_create("pushgate-journal", os.MFD_CLOEXEC)
            os.ftruncate(file, _SIZE)
        self.file = file

    def write(self, level: str, event: str, facts: dict[str, object]) -> None:
        """Note that something happened now; where that cannot be, the log alone has it. Never raises."""
        shown = {name: _show(fact) for name, fact in facts.items()}
        with suppress(OSError):
            if not self._lock(fcntl.LOCK_EX):
                return
            try:
                self._append(Event(round(time.time(), 3), level, event[:MOST_TEXT], shown))
            finally:
                fcntl.lockf(self.file, fcntl.LOCK_UN)

    def read(self) -> list[Event]:
        """Return the events, the oldest first."""
        locked = self._lock(fcntl.LOCK_SH)
        content = os.pread(self.file, _SIZE, 0)
        if locked:
            fcntl.lockf(self.file, fcntl.LOCK_UN)
        (written,) = _COUNT.unpack_from(content)
        events = []
        for number in range(max(0, written - EVENTS), written):
            with suppress(DecodeError):  # who wrote it was ended meanwhile
                events.append(_decode(_packet_at(content, _place_of(number))))
        return events

    def _append(self, event: Event) -> None:
        packet = _encode(event)
        if len(packet) > _SLOT - _LENGTH.size:
            packet = _encode(Event(event.time, event.level, event.event, {}))
        (written,) = _COUNT.unpack(os.pread(self.file, _COUNT.size, 0))
        os.pwrite(self.file, _LENGTH.pack(len(packet)) + packet, _place_of(written))
        os.pwrite(self.file, _COUNT.pack(written + 1), 0)

    def _lock(self, kind: int) -> bool:
        for _ in range(_TRIES):
            try:
                fcntl.lockf(self.file, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(_PAUSE)
            else:
                return True
        return False


def _place_of(number: int) -> int:
    return (1 + number % EVENTS) * _SLOT


def _packet_at(content: bytes, place: int) -> bytes:
    (length,) = _LENGTH.unpack_from(content, place)
    start = place + _LENGTH.size
    return content[start : start + length]


def _show(fact: object) -> Fact:
    if isinstance(fact, list | tuple):
        fact = ", ".join(map(str, fact))
    elif fact is None or isinstance(fact, int | float):
        return fact
    text = str(fact)
    return text if len(text) <= MOST_TEXT else f"{text[: MOST_TEXT - 1]}…"
