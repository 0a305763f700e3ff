"""What the stories do with the gateway: let visitors in, push until it is stored, and work behind an answer."""

import asyncio
import logging
import random
from collections.abc import Coroutine
from typing import Any

import httpx

from pushgate.client.errors import ApiProblem, Unreachable
from pushgate.client.pusher import Pusher

_PATIENCE = 90  # seconds: within the two minutes in which an id is known


class Business:
    """A business system. `clients` is where pages connect; `pace` stretches what a visitor is to see happen."""

    def __init__(self, api: str, key: str, clients: str, pace: float = 1.0) -> None:
        self.clients = clients
        self.pace = pace
        self._pusher = Pusher(api, key)
        self._http = httpx.AsyncClient(base_url=api, headers={"Authorization": f"Bearer {key}"}, timeout=10)
        self._tasks: set[asyncio.Task[None]] = set()

    async def token(self, user: str) -> str:
        """Return a token for a page of a user. Raises what Pusher does."""
        return await self._pusher.token(user, ttl=3600)

    async def push(self, user: str, event: str, data: dict[str, Any], *, id: str, ttl: int = 3600) -> None:
        """Push reliably, again with the same `id` until it is stored. Raises TimeoutError after 90 s, or ApiProblem."""
        async with asyncio.timeout(_PATIENCE):
            wait = 0.5
            while True:
                pause = random.uniform(0, wait)  # noqa: S311
                try:
                    await self._pusher.push(data, user=user, event=event, qos="reliable", ttl=ttl, id=id)
                    return
                except Unreachable:
                    pass  # it may be stored or not
                except ApiProblem as problem:
                    if problem.status != 429 and problem.status < 500:
                        raise
                    pause += problem.retry_after
                await asyncio.sleep(pause)
                wait = min(wait * 2, 8)

    async def push_live(self, pushes: list[dict[str, Any]]) -> None:
        """Push live, once: what is not taken now is worth nothing later."""
        try:
            answer = await self._http.post("/v1/push/batch", json={"pushes": pushes})
        except httpx.TransportError:
            return
        if answer.status_code not in (200, 429, 503):
            answer.raise_for_status()

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something in the background; what goes wrong is logged."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._end)

    async def close(self) -> None:
        """Stop all work."""
        for task in self._tasks:
            task.cancel()
        await self._pusher.close()
        await self._http.aclose()

    def _end(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            logging.getLogger("stories").error("work failed", exc_info=error)
