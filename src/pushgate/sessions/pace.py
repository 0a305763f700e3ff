"""The pace of clients: how much each may send now. All accounting of inbound messages and bytes is here.

Each session has a leaky bucket of messages and one of bytes, an integer each in its columns. They drain by the ticks
since the client was last heard: no timer, and a client that sends seldom costs nothing in between.
"""

from pushgate.sessions.session import Columns
from pushgate.sessions.terms import UNIT, Terms


class Pace:
    """The pace of the sessions of one worker, by descriptor."""

    def __init__(self, columns: Columns, terms: Terms) -> None:
        self._heard = columns.heard
        self._messages = columns.messages
        self._bytes = columns.bytes
        self._terms = terms

    def read(self, fd: int, size: int, tick: int) -> int:
        """Count bytes that were read, and note that the client was heard; returns how many frames may be in them.

        -1 means that the bytes themselves are too many.
        """
        message_drain, message_burst, byte_drain, byte_burst = self._terms.rates
        messages, level = self._messages[fd], self._bytes[fd]
        elapsed = tick - self._heard[fd]
        if elapsed:
            self._heard[fd] = tick
            level = max(0, level - elapsed * byte_drain)
            if messages:
                self._messages[fd] = messages = max(0, messages - elapsed * message_drain)
        level += UNIT * size
        if level > byte_burst:
            return -1
        self._bytes[fd] = level
        return max(0, message_burst - messages) // UNIT

    def count(self, fd: int, frames: int) -> None:
        """Count frames that were read: messages, their fragments, and control frames. They were allowed by `read`.

        A negative number takes back what was counted.
        """
        self._messages[fd] = max(0, self._messages[fd] + UNIT * frames)
