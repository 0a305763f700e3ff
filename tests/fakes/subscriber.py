"""The receiving end of a bus in tests: what arrived, in order, and waiting for it."""

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait until the condition holds, looking every few milliseconds."""
    async with asyncio.timeout(seconds):
        while not condition():  # what is waited for has no event of its own
            await asyncio.sleep(0.005)


class Subscriber:
    """Takes payloads and gaps as a worker does."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.gaps = 0

    def receive(self, payload: bytes) -> None:
        self.received.append(payload)

    def on_gap(self) -> None:
        self.gaps += 1

    async def has(self, count: int, seconds: float = 10.0) -> None:
        """Wait for so many payloads."""
        await until(lambda: len(self.received) >= count, seconds)
