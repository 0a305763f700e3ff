"""`bench soak`: a crowd as they are, for a bounded time: most stay, some come and go, some stop reading."""

import time
from collections import Counter

from pushgate.bench import server_cost
from pushgate.bench.broadcast import post
from pushgate.bench.connect import open_all
from pushgate.bench.crew import Crew, Show, divide
from pushgate.bench.figures import conclude, generator, per
from pushgate.bench.histogram import Histogram
from pushgate.bench.options import BenchError, Calls, Common, Plot, Result, Unrest
from pushgate.bench.payload import many_users, unmarked_push

PARTS = 10
"""How many parts the time is told in."""

# Those that stall are pushed to so often and so much: the kernel keeps some 4 MiB for one who does not read.
_FILL_EVERY = 0.05
_FILL_SIZE = 60 * 1024


def bench_soak(
    common: Common, users: int, calls: Calls, unrest: Unrest, idle: int = 0, show: Show | None = None
) -> Result:
    """Let `calls` go to `users`, each of `common.per_user` connections that stay, beside `unrest` and `idle` more.

    All is well where no connection that reads was refused or closed or misses a message. Those that stall are pushed
    to so that what they do not read piles up: the gateway may close them. Raises BenchError.
    """
    steady = users * common.per_user
    connections = steady + idle + unrest.churning + unrest.stalling
    shares = divide(common, steady, idle, calls, unrest=unrest)
    target, stalling = common.target, [name for share in shares for name in share.stalling_users]
    fill = unmarked_push(target.api, target.api_key, many_users(stalling), _FILL_SIZE) if stalling else b""
    errors: Counter[str] = Counter()
    with Crew(common, shares) as crew:
        open_all(crew, common, connections, show)
        opened = crew.totals()
        parts: list[dict[str, float]] = []
        seen, began = Histogram(), time.monotonic()
        crew.tell("call")
        for number in range(1, PARTS + 1):
            until = began + calls.seconds * number / PARTS
            while (left := until - time.monotonic()) > 0:
                crew.watch(lambda _: False, min(left, _FILL_EVERY) if fill else left, show)
                if fill:
                    _fill(common, fill, errors)
            latencies = crew.totals().latencies
            parts.append({"seconds": round(time.monotonic() - began, 2), **_tell_part(common, latencies.since(seen))})
            seen = latencies
        settled = crew.finish(2 * common.timeout, show)
        totals = crew.totals()
    totals.errors += errors
    refused = totals.failures - opened.failures
    figures: dict[str, object] = {
        "bench": "soak",
        "connections": connections,
        "users": users,
        "per_user": common.per_user,
        "idle": idle,
        "rate": calls.rate,
        "opened": opened.opened,
        "failed": dict(opened.failures),
        "lost": dict(totals.lost),
        "refused": dict(refused),
        "accepted": totals.accepted,
        "errors": dict(totals.errors),
        "expected": totals.expected,
        "missing": totals.missing,
        "surplus": totals.surplus,
        "pings": totals.pings,
        "call_ms": totals.calls.summary(),
        "end_to_end_ms": totals.latencies.summary(),
        "churn": {
            "connections": unrest.churning,
            "left": totals.left,
            "handshake_ms": totals.handshakes.since(opened.handshakes).summary(),
        },
        "stalling": {"connections": unrest.stalling, "stalls": totals.stalls, "closed": dict(totals.dismissed)},
        "parts": parts,
    }
    if common.server_pids:
        figures["growth"] = _tell_growth(parts)
    figures["generator"] = generator(totals, len(shares), crew.busiest)
    whole = opened.opened == connections and totals.accepted > 0 and settled
    ok = whole and not (totals.lost or refused or totals.errors or totals.missing)
    result = conclude(figures, ok, totals, crew)
    result.plots += _draw(parts)
    return result


def _fill(common: Common, request: bytes, errors: Counter[str]) -> None:
    try:
        status = post(common.target.api, request, common.timeout)
    except BenchError:
        errors["no answer"] += 1
    else:
        if not 200 <= status < 300:
            errors[f"HTTP {status}"] += 1


def _tell_part(common: Common, latencies: Histogram) -> dict[str, float]:
    figures = {"messages": latencies.count, **latencies.summary()}
    if common.server_pids:
        figures["pss"] = server_cost.measure(common.server_pids).pss
        figures["files"] = server_cost.open_files(common.server_pids)
    return figures


def _tell_growth(parts: list[dict[str, float]]) -> dict[str, float]:
    """What the server holds at the end of the first part and at that of the last."""
    first, last = parts[0], parts[-1]
    minutes = (last["seconds"] - first["seconds"]) / 60
    return {
        "pss_first": first["pss"],
        "pss_last": last["pss"],
        "pss_per_minute": per(last["pss"] - first["pss"], minutes, 0),
        "files_first": first["files"],
        "files_last": last["files"],
    }


def _draw(parts: list[dict[str, float]]) -> list[Plot]:
    plots = [Plot(f"To the clients: {name}", "seconds", "ms", _line(parts, name)) for name in ("p50", "p99", "p99.9")]
    if "pss" in parts[0]:
        plots.append(Plot("Memory of the server", "seconds", "bytes", _line(parts, "pss")))
    return plots


def _line(parts: list[dict[str, float]], name: str) -> list[tuple[float, float]]:
    return [(part["seconds"], part[name]) for part in parts]
