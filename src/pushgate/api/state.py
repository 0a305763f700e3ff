"""What the connections of one server share."""

import asyncio
import time
from email.utils import formatdate

from uvicorn.server import ServerState

from pushgate.api.calls import Calls
from pushgate.api.heads import Heads
from pushgate.api.problems import SECURITY_HEADERS
from pushgate.api.push import PushRoute

_SECURITY = "".join(f"{name}: {value}\r\n" for name, value in SECURITY_HEADERS.items())


class ApiState(ServerState):
    """uvicorn's state, the clock of the sweep, and the start of answers.

    `heads` are those of the pushes that any connection had. `calls` is None where none is followed. `now` counts
    seconds and is as exact as the sweep is frequent: stamps of connections cost no system call.
    """

    def __init__(self, route: PushRoute, heads: Heads, keep_alive: float, calls: Calls | None) -> None:
        super().__init__()
        self.route = route
        self.heads = heads
        self.keep_alive = keep_alive
        self.calls = calls
        self.stopping = False
        self.empty = asyncio.Event()
        self.tick()

    def tick(self) -> None:
        """Take the time: for stamps, and for the `date` of answers."""
        self.now = time.monotonic()
        date = formatdate(usegmt=True)
        self.default_headers = [(b"date", date.encode())]
        self.head = f"date: {date}\r\n{_SECURITY}".encode()
