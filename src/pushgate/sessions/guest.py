"""What the lobby remembers of a connection while its handshake is under way."""

from pushgate.wire.reader import FrameReader
from pushgate.wire.upgrade import Headers


class Guest:
    """One connection in the lobby, of this address, until this tick.

    `reader` is there once it was upgraded and owes a `connect` message. `size` is the bytes of its request with the
    body, 0 while they are not known; `headers` go with any answer.
    """

    __slots__ = ("address", "agent", "buffer", "deadline", "format", "frames", "headers", "reader", "searched", "size")

    def __init__(self, address: bytes, deadline: int) -> None:
        self.address = address
        self.deadline = deadline
        self.agent = ""
        self.buffer = b""
        self.searched = 0
        self.format = 0
        self.frames = 0
        self.size = 0
        self.headers: Headers = ()
        self.reader: FrameReader | None = None
