"""What the stories do with the gateway: let visitors in, push until it is stored, and work behind an answer."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from pushgate.client.errors import ApiProblem, Unreachable
from pushgate.client.pusher import AsyncPusher

_PATIENCE = 90  # seconds: within the two minutes in which an id is known


class Business:
    """A business system.

    `clients` is where pages connect, `phones` where phones find the pages ("": where the asking page is). `pace`
    stretches what a visitor is to see happen.
    """

    def __init__(self, api: str, key: str, clients: str, pace: float = 1.0, phones: str = "") -> None:
        self.clients = clients
        self.phones = phones
        self.pace = pace
        self._patient = AsyncPusher(api, key, patience=_PATIENCE)
        self._hasty = AsyncPusher(api, key, patience=0)
        self._tasks: set[asyncio.Task[None]] = set()

    async def token(self, user: str) -> str:
        """Return a token for a page of a user. Raises what AsyncPusher does: the page asks again."""
        return await self._hasty.token(user, ttl=3600)

    async def push(self, user: str, event: str, data: dict[str, Any], *, id: str, ttl: int = 3600) -> None:
        """Push reliably, again with the same `id` until it is stored, for 90 s. Raises what AsyncPusher does then."""
        await self._patient.push(data, user=user, event=event, qos="reliable", ttl=ttl, id=id)

    async def push_live(self, event: str, data: list[dict[str, Any]]) -> None:
        """Push live to everyone, once: what is not taken now is worth nothing later."""
        try:
            await self._hasty.batch([{"everyone": True, "event": event, "data": each} for each in data])
        except Unreachable:
            pass
        except ApiProblem as problem:
            if problem.status != 429 and problem.status < 500:
                raise

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something in the background; what goes wrong is logged."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._end)

    async def close(self) -> None:
        """Stop all work."""
        for task in self._tasks:
            task.cancel()
        await self._patient.close()
        await self._hasty.close()

    def _end(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            logging.getLogger("stories").error("work failed", exc_info=error)
