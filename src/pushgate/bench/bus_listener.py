"""The receiving end of `bench bus`: what came of one phase, and when; in a process of its own where the bus has one."""

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from struct import Struct

import uvloop

from pushgate.bench.histogram import Histogram
from pushgate.bench.options import BenchError
from pushgate.bus import Bus
from pushgate.messages.shard import SHARDS

HEAD = Struct("!BQQ")
"""What a message begins with: its phase, its number in it, and ns of the monotonic clock when it was handed over."""


@dataclass(slots=True)
class Heard:
    """What came of a phase. `arrivals` has the first arrival of each number, in ns; `cpu` is of the whole process."""

    phase: int = 0
    count: int = 0
    gaps: int = 0
    last_ns: int = 0
    latencies: Histogram = field(default_factory=Histogram)
    arrivals: dict[int, int] = field(default_factory=dict)
    cpu: float = 0.0

    @property
    def doubled(self) -> int:
        """How many came again."""
        return self.count - len(self.arrivals)


Ask = Callable[[int], Heard]
"""Returns what was heard of a phase so far; the first question after a phase begins it."""


class Listener:
    """Takes what a bus brings."""

    def __init__(self) -> None:
        self._heard = Heard()

    def take(self, payload: bytes) -> None:
        """Count a message, if it is of this phase."""
        now = time.monotonic_ns()
        phase, number, sent = HEAD.unpack_from(payload)
        heard = self._heard
        if phase == heard.phase:
            heard.count += 1
            heard.last_ns = now
            heard.latencies.add((now - sent) // 1000)
            heard.arrivals.setdefault(number, now)

    def on_gap(self) -> None:
        """Count a gap."""
        self._heard.gaps += 1

    def ask(self, phase: int) -> Heard:
        """See Ask."""
        if phase != self._heard.phase:
            self._heard = Heard(phase)
        self._heard.cpu = time.process_time()
        return self._heard


class Elsewhere:
    """A listener in another process, which ends when this is closed or this process ends."""

    def __init__(self, make: Callable[[], Bus], patience: float) -> None:
        """Raises BenchError when it has not subscribed within `patience` seconds."""
        self._pipe, theirs = get_context("fork").Pipe()
        self._process = get_context("fork").Process(target=self._run, args=(theirs, make), daemon=True)
        self._process.start()
        theirs.close()
        if not self._pipe.poll(patience):
            self.close()
            raise BenchError(f"the bus is not there, or refuses us: nothing was subscribed to within {patience:g} s")
        self._pipe.recv()

    def ask(self, phase: int) -> Heard:
        """See Ask. Raises BenchError when the process has ended."""
        try:
            self._pipe.send(phase)
            heard: Heard = self._pipe.recv()
        except (EOFError, OSError):
            raise BenchError("the listening process ended early") from None
        return heard

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.join()
        self._process.close()
        self._pipe.close()

    def _run(self, pipe: Connection, make: Callable[[], Bus]) -> None:
        self._pipe.close()  # or its end would not show here when the other process ends
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_listen(pipe, make()))


async def _listen(pipe: Connection, bus: Bus) -> None:
    listener = Listener()
    await bus.start(range(SHARDS), listener.take, listener.on_gap)
    pipe.send(None)

    def answer() -> None:
        try:
            pipe.send(listener.ask(pipe.recv()))
        except (EOFError, OSError):
            os._exit(0)

    asyncio.get_running_loop().add_reader(pipe.fileno(), answer)
    os.set_blocking(pipe.fileno(), True)  # uvloop has made it otherwise, and answers may be long
    await asyncio.get_running_loop().create_future()
