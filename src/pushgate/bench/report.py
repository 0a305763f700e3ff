"""How a bench shows itself: progress and words on standard error, figures on standard output."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress as Bars
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from pushgate.bench.crew import Show
from pushgate.bench.options import Result
from pushgate.bench.totals import Progress


@contextmanager
def progress(title: str) -> Iterator[Show | None]:
    """A line that lives on standard error while the context lasts; None when nobody sits there to watch it."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    # No thread of its own: generator processes are forked while it is shown.
    with Bars(*columns, console=console, auto_refresh=False, transient=True) as bars:
        task = bars.add_task(title)

        def show(now: Progress) -> None:
            words = f"[bold]{title}[/]  {now.opened:,} open"
            words += f"  {now.answers:,} answers" if now.answers else ""
            words += f"  {now.messages:,} messages" if now.messages else ""
            words += f"  [red]{now.failed:,} failed[/]" if now.failed else ""
            words += f"  [red]{now.lost:,} lost[/]" if now.lost else ""
            bars.update(task, description=words, refresh=True)

        yield show


def write(result: Result, as_json: bool) -> None:
    """Print the figures, as one JSON object or as a table, and the warnings as words."""
    if as_json:
        json.dump(result.figures, sys.stdout)
        sys.stdout.write("\n")
    else:
        _print_table(result.figures)
    words = Console(stderr=True)
    for warning in result.warnings:
        words.print(f"[yellow]warning:[/] {warning}", soft_wrap=True)
    if not result.ok:
        words.print("[red]failed:[/] not everything opened, stayed and arrived; see the figures", soft_wrap=True)


def _print_table(figures: dict[str, object]) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    for name, value in figures.items():
        if isinstance(value, list):
            table.add_row(name, "\n".join(_line(row) for row in value))
        else:
            table.add_row(name, _line(value))
    # Lines that go to a file or a pipe are not folded.
    Console(width=None if sys.stdout.isatty() else 240).print(table)


def _line(value: object) -> str:
    if isinstance(value, dict):
        return "  ".join(f"[dim]{name}[/] {_line(part)}" for name, part in value.items()) or "none"
    if isinstance(value, int | float):
        return f"{value:,}"
    return str(value)
