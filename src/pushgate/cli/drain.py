"""`pushgate drain`: empties a node and has it end."""

import re
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from pushgate.cli.common import NodeDir, NodeFile, find_data_dir, say

if TYPE_CHECKING:
    from pushgate.node.commands import DrainProgress

UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}
LONGEST = 86400
LINE = 5.0
"""Seconds between two lines where standard error is no terminal."""


def _read_span(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if found is None or float(found[1]) * UNITS[found[2]] > LONGEST:
        raise typer.BadParameter(f"expected seconds, or a number with s, m or h, up to 24h; got {text!r}")
    return float(found[1]) * UNITS[found[2]]


def drain(
    over: Annotated[
        float,
        typer.Option(parser=_read_span, metavar="TIME", help="By when all clients are to be gone: 60, 60s, 2m."),
    ] = "60s",  # type: ignore[assignment] # the parser makes it a number
    data_dir: NodeDir = None,
    config: NodeFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print how far it is as JSON objects, one a line.")] = False,
) -> None:
    """Empty the node of this machine and have it end; returns when it has.

    It says not ready at once and refuses new clients, and sends those that are there to other nodes, evenly over the
    time. Its HTTP API is answered until the end. Called again it goes on with the new time. Interrupted it has said
    what it wants: the drain goes on. Exits 1 when no node runs there, or it ended before everybody was gone.
    """
    from pushgate.node.commands import ask_drain

    last = None
    try:
        for now in _show(ask_drain(find_data_dir(data_dir, config), over), as_json):
            last = now
    except KeyboardInterrupt:
        say("interrupted; the node goes on draining")
        raise typer.Exit(1) from None
    if last is None or last.state != "drained":
        left = last.connections if last is not None else "an unknown number of"
        say(f"the node ended early, with {left} connections left")
        raise typer.Exit(1)
    if not as_json:
        say(f"drained of {last.first:,} connections; the node has ended")


def _show(progress: "Iterator[DrainProgress]", as_json: bool) -> "Iterable[DrainProgress]":
    if as_json:
        return _print_json(progress)
    return _draw_bar(progress) if sys.stderr.isatty() else _print_lines(progress)


def _print_json(progress: "Iterator[DrainProgress]") -> "Iterator[DrainProgress]":
    from msgspec import json

    for now in progress:
        typer.echo(json.encode(now))
        yield now


def _print_lines(progress: "Iterator[DrainProgress]") -> "Iterator[DrainProgress]":
    told = None
    for now in progress:
        if told is None or now.state != told.state or told.left - now.left >= LINE or now.over != told.over:
            say(_describe(now))
            told = now
        yield now


def _draw_bar(progress: "Iterator[DrainProgress]") -> "Iterator[DrainProgress]":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    with Progress(BarColumn(), TextColumn("{task.description}"), console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=1.0)
        for now in progress:
            gone = 1 - now.connections / now.first if now.first else 1.0
            bar.update(task, completed=gone, description=_describe(now))
            yield now


def _describe(now: "DrainProgress") -> str:
    if now.state != "draining":
        return f"{now.state}, {now.connections:,} connections left: the node stops"
    return f"{now.connections:,} of {now.first:,} connections left, {now.left:.0f} s to go"
