"""The publishing end of `bench bus`: messages as the API publishes them, one a call, many calls at once."""

import asyncio
import time

from pushgate.bench.bus_listener import HEAD
from pushgate.bench.histogram import Histogram
from pushgate.bus import Bus, Parcel
from pushgate.errors import BusUnavailable
from pushgate.messages.shard import SHARDS


class Publisher:
    """Publishes the messages of one phase, each `size` bytes, to all shards in turn.

    `accepted` and `refused` have their numbers and when they were handed over, in ns; `late` is how far behind its
    instant one was at worst, in seconds.
    """

    def __init__(self, bus: Bus, phase: int, size: int) -> None:
        self._bus = bus
        self._phase = phase
        self._padding = bytes(max(0, size - HEAD.size))
        self._numbers = 0
        self.accepted: dict[int, int] = {}
        self.refused: dict[int, int] = {}
        self.confirmations = Histogram()
        self.late = 0.0

    async def saturate(self, callers: int, seconds: float) -> None:
        """Have `callers` publish one message after another, as fast as they are confirmed."""
        end = time.monotonic() + seconds

        async def call() -> None:
            while time.monotonic() < end:
                await self._publish()

        await asyncio.gather(*(call() for _ in range(callers)))

    async def keep_pace(self, rate: int, stop: asyncio.Event) -> None:
        """Publish `rate` messages a second, whether those before are confirmed or not, until told to stop."""
        loop = asyncio.get_running_loop()
        begun, count = loop.time(), 0
        calls: set[asyncio.Task[None]] = set()
        while not stop.is_set():
            now = loop.time()
            while begun + count / rate <= now:
                self.late = max(self.late, now - begun - count / rate)
                call = asyncio.create_task(self._publish())
                calls.add(call)
                call.add_done_callback(calls.discard)
                count += 1
            await asyncio.sleep(max(0.001, begun + count / rate - now))  # for less, uvloop would not sleep at all
        await asyncio.gather(*calls)

    async def _publish(self) -> None:
        number, self._numbers = self._numbers, self._numbers + 1
        sent = time.monotonic_ns()
        payload = HEAD.pack(self._phase, number, sent) + self._padding
        try:
            await self._bus.publish([Parcel(number % SHARDS, payload)])
        except BusUnavailable:
            self.refused[number] = sent
            await asyncio.sleep(0.001)  # one that refuses at once must not be asked without end
        else:
            self.accepted[number] = sent
            self.confirmations.add((time.monotonic_ns() - sent) // 1000)
