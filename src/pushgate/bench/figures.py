"""What the benches' figures have in common: how they are worked out, named and rounded."""

from pushgate.bench.crew import Crew
from pushgate.bench.histogram import curve
from pushgate.bench.options import Plot, Result
from pushgate.bench.server_cost import Cost
from pushgate.bench.totals import Totals

BUSY = 0.9
"""The share of one CPU from which on a generator is the bottleneck."""

_ENOUGH = {"cpu": 1_000, "pss": 10_000}
"""Connections from which on costs can be compared: of fewer, the most is what a process takes once."""

_REFUSALS = {
    "HTTP 429": "the gateway takes no more of one address; use more --sources, or raise its "
    "limits.connections_per_address and limits.handshakes_per_address",
    "HTTP 503": "the gateway takes no more; raise its limits.connections and limits.handshakes_per_second, or the "
    "files that its processes may open",
}


def per(amount: float, divisor: float, digits: int = 1) -> float:
    """`amount / divisor`, rounded; 0.0 when there is nothing to divide by."""
    return round(amount / divisor, digits) if divisor else 0.0


def generator(totals: Totals, processes: int, busiest: float) -> dict[str, object]:
    """What the generator itself took; `cpu_s` includes its start and the signing of tokens."""
    return {"processes": processes, "cpu_s": round(totals.cpu, 2), "busiest": round(busiest, 2)}


def conclude(figures: dict[str, object], ok: bool, totals: Totals, crew: Crew) -> Result:
    """Return the result of a bench, with its warnings and what it can draw."""
    latencies = (("handshakes", totals.handshakes), ("calls", totals.calls), ("to the clients", totals.latencies))
    plots = [
        Plot(f"Latency: {title}", "per cent of them", "ms at most", curve(histogram)) for title, histogram in latencies
    ]
    opened = [(when, float(progress.opened - progress.lost)) for when, progress in crew.series]
    pairs = zip(crew.series, crew.series[1:], strict=False)
    rates = [
        (after, (now.messages - then.messages) / (after - before))
        for (before, then), (after, now) in pairs
        if now.messages >= then.messages
    ]
    plots += [Plot("Connections open", "seconds", "", opened), Plot("Messages a second", "seconds", "", rates)]
    words = warnings(totals, crew.busiest) + heavier(figures, totals.opened)
    return Result(figures, ok, words, [plot for plot in plots if any(y for _, y in plot.points)])


def heavier(figures: dict[str, object], connections: int) -> list[str]:
    """Words for what the generator takes more of than the server, where both are told by the same name."""
    ours, server = figures["generator"], figures.get("server", {})
    assert isinstance(ours, dict)
    assert isinstance(server, dict)
    return [
        f"the generator takes more than the server: {name} is {value:,} and {server[name]:,}"
        for name, value in ours.items()
        if "_per_" in name and connections >= _ENOUGH[name[:3]] and 0 < server.get(name, 0) <= value
    ]


def warnings(totals: Totals, busiest: float) -> list[str]:
    """Words for figures that are the generator's rather than the server's, and for handshakes that were refused."""
    words = [
        f"{totals.failures[answer]:,} handshakes were answered {answer}: {why}"
        for answer, why in _REFUSALS.items()
        if totals.failures[answer]
    ]
    if busiest >= BUSY:
        words.append(
            f"the generator was the bottleneck ({busiest:.0%} of a CPU): use more --processes, or trust the figures "
            "less"
        )
    return words


def server_memory(before: Cost, after: Cost, connections: int) -> dict[str, object]:
    """User memory of the server in bytes, before and after, and what one connection added."""
    return {
        "processes": after.processes,
        "rss_before": before.rss,
        "rss_after": after.rss,
        "rss_per_connection": per(after.rss - before.rss, connections),
        "pss_before": before.pss,
        "pss_after": after.pss,
        "pss_per_connection": per(after.pss - before.pss, connections),
    }
