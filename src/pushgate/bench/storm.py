"""`bench storm`: every connection is lost at once, and all come back; how long until the last one is there again."""

from pushgate.bench import server_cost
from pushgate.bench.connect import open_all
from pushgate.bench.crew import Crew, Show, divide
from pushgate.bench.figures import conclude, generator, per
from pushgate.bench.options import Common, Result

PATIENCE = 600.0
"""Seconds after which those that are not back are given up."""


def bench_storm(common: Common, connections: int, show: Show | None = None) -> Result:
    """Open `connections`, lose them all and open them anew; those that are refused try again. Raises BenchError.

    It is asked again four times a second: the worst that clients without a back-off can do.
    """
    shares = divide(common, connections)
    with Crew(common, shares) as crew:
        open_all(crew, common, connections, show)
        opened = crew.totals()
        used = server_cost.cpu_seconds(common.server_pids)
        crew.tell("storm")
        back = crew.finish(PATIENCE, show)
        cpu = server_cost.cpu_seconds(common.server_pids) - used
        totals = crew.totals()
    took = (totals.connect_last_ns - totals.connect_first_ns) / 1e9 if totals.opened else 0.0
    refused = totals.failures - opened.failures
    figures: dict[str, object] = {
        "bench": "storm",
        "connections": connections,
        "opened": opened.opened,
        "failed": dict(opened.failures),
        "back": totals.opened,
        "seconds": round(took, 3),
        "connections_per_s": per(totals.opened, took),
        "refused": dict(refused),
        "lost": dict(totals.lost),
        "handshake_ms": totals.handshakes.summary(),
    }
    if common.server_pids:
        figures["server"] = {"cpu_us_per_connection": per(cpu * 1e6, totals.opened, 2), "cpu_s": round(cpu, 2)}
    figures["generator"] = generator(totals, len(shares), crew.busiest)
    totals.failures = opened.failures  # that a storm is refused at first is no fault of the bench
    ok = back and opened.opened == totals.opened == connections and not totals.lost
    return conclude(figures, ok, totals, crew)
