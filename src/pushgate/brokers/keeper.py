"""A connection that comes back: one link to a broker after another, for ever."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

from pushgate.log import get_logger

PAUSE = (0.05, 0.3)
"""Seconds between attempts to connect, drawn at random so that not all come back at once; with a step's: below 2."""
REPEAT = 30.0
"""Seconds after which the same reason for being away is logged again."""


class Link(Protocol):
    """One connection, which is never mended: once `lost` is set it is closed, and another one made."""

    lost: asyncio.Event
    reason: str
    """Why it is lost."""

    @property
    def server(self) -> str:
        """The server's host and port, without credentials."""

    async def close(self) -> None:
        """Let go of it, prompt even when the server is gone; one that was never opened too."""


L = TypeVar("L", bound=Link)
SetUp = Callable[[L], Awaitable[None]]
"""Readies a new link before it is used; raises ConnectionError when it is lost meanwhile."""


class Keeper(Generic[L]):
    """Keeps a link to a broker. `make` returns a new one, which `open` then connects; either may raise.

    `part`, and `purpose` where it has several, are what the connection is called in the log.
    """

    def __init__(self, make: Callable[[], L], open_link: SetUp[L], part: str, purpose: str = "") -> None:
        self._make = make
        self._open = open_link
        self._part = part
        self._log = get_logger(part, lifecycle=True).bind(**{"purpose": purpose} if purpose else {})
        self._task: asyncio.Task[None] | None = None
        self._up = asyncio.Event()
        self._stopped = False
        self._logged = ("", 0.0)
        self.link: L | None = None
        """The link that is set up, as far as is known: a silent server is noticed within 5 s; or None."""

    @property
    def connected(self) -> bool:
        """Whether there is a link that is not known to be lost."""
        return self.link is not None and not self.link.lost.is_set()

    def start(self, set_up: SetUp[L]) -> None:
        """Begin to connect, and try for ever; what keeps it from connecting is logged."""
        self._task = asyncio.create_task(self._keep(set_up))

    async def ready(self) -> L:
        """Wait for a link. Raises ConnectionError when there will be none, having been stopped."""
        while self.link is None or self.link.lost.is_set():
            await self._up.wait()
            if self._stopped:
                raise ConnectionError(f"the {self._part} is stopped")
            await asyncio.sleep(0)  # of a lost one the task that keeps it takes notice in its turn
        return self.link

    async def stop(self) -> None:
        """Let go, for good; prompt even when the server is gone. It may be called again."""
        self._stopped = True
        self._up.set()
        task, self._task = self._task, None
        if task is None:
            return
        while not task.done():  # one may be lost: wait_for swallows it in Python 3.11 when it ends just then
            task.cancel()
            await asyncio.wait([task], timeout=0.2)

    async def _keep(self, set_up: SetUp[L]) -> None:
        """Keep one link after another, until cancelled."""
        while True:
            link = self._make()
            try:
                await self._open(link)
                await set_up(link)
                self.link = link
                self._up.set()
                self._logged = ("", 0.0)
                self._log.info(f"{self._part} connected", server=link.server)
                await link.lost.wait()
                self._log_away(link.reason)
            except Exception as error:
                self._log_away(link.reason or str(error) or type(error).__name__)
            finally:
                self.link = None
                if not self._stopped:
                    self._up.clear()
                await link.close()
            await asyncio.sleep(random.uniform(*PAUSE))  # noqa: S311

    def _log_away(self, reason: str) -> None:
        """Log why there is no connection, the same reason only once in a while."""
        now = time.monotonic()
        if self._logged[0] != reason or now - self._logged[1] > REPEAT:
            self._logged = (reason, now)
            self._log.warning(f"{self._part} away", reason=reason)
