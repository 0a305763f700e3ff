"""`bench bus`: what a broker is worth as the bus: messages a second, latency, CPU a message, what its death costs."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Awaitable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial

import uvloop

from pushgate.bench import server_cost
from pushgate.bench.bus_listener import Ask, Elsewhere, Heard, Listener
from pushgate.bench.bus_publisher import Publisher
from pushgate.bench.figures import per
from pushgate.bench.options import BenchError, Result
from pushgate.bus import Bus, create_bus
from pushgate.config import shown_url
from pushgate.messages.shard import SHARDS

PREFIX = "pushgate-bench"
"""Keeps a gateway on the same broker out of it."""
OUTAGE_RATE = 200
"""Messages a second while the broker is killed and comes back."""

_PATIENCE = 10.0  # seconds for the bus to be there
_QUIET = 2.0  # seconds without a message after which the missing ones are given up
_DOWN = 1.0  # seconds before the kill, and between the kill and the restart
_RETURN = 60.0  # seconds for the broker to listen, and for the first message then


@dataclass(frozen=True, slots=True)
class Load:
    """Messages of `size` bytes: for `seconds` from so many `callers`, then for as long at each of `rates` a second."""

    callers: int
    seconds: float
    size: int
    rates: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Outage:
    """The process to `kill` with kill -9, the shell command to `restart` it, and the `place` where it listens then."""

    kill: int
    restart: str
    place: tuple[str, int]


def bench_bus(url: str, load: Load, outage: Outage | None = None, server_pids: tuple[int, ...] = ()) -> Result:
    """Publish from this process and listen in another, or in this one with `memory:`; raises BenchError, ConfigError.

    Loss in an outage is a figure; elsewhere, and when the bus does not recover, all is not well. What `restart` has
    started goes on running.
    """
    make = partial(create_bus, url, PREFIX)
    bus, own = make(), Listener()
    with ExitStack() as stack:
        if url.startswith("memory:"):
            ask, shards = own.ask, range(SHARDS)
        else:
            ask, shards = stack.enter_context(closing(Elsewhere(make, _PATIENCE))).ask, range(0)
        runner = stack.enter_context(asyncio.Runner(loop_factory=uvloop.new_event_loop))
        run = _Run(bus, ask, load, server_pids)
        figures = runner.run(run.measure(bus.start(shards, own.take, own.on_gap), outage))
    return Result({"bench": "bus", "url": shown_url(url), "message_bytes": load.size, **figures}, run.ok)


class _Run:
    """The phases of one bench; `ok` says whether all has been well so far."""

    def __init__(self, bus: Bus, ask: Ask, load: Load, server_pids: tuple[int, ...]) -> None:
        self._bus = bus
        self._ask = ask
        self._load = load
        self._server_pids = server_pids
        self._phase = 0
        self.ok = True

    async def measure(self, start: Awaitable[None], outage: Outage | None) -> dict[str, object]:
        """Return the figures of all phases, once the bus has started."""
        try:
            await asyncio.wait_for(start, _PATIENCE)
        except TimeoutError:
            raise BenchError("the bus is not there, or refuses us") from None
        try:
            figures: dict[str, object] = {"throughput": await self._measure_throughput()}
            for rate in self._load.rates:
                figures[f"at_{rate}_per_s"] = await self._measure_latency(rate)
            if outage is not None:
                figures["outage"] = await self._measure_outage(outage)
        finally:
            await self._bus.stop()
        return figures

    async def _measure_throughput(self) -> dict[str, object]:
        load = self._load
        publisher = self._begin()
        before, used, served = self._ask(self._phase).cpu, time.process_time(), self._server_cpu()
        began = time.monotonic_ns()
        await publisher.saturate(load.callers, load.seconds)
        took = (time.monotonic_ns() - began) / 1e9
        used = time.process_time() - used
        heard = await self._settle(publisher)
        return {
            "callers": load.callers,
            "published_per_s": per(len(publisher.accepted), took, 0),
            "received_per_s": per(heard.count, (heard.last_ns - began) / 1e9, 0),
            "confirmed_ms": publisher.confirmations.summary(),
            **self._count(publisher, heard),
            **self._cost(len(publisher.accepted), used, heard.cpu - before, served),
        }

    async def _measure_latency(self, rate: int) -> dict[str, object]:
        publisher = self._begin()
        before, used, served = self._ask(self._phase).cpu, time.process_time(), self._server_cpu()
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(self._load.seconds, stop.set)
        await publisher.keep_pace(rate, stop)
        used = time.process_time() - used
        heard = await self._settle(publisher)
        return {
            "received_ms": heard.latencies.summary(),
            "confirmed_ms": publisher.confirmations.summary(),
            "late_ms": round(publisher.late * 1000, 1),
            **self._count(publisher, heard),
            **self._cost(len(publisher.accepted), used, heard.cpu - before, served),
        }

    async def _measure_outage(self, outage: Outage) -> dict[str, object]:
        publisher = self._begin()
        self._ask(self._phase)
        stop = asyncio.Event()
        publishing = asyncio.create_task(publisher.keep_pace(OUTAGE_RATE, stop))
        await asyncio.sleep(_DOWN)
        try:
            os.kill(outage.kill, signal.SIGKILL)
        except OSError as error:
            raise BenchError(f"{outage.kill} cannot be killed: {error.strerror}") from None
        await asyncio.sleep(_DOWN)
        started = time.monotonic_ns()
        process = _start(outage.restart)
        listening = await _wait_for_port(outage.place)
        recovered = await self._wait_for_message(publisher, listening)
        await asyncio.sleep(_DOWN)
        stop.set()
        await publishing
        heard = await self._settle(publisher)
        self.ok &= recovered is not None
        return {
            "rate": OUTAGE_RATE,
            "listening_s": round((listening - started) / 1e9, 2),
            "recovered_s": None if recovered is None else round((recovered - listening) / 1e9, 3),
            "gaps": heard.gaps,
            **self._tally(publisher, heard),
            "refused_and_received": len(heard.arrivals.keys() & publisher.refused.keys()),
            "restarted_pid": process.pid,
        }

    # Inside

    def _begin(self) -> Publisher:
        self._phase += 1
        return Publisher(self._bus, self._phase, self._load.size)

    async def _settle(self, publisher: Publisher) -> Heard:
        """Return what was heard once all that was accepted is there, or nothing more comes."""
        heard, changed = self._ask(self._phase), time.monotonic()
        while publisher.accepted.keys() - heard.arrivals.keys() and time.monotonic() - changed < _QUIET:
            count = heard.count
            await asyncio.sleep(0.1)
            heard = self._ask(self._phase)
            if heard.count != count:
                changed = time.monotonic()
        return heard

    async def _wait_for_message(self, publisher: Publisher, since: int) -> int | None:
        """Return when the first message arrived that was handed over since then; None when none did."""
        deadline = time.monotonic() + _RETURN
        while time.monotonic() < deadline:
            await asyncio.sleep(0.05)
            sent = publisher.accepted | publisher.refused
            arrivals = self._ask(self._phase).arrivals
            found = [arrivals[number] for number in arrivals.keys() & sent.keys() if sent[number] >= since]
            if found:
                return min(found)
        return None

    def _count(self, publisher: Publisher, heard: Heard) -> dict[str, object]:
        """Count a phase in which nothing may be refused, lost or doubled."""
        counts = self._tally(publisher, heard)
        self.ok &= bool(publisher.accepted) and not (counts["refused"] or counts["lost"])
        return dict(counts)

    def _tally(self, publisher: Publisher, heard: Heard) -> dict[str, int]:
        self.ok &= not heard.doubled
        return {
            "accepted": len(publisher.accepted),
            "refused": len(publisher.refused),
            "lost": len(publisher.accepted.keys() - heard.arrivals.keys()),
            "doubled": heard.doubled,
        }

    def _server_cpu(self) -> float:
        return server_cost.cpu_seconds(self._server_pids)

    def _cost(self, messages: int, publisher: float, listener: float, served: float) -> dict[str, object]:
        """CPU a message; with `memory:` there is one process, and so two times the same."""
        costs = {"publisher": publisher, "listener": listener}
        if self._server_pids:
            costs["server"] = self._server_cpu() - served
        return {"cpu_us": {name: per(seconds * 1e6, messages) for name, seconds in costs.items()}}


def _start(command: str) -> subprocess.Popen[bytes]:
    """Start a shell command that outlives us, and do not wait for it."""
    nothing = subprocess.DEVNULL
    shell = ["/bin/sh", "-c", command]
    return subprocess.Popen(shell, stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True)  # noqa: S603


async def _wait_for_port(place: tuple[str, int]) -> int:
    """Return when somebody listens there, in ns of the monotonic clock; raises BenchError when nobody does."""
    deadline = time.monotonic() + _RETURN
    while time.monotonic() < deadline:
        try:
            _, writer = await asyncio.open_connection(*place)
        except OSError:
            await asyncio.sleep(0.01)
        else:
            writer.close()
            return time.monotonic_ns()
    raise BenchError(f"nothing listens at {place[0]}:{place[1]} after the restart")
