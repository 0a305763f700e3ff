"""What `pushgate status` prints for people: a table of the nodes, and how the one that was asked is."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from pushgate.client.status import Status, Worker
    from pushgate.messages.nodes import Nodes, NodeState


def print_tables(now: "Status", nodes: "Nodes | None") -> None:
    """Print the nodes, where they are known, and one of them more closely."""
    from rich.console import Console

    # Lines that go to a file or a pipe are not folded.
    console = Console(width=None if sys.stdout.isatty() else 240, highlight=False)
    if nodes is not None:
        console.print(_cluster_table(nodes))
        console.print()
    state = f"[red]not ready: {now.not_ready}[/]" if now.not_ready else "[green]ready[/]"
    console.print(f"[bold]{now.node}[/]  pushgate {now.version}, Python {now.python}, up {_span(now.up)}, {state}")
    console.print(_node_table(now))
    console.print()
    console.print(_worker_table(now.workers))


def clear() -> None:
    """Begin anew at the top of the terminal; nothing where standard output is none."""
    from rich.console import Console

    Console().clear()


def _cluster_table(nodes: "Nodes") -> "Table":
    """Return the table of the nodes. Names of up to nine characters fit into 80 columns."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    for title in ("node", "version", "state"):
        table.add_column(title)
    for title in ("up", "connections", "users", "in/s", "out/s", "bus", "inbox"):
        table.add_column(title, justify="right")
    for row in sorted([*map(_node_row, nodes.nodes), *((name, "", "[red]no answer[/]") for name in nodes.missing)]):
        table.add_row(*row)
    return table


def _node_row(node: "NodeState") -> tuple[str, ...]:
    def tell(value: float | None, how: Callable[[float], str]) -> str:
        return "-" if value is None else how(value)

    def of_workers(value: float) -> str:
        text = f"{value:.0f}/{node.workers}"
        return text if value >= node.workers else f"[red]{text}[/]"

    return (
        node.node,
        node.version,
        _state(node),
        tell(node.up, _span),
        tell(node.connections, "{:,}".format),
        tell(node.users, "{:,}".format),
        tell(node.pushes_per_second, _rate),
        tell(node.delivered_per_second, _rate),
        tell(node.bus_workers, of_workers),
        tell(node.inbox_workers, of_workers),
    )


def _state(node: "NodeState") -> str:
    if node.draining:
        return "[yellow]draining[/]"
    if node.upgrading:
        return "[yellow]upgrading[/]"
    return "[green]ready[/]" if node.ready else "[red]not ready[/]"


def _node_table(now: "Status") -> "Table":
    from rich.table import Table

    rates, bus = now.rates, now.bus
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column()
    table.add_row(
        "connections",
        f"{now.connections:,} of {now.users:,} users, {now.lobby:,} in their handshake,"
        f" {_size(now.write_buffers)} in write buffers" + (", [red]draining[/]" if now.draining else ""),
    )
    table.add_row(
        "per second",
        f"{_rate(rates.pushes)} pushes ({_rate(rates.pushes_refused)} refused),"
        f" {_rate(rates.delivered)} messages ({_rate(rates.dropped)} dropped),"
        f" {_rate(rates.opened)} opened, {_rate(rates.closed)} closed, {_rate(rates.handshakes_refused)} refused",
    )
    lag = "no push on it" if bus.lag is None else f"{bus.lag * 1000:,.1f} ms a push"
    table.add_row(
        "bus",
        f"{bus.connected_workers} of {len(now.workers)} workers connected, {lag}; since the start"
        f" {bus.reconnects:,} reconnects, {bus.gaps:,} gaps, {bus.server_restarts:,} restarts of its server",
    )
    return table


def _worker_table(workers: "list[Worker]") -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("worker")
    for title in ("connections", "users", "CPU", "memory", "loop lag", "collection", "files", "up", "restarts"):
        table.add_column(title, justify="right")
    for worker in workers:
        restarts = f"{worker.restarts:,}" + (f" ({worker.stuck:,} stuck)" if worker.stuck else "")
        table.add_row(
            str(worker.worker),
            f"{worker.connections:,}",
            f"{worker.users:,}",
            f"{worker.cpu:.0%}",
            _size(worker.memory),
            f"{worker.loop_lag * 1000:,.1f} ms",
            f"{worker.gc_pause * 1000:,.1f} ms",
            f"{worker.files:,} / {worker.max_files:,}",
            "[red]away[/]" if worker.up is None else _span(worker.up),
            restarts,
        )
    return table


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == 0 else f"{value:.1f}"


def _size(size: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:,.0f} {unit}"
        size /= 1024
    return f"{size:,.1f} GiB"


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds // 60:.0f} min"
    if seconds < 172800:
        return f"{seconds // 3600:.0f} h"
    return f"{seconds // 86400:,.0f} d"
