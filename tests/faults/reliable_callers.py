"""Business systems on raw sockets: each pushes to its targets in turn, and repeats with the same id what failed."""

import asyncio
import json
import random
from collections.abc import Callable, Sequence
from typing import Any

from tests.faults.reliable_ledger import EVERYONE, Ledger, Push
from tests.rig.dial import Address, dial

PATIENCE = 20.0
"""Seconds that an answer may take: twice what the gateway tries."""
AGAIN = 0.2
"""Seconds until a push is repeated."""


class Caller:
    """A caller with one connection, kept alive. `run` it until `stop`; what it then has under way it still settles."""

    def __init__(
        self,
        address: Callable[[], Address],
        key: str,
        ledger: Ledger,
        targets: Sequence[str],
        devices: Sequence[str],
        pause: float,
        dice: random.Random,
        *,
        ttl: int = 3600,
        size: int = 100,
        attempts: int = 200,
    ) -> None:
        self._address = address
        self._key = key
        self._ledger = ledger
        self._targets = targets
        self._devices = devices
        self._pause = pause
        self._dice = dice
        self._ttl = ttl
        self._data = "x" * size
        self._attempts = attempts
        self._stopped = asyncio.Event()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    def stop(self) -> None:
        """Push nothing new."""
        self._stopped.set()

    async def run(self) -> None:
        """Push to each target in turn, with pauses."""
        await asyncio.sleep(self._dice.uniform(0, self._pause))
        while not self._stopped.is_set():
            for target in self._targets:
                await self.push(self._ledger.draw(target, self._devices if target != EVERYONE else ()))
                try:
                    await asyncio.wait_for(self._stopped.wait(), self._dice.uniform(0.5, 1.5) * self._pause)
                except TimeoutError:
                    continue
                break
        self.close()

    async def push(self, push: Push) -> str:
        """Push until it is accepted, refused, or was tried often enough; returns the last answer: a status, or 'none'
        where none came."""
        ledger = self._ledger
        target: dict[str, Any] = {"everyone": True} if push.target == EVERYONE else {"user": push.target}
        if push.device is not None:
            target["device"] = push.device
        body = {**target, "id": push.id, "qos": "reliable", "ttl": self._ttl, "data": self._data}
        ledger.open.add(push)
        answer, doubtful = "none", False
        for _ in range(self._attempts):
            answer, told = await self._ask(json.dumps(body).encode())
            ledger.answers[answer] += 1
            if answer[0] == "2":
                ledger.accepted[push] = told["offset"]
                ledger.open.discard(push)
                break
            if answer not in ("none", "503"):
                ledger.refused[f"{answer} {told.get('code')}"] += 1
                if not doubtful:
                    ledger.open.discard(push)
                break
            doubtful = True
            await asyncio.sleep(AGAIN)
        return answer

    async def _ask(self, body: bytes) -> tuple[str, dict[str, Any]]:
        patience = asyncio.timeout(PATIENCE)
        try:
            async with patience:
                if self._streams is None:
                    self._streams = await asyncio.open_connection(sock=await dial(self._address()))
                reader, writer = self._streams
                writer.write(
                    f"POST /v1/push HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {self._key}\r\n"
                    f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                    + body
                )
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                size = int(head.partition("content-length: ")[2].partition("\r")[0])
                told = json.loads(await reader.readexactly(size))
                if "connection: close" in head:
                    self.close()
        except (OSError, EOFError):  # who was asked has died, or is cut off: not known, to be repeated
            if patience.expired():
                self._ledger.complain(f"a push was not answered within {PATIENCE:.0f} s")
        else:
            return head.split()[1], told
        self.close()
        return "none", {}

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None
