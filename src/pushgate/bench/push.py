"""`bench push`: many callers push to single users, and every message has to arrive."""

from pushgate.bench import server_cost
from pushgate.bench.connect import open_all
from pushgate.bench.crew import Crew, Show, divide
from pushgate.bench.figures import conclude, generator, per
from pushgate.bench.options import Calls, Common, Result


def bench_push(common: Common, users: int, calls: Calls, idle: int = 0, show: Show | None = None) -> Result:
    """Let `calls` go to `users`, each of `common.per_user` connections, beside `idle` more; raises BenchError.

    With `common.devices` the pushes are reliable and every connection acknowledges what it gets.
    """
    connections = users * common.per_user
    shares = divide(common, connections, idle, calls)
    with Crew(common, shares) as crew:
        open_all(crew, common, connections + idle, show)
        used, spent = server_cost.cpu_seconds(common.server_pids), crew.progress().cpu
        crew.tell("call")
        bound = calls.seconds + 2 * common.timeout
        settled = crew.finish(bound, show)
        cpu, spent = server_cost.cpu_seconds(common.server_pids) - used, crew.progress().cpu - spent
        totals = crew.totals()
    took = (totals.call_last_ns - totals.call_first_ns) / 1e9 if totals.calls.count else 0.0
    figures: dict[str, object] = {
        "bench": "reliable" if common.devices else "push",
        "users": users,
        "per_user": common.per_user,
        "idle": idle,
        "callers": calls.callers,
        "rate": calls.rate,
        "opened": totals.opened,
        "failed": dict(totals.failures),
        "lost": dict(totals.lost),
        "seconds": round(took, 3),
        "accepted": totals.accepted,
        "pushes_per_s": per(totals.accepted, took),
        "errors": dict(totals.errors),
        "call_ms": totals.calls.summary(),
        "end_to_end_ms": totals.latencies.summary(),
        "frame_bytes": per(totals.received, totals.messages),
        "expected": totals.expected,
        "missing": totals.missing,
        "surplus": totals.surplus,
    }
    if common.devices:
        figures |= {"acknowledgements": totals.acknowledgements, "again": totals.again}
    if common.server_pids:
        figures["server"] = {"cpu_us_per_push": per(cpu * 1e6, totals.accepted, 2), "cpu_s": round(cpu, 2)}
    figures["generator"] = generator(totals, len(shares), crew.busiest) | {
        "cpu_us_per_push": per(spent * 1e6, totals.accepted, 2)
    }
    whole = totals.opened == connections + idle and totals.accepted > 0 and settled
    ok = whole and not (totals.lost or totals.errors or totals.missing)
    return conclude(figures, ok, totals, crew)
