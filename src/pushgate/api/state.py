"""What the connections of one server share."""

import asyncio
import time
from email.utils import formatdate

from uvicorn.server import ServerState

from pushgate.api.push import PushRoute

HEADERS = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))
"""In every answer: nothing here is meant for caches, or for a browser to guess at."""


class ApiState(ServerState):
    """uvicorn's state, the clock of the sweep, and what follows from either.

    `now` counts seconds and is as exact as the sweep is frequent: stamps of connections cost no system call.
    """

    def __init__(self, route: PushRoute, keep_alive: float) -> None:
        super().__init__()
        self.route = route
        self.keep_alive = keep_alive
        self.stopping = False
        self.empty = asyncio.Event()
        self.tick()

    def tick(self) -> None:
        """Take the time: for stamps, and for the `date` of answers."""
        self.now = time.monotonic()
        self.default_headers = [(b"date", formatdate(usegmt=True).encode()), *HEADERS]
        self.head = b"".join(b"%b: %b\r\n" % header for header in self.default_headers)
