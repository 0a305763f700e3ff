"""`bench connect`: how fast connections open, what they cost the server, and whether they stay."""

from pushgate.bench import server_cost
from pushgate.bench.crew import Crew, Show, divide
from pushgate.bench.figures import conclude, generator, per, server_memory
from pushgate.bench.options import Common, Result


def open_all(crew: Crew, common: Common, connections: int, show: Show | None) -> None:
    """Open every connection and wait until each has opened or failed; bounded by the handshakes' timeout."""
    crew.tell("connect")
    # Every handshake in flight may time out, and then the next window's.
    rounds = -(-connections // common.window)
    crew.finish(min(3600.0, 10 + common.timeout * (rounds + 1)), show)


def bench_connect(common: Common, connections: int, hold: float, show: Show | None = None) -> Result:
    """Open `connections`, hold them for `hold` seconds, and say what it took; raises BenchError."""
    shares = divide(common, connections)
    with Crew(common, shares) as crew:
        before, spent = server_cost.measure(common.server_pids), crew.progress().cpu
        open_all(crew, common, connections, show)
        connected = server_cost.measure(common.server_pids)
        spent = crew.progress().cpu - spent
        crew.watch(lambda _: False, hold, show)
        after = server_cost.measure(common.server_pids)
        totals = crew.totals()
        took = (totals.connect_last_ns - totals.connect_first_ns) / 1e9 if totals.opened else 0.0
        figures: dict[str, object] = {
            "bench": "connect",
            "connections": connections,
            "opened": totals.opened,
            "failed": dict(totals.failures),
            "lost": dict(totals.lost),
            "seconds": round(took, 3),
            "connections_per_s": per(totals.opened, took),
            "handshake_ms": totals.handshakes.summary(),
        }
        if common.server_pids:
            figures["server"] = {
                **server_memory(before, after, totals.opened),
                "cpu_us_per_connection": per((connected.cpu - before.cpu) * 1e6, totals.opened, 2),
                "cpu_s_in_hold": round(after.cpu - connected.cpu, 2),
            }
        figures["generator"] = generator(totals, len(shares), crew.busiest) | {
            "pss_per_connection": per(totals.memory, totals.opened),
            "cpu_us_per_connection": per(spent * 1e6, totals.opened, 2),
        }
        return conclude(figures, totals.opened == connections and not totals.lost, totals, crew)
