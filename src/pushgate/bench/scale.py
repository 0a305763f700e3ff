"""`bench scale`: one crowd of connections that stays, and everything that a gateway does with it, one after another."""

import json
import subprocess
import sys
import time
from pathlib import Path

from pushgate.bench import machine, server_cost
from pushgate.bench.broadcast import push_round
from pushgate.bench.connect import open_all
from pushgate.bench.crew import Crew, Show, divide
from pushgate.bench.figures import conclude, generator, per, server_memory
from pushgate.bench.options import BenchError, Calls, Common, Result
from pushgate.bench.payload import EVERYONE, PushRequest, everyone_over, padding_for
from pushgate.bench.server_cost import Cost
from pushgate.bench.totals import Totals

_ROUNDS = 3


def bench_scale(
    common: Common,
    connections: int,
    calls: Calls,
    spread: float,
    hold: float,
    upgrade: Path | None,
    show: Show | None = None,
) -> Result:
    """Open `connections` and hold them through: pushes to everyone, one of them spread over `spread` seconds; `calls`
    to single users; `hold` seconds in which only heartbeats come; and, for the node of the data directory `upgrade`, a
    hand-over to new processes. 0 leaves a phase out. Raises BenchError.
    """
    shares = divide(common, connections, calls=calls)
    figures: dict[str, object] = {"bench": "scale", "connections": connections}
    with Crew(common, shares) as crew:
        figures |= _gather(crew, common, connections, show)
        padding = padding_for(calls.size)
        everyone = PushRequest(common.target.api, common.target.api_key, EVERYONE, padding)
        figures["everyone"] = [push_round(crew, common, everyone, show) for _ in range(_ROUNDS)]
        if spread:
            over = PushRequest(common.target.api, common.target.api_key, everyone_over(spread), padding)
            figures["spread"] = {"over": spread, **push_round(crew, common, over, show)}
        settled = True
        if calls.seconds:
            used = server_cost.cpu_seconds(common.server_pids)
            crew.tell("call")
            settled = crew.finish(calls.seconds + 2 * common.timeout, show)
            pushed = crew.totals()
            figures["push"] = _tell_pushes(pushed, server_cost.cpu_seconds(common.server_pids) - used)
        if hold:
            used, began = server_cost.cpu_seconds(common.server_pids), time.monotonic()
            crew.watch(lambda _: False, hold, show)
            took = time.monotonic() - began
            cores = (server_cost.cpu_seconds(common.server_pids) - used) / took
            figures["heartbeats"] = {"seconds": round(took, 1), "server_cores": round(cores, 3)}
        if upgrade is not None:
            began = time.monotonic()
            pid = _upgrade(upgrade)
            figures["upgrade"] = {"seconds": round(time.monotonic() - began, 1), "pid": pid}
            crew.watch(lambda _: False, 1.0, show)
            figures["everyone_after"] = push_round(crew, common, everyone, show)
        totals = crew.totals()
    figures["lost"] = dict(totals.lost)
    figures["missing"] = missing = _missing(figures) + totals.missing
    figures["generator"] = generator(totals, len(shares), crew.busiest)
    ok = settled and totals.opened == connections and not (totals.lost or totals.errors or missing)
    return conclude(figures, ok, totals, crew)


def _gather(crew: Crew, common: Common, connections: int, show: Show | None) -> dict[str, object]:
    """Open all connections; returns what that took, and how much memory they take."""
    empty, before = machine.used_memory(), server_cost.measure(common.server_pids)
    ready = server_cost.measure(crew.pids)
    open_all(crew, common, connections, show)
    totals = crew.totals()
    took = (totals.connect_last_ns - totals.connect_first_ns) / 1e9 if totals.opened else 0.0
    figures: dict[str, object] = {
        "connect": {
            "opened": totals.opened,
            "failed": dict(totals.failures),
            "seconds": round(took, 1),
            "connections_per_s": per(totals.opened, took),
            "handshake_ms": totals.handshakes.summary(),
        },
        "sockets": machine.sockets(),
    }
    after, grown = server_cost.measure(common.server_pids), server_cost.measure(crew.pids)
    figures["memory"] = _tell_memory(machine.used_memory() - empty, before, after, ready, grown)
    if common.server_pids:
        figures["server"] = server_memory(before, after, totals.opened)
    return figures


def _tell_memory(machine: int, before: Cost, after: Cost, ready: Cost, grown: Cost) -> dict[str, object]:
    """Return in bytes by how much more the machine uses, and whose that is.

    `kernel` is what no process has: sockets, files and epolls of both ends where both are here. `server_half` is then
    the gateway's: all of its user memory, and half of the kernel's.
    """
    kernel = machine - (after.pss - before.pss) - (grown.pss - ready.pss)
    return {
        "machine": machine,
        "server": after.pss,
        "generator": grown.pss,
        "kernel": kernel,
        "server_half": after.pss + kernel // 2,
    }


def _tell_pushes(totals: Totals, cpu: float) -> dict[str, object]:
    took = (totals.call_last_ns - totals.call_first_ns) / 1e9 if totals.calls.count else 0.0
    return {
        "seconds": round(took, 1),
        "accepted": totals.accepted,
        "pushes_per_s": per(totals.accepted, took),
        "errors": dict(totals.errors),
        "missing": totals.missing,
        "surplus": totals.surplus,
        "call_ms": totals.calls.summary(),
        "end_to_end_ms": totals.latencies.summary(),
        "server_cpu_us_per_push": per(cpu * 1e6, totals.accepted, 2),
    }


def _missing(figures: dict[str, object]) -> int:
    """Return how many messages to everyone did not arrive."""
    rounds = [*figures["everyone"], figures.get("spread"), figures.get("everyone_after")]  # type: ignore[misc]
    return sum(each["missing"] for each in rounds if each)


def _upgrade(data_dir: Path) -> int:
    """Have the node hand over to new processes; returns the pid of its supervisor then. Raises BenchError."""
    command = [sys.executable, "-m", "pushgate", "upgrade", "--json", "--data-dir", str(data_dir)]
    said = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    last = json.loads(said.stdout.splitlines()[-1]) if said.stdout else {}
    if said.returncode:
        raise BenchError(f"the node was not upgraded: {last.get('step') or said.stderr.strip()}")
    return int(last["pid"])
