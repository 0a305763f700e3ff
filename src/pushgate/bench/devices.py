"""The devices that a swarm's connections stand for: how far each has got, and the acknowledgements that are due."""

import os
from array import array
from time import monotonic_ns

_OFFSET = b'"offset":'


class Devices:
    """Takes the offsets of messages by the number of a connection, and acknowledges them: cumulatively, as one does.

    `deaf` devices let messages go by as if they had never come.
    """

    def __init__(self, count: int, pause: float) -> None:
        """`pause`: seconds between two acknowledgements of a device that gets messages all the time."""
        self.deaf = False
        self.ignored = 0
        self.again = 0  # messages that came once more
        self.acknowledgements = 0
        self._cursors = array("Q", bytes(8 * count))
        self._owing: dict[int, int] = {}  # descriptor to connection
        self._pause_ns = int(pause * 1e9)
        self._due = 0

    def take(self, fd: int, number: int, data: bytes | bytearray, start: int, end: int) -> bool:
        """Take a message that ends at `end`; returns whether it is one to count: heard, and new."""
        if self.deaf:
            self.ignored += 1
            return False
        offset = _offset(data, start, end)
        self._owing[fd] = number
        if offset <= self._cursors[number]:
            self.again += 1
            return False
        self._cursors[number] = offset
        return True

    def leave(self, fd: int) -> None:
        """A connection is gone, and what it owed."""
        self._owing.pop(fd, None)

    def acknowledge(self) -> None:
        """Send the acknowledgements that are due."""
        now = monotonic_ns()
        if now < self._due or not self._owing:
            return
        self._due = now + self._pause_ns
        owing, self._owing = self._owing, {}
        for fd, number in owing.items():
            text = b'{"type":"ack","offset":%d}' % self._cursors[number]
            try:
                os.write(fd, b"\x81%c\0\0\0\0%b" % (0x80 | len(text), text))  # masked with nothing
            except OSError:
                continue  # the next read says what is the matter; a later one acknowledges this too
            self.acknowledgements += 1


def _offset(data: bytes | bytearray, start: int, end: int) -> int:
    at = data.find(_OFFSET, start, end) + len(_OFFSET)
    return int(data[at : end - 1].split(b",", 1)[0]) if at >= len(_OFFSET) else 0
