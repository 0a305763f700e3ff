"""`pushgate status`: how a node is, at a glance."""

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from pushgate.cli.common import API, Api, Ca, Cert, say
from pushgate.errors import PushgateError

if TYPE_CHECKING:
    from httpx import Client
    from rich.table import Table

    from pushgate.client.status import Status, Worker

PAUSE = 1.0
"""Seconds between the two looks that rates are made of."""


def status(
    api: Api = API,
    ca: Ca = None,
    cert: Cert = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as one JSON object.")] = False,
    watch: Annotated[float | None, typer.Option(min=0.1, help="Look again every so many seconds, for ever.")] = None,
) -> None:
    """Print how a node is: its workers, connections, rates, memory and bus. It needs no key.

    Exits 1 when the node does not answer, or should get no traffic, and says why.
    """
    import httpx

    from pushgate.client.status import compare, look
    from pushgate.client.trust import make_trust

    with httpx.Client(base_url=api, timeout=10, verify=make_trust(ca, cert) or True) as http:
        if watch is not None:
            with suppress(KeyboardInterrupt):
                _watch(http, watch, _print_json if as_json else _refresh)
            return
        before = look(http)
        time.sleep(PAUSE)
        now = compare(before, look(http))
    (_print_json if as_json else _print)(now)
    if now.not_ready:
        say(f"not ready: {now.not_ready}")
        raise typer.Exit(1)


def _watch(http: "Client", seconds: float, show: "Callable[[Status], None]") -> None:
    from pushgate.client.status import compare, look

    before = None
    while True:
        try:
            after = look(http)
        except PushgateError as error:
            say(str(error))
            after = None
        if before is not None and after is not None:
            show(compare(before, after))
        before = after
        time.sleep(seconds)


def _print_json(now: "Status") -> None:
    from msgspec import json

    typer.echo(json.encode(now))


def _print(now: "Status") -> None:
    from rich.console import Console

    # Lines that go to a file or a pipe are not folded.
    console = Console(width=None if sys.stdout.isatty() else 240, highlight=False)
    state = f"[red]not ready: {now.not_ready}[/]" if now.not_ready else "[green]ready[/]"
    console.print(f"[bold]{now.node}[/]  pushgate {now.version}, Python {now.python}, up {_span(now.up)}, {state}")
    console.print(_node_table(now))
    console.print()
    console.print(_worker_table(now.workers))


def _refresh(now: "Status") -> None:
    from rich.console import Console

    Console().clear()  # nothing where standard output is no terminal
    _print(now)


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
