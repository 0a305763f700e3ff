"""What is remembered of a device on its connection: a few integers, in arrays by track number. No I/O.

    acknowledged <= sent        everything for the device up to `sent` was written, in order, or was not meant for it
    highest                     the highest offset written on this connection; a resend moves `sent` back, not this

An acknowledgement is cumulative and legal up to `highest`. One that reaches `highest` while nothing is to be sent again
moves `acknowledged` to `sent`: past what was skipped behind the last message written.

How many messages are on the way cannot be known from offsets, which have holes. So they are counted in two parts, up
to a mark and beyond it: what is acknowledged up to the mark clears the first part. The sum is never too low; commonly
half a window is free again when half of it is acknowledged, and always all of it when all is.
"""

from array import array
from collections.abc import Sequence

WINDOW = 256
"""Messages that may be on the way, not acknowledged."""
HALF = WINDOW // 2
TRIES = 5
"""Times that messages are sent again before the connection is given up."""
NONE = 0
"""The track number of a connection without an inbox."""


class Tracks:
    """The tracks of one worker. Numbers are given out from 1 and reused; ticks are the worker's own."""

    __slots__ = ("_free", "acknowledged", "after", "before", "due", "highest", "mark", "sent", "tries")

    def __init__(self) -> None:
        self.sent = array("Q", [0])
        self.acknowledged = array("Q", [0])
        self.highest = array("Q", [0])
        self.mark = array("Q", [0])
        self.before = array("H", [0])
        self.after = array("H", [0])
        self.due = array("I", [0])
        self.tries = array("B", [0])
        self._free = array("I")

    def begin(self, cursor: int) -> int:
        """Return a new track of a device that has everything up to `cursor`."""
        if not self._free:
            self._grow()
        number = self._free.pop()
        for column in (self.sent, self.acknowledged, self.highest, self.mark):
            column[number] = cursor
        for small in (self.before, self.after, self.due, self.tries):
            small[number] = 0
        return number

    def end(self, number: int) -> None:
        """Give a track's number free."""
        self._free.append(number)

    def save(self, number: int, now: int) -> tuple[int, ...]:
        """Return a track in plain numbers, for `restore` in another process; its tick is `now`."""
        due = max(1, self.due[number] - now) if self.due[number] else 0
        columns = self.sent, self.acknowledged, self.highest, self.mark, self.before, self.after, self.tries
        return (*(column[number] for column in columns), due)

    def restore(self, saved: Sequence[int], now: int) -> int:
        """Return a new track that goes on where another one was; the tick of this process is `now`."""
        number = self.begin(0)
        columns = self.sent, self.acknowledged, self.highest, self.mark, self.before, self.after, self.tries
        *values, due = saved
        for column, value in zip(columns, values, strict=True):
            column[number] = value
        self.due[number] = now + due if due else 0
        return number

    def has_room(self, number: int) -> bool:
        """Whether one more message may be on the way."""
        return self.before[number] + self.after[number] < WINDOW

    def note_written(self, number: int, offset: int, due: int) -> None:
        """The message with this offset, above `sent`, was written; it is overdue at the tick `due`."""
        self.sent[number] = offset
        if offset > self.highest[number]:
            self.highest[number] = offset
        self.after[number] += 1
        if self.after[number] == HALF and not self.before[number]:
            self._move_mark(number)
        if not self.due[number]:
            self.due[number] = due

    def note_skipped(self, number: int, offset: int) -> bool:
        """The message with this offset, above `sent`, is not for the device; returns whether its cursor moved past."""
        idle = self.acknowledged[number] == self.sent[number]
        self.sent[number] = offset
        if idle:
            self.acknowledged[number] = offset
        return idle

    def acknowledge(self, number: int, offset: int, due: int) -> bool:
        """Take an acknowledgement, not above `highest`; returns whether the cursor moved.

        What is still on the way is overdue at the tick `due`.
        """
        sent = self.sent[number]
        if offset >= self.highest[number] and sent >= offset:
            offset = sent
        if offset <= self.acknowledged[number]:
            return False
        self.acknowledged[number] = offset
        self.tries[number] = 0
        if offset >= sent:
            self.sent[number] = offset  # further than a resend had come
            self.mark[number] = offset
            self.before[number] = self.after[number] = 0
            self.due[number] = 0
        else:
            if offset >= self.mark[number]:
                self._move_mark(number)
            self.due[number] = due
        return True

    def rewind(self, number: int) -> bool:
        """Go back to what is acknowledged, to send from there again; returns False when that was done often enough."""
        if self.tries[number] >= TRIES:
            return False
        self.tries[number] += 1
        self.sent[number] = self.mark[number] = self.acknowledged[number]
        self.before[number] = self.after[number] = 0
        self.due[number] = 0
        return True

    def _move_mark(self, number: int) -> None:
        self.mark[number] = self.sent[number]
        self.before[number] = self.after[number]
        self.after[number] = 0

    def _grow(self) -> None:
        size = len(self.sent)
        more = max(64, size // 8)
        for column in (
            self.sent,
            self.acknowledged,
            self.highest,
            self.mark,
            self.before,
            self.after,
            self.due,
            self.tries,
        ):
            column.frombytes(bytes(more * column.itemsize))
        self._free.extend(range(size + more - 1, size - 1, -1))
