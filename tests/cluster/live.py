"""Live pushes from every node to a user on every node, a few a second; and when each last got through."""

import asyncio
import json
import time
from collections import Counter
from contextlib import suppress

from tests.rig.client import Refused, WsClient
from tests.rig.dial import dial
from tests.rig.node import RunningNode

EVERY = 0.1
"""Seconds between two pushes of a node."""
AGAIN = 0.1
"""Seconds until a client connects again."""
BOUND = 5.0
"""Seconds within which a live push is answered, whatever is away."""


class Live:
    """`start` it and `stop` it. `wrong` says in words what was not as promised.

    Each node has a watcher, a client that goes nowhere else, and a caller, which pushes to all watchers.
    """

    def __init__(self, nodes: dict[str, RunningNode]) -> None:
        self._nodes = nodes
        self._got: dict[tuple[str, str], tuple[float, float]] = {}  # by from and to: when it was made, and came
        self._tasks: list[asyncio.Task[None]] = []
        self.answers: dict[str, Counter[str]] = {name: Counter() for name in nodes}
        """What the nodes answered: status or "none", since this was emptied."""
        self.connects: Counter[str] = Counter()
        self.wrong: list[str] = []

    async def start(self) -> None:
        for name in self._nodes:
            self._tasks += [asyncio.create_task(self._watch(name)), asyncio.create_task(self._push(name))]
        await self.resumes(time.monotonic(), 20)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        for end in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(end, Exception):
                raise end

    async def resumes(self, since: float, patience: float) -> float:
        """Wait until something that was pushed since then came from every node to every node; returns how long after
        `since` (by time.monotonic) that was."""
        pairs = [(source, target) for source in self._nodes for target in self._nodes]
        while late := [pair for pair in pairs if self._got.get(pair, (0.0, 0.0))[0] < since]:
            assert time.monotonic() < since + patience, f"live pushes do not get through: {late}"
            await asyncio.sleep(0.02)
        return max(self._got[pair][1] for pair in pairs) - since

    async def _watch(self, name: str) -> None:
        node = self._nodes[name]
        path = f"/ws?token={node.token(f'live-{name}')}"
        while True:
            with suppress(OSError, EOFError, AssertionError, Refused):
                client = await WsClient.join(0, path, sock=await dial(node.clients_address))
                client.patience = 3600.0
                self.connects[name] += 1
                try:
                    while True:
                        message = await client.receive()
                        if "offset" not in message:  # those to everyone are for it too
                            source, made = message["data"]
                            self._got[source, name] = made, time.monotonic()
                finally:
                    client.writer.transport.abort()
            await asyncio.sleep(AGAIN)

    async def _push(self, name: str) -> None:
        node = self._nodes[name]
        target = [f"live-{other}" for other in self._nodes]
        while True:
            made = time.monotonic()
            answer = "none"
            with suppress(OSError, EOFError):
                reader, writer = await asyncio.open_connection(sock=await dial(node.management_address))
                try:
                    while True:
                        made = time.monotonic()
                        body = json.dumps({"users": target, "data": [name, made]})
                        writer.write(
                            f"POST /v1/push HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {node.key}\r\n"
                            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
                        )
                        answer = "none"
                        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                        await reader.readexactly(int(head.partition("content-length: ")[2].partition("\r")[0]))
                        answer = head.split()[1]
                        self.answers[name][answer] += 1
                        if time.monotonic() - made > BOUND:
                            self.wrong.append(f"{name} answered {answer} after {time.monotonic() - made:.1f} s")
                        await asyncio.sleep(EVERY)
                finally:
                    writer.transport.abort()
            self.answers[name]["none"] += 1
            await asyncio.sleep(EVERY)
