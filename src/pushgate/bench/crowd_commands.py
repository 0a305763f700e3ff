"""The command line of the benches for crowds: `storm` and `scale`."""

from typing import TYPE_CHECKING, Annotated

import typer

from pushgate.bench.flags import CallerCount, Connections, Flags, Size, takes_flags

if TYPE_CHECKING:
    from pushgate.bench.crew import Show
    from pushgate.bench.options import Result


@takes_flags(window=1024)
def storm(flags: Flags, show: "Show | None", connections: Connections) -> "Result":
    """Lose all connections at once and have them come back: time until the last one is there again."""
    from pushgate.bench.storm import bench_storm

    return bench_storm(flags.common(connections, pushes=False), connections, show)


@takes_flags(per_user=10, window=512)
def scale(
    flags: Flags,
    show: "Show | None",
    connections: Connections,
    callers: CallerCount = 600,
    seconds: Annotated[float, typer.Option(min=0, help="How long to push to single users; 0: not.")] = 30.0,
    spread: Annotated[float, typer.Option(min=0, help="One push to everyone is spread over so long; 0: none.")] = 10.0,
    hold: Annotated[float, typer.Option(min=0, help="How long to do nothing but answer pings; 0: not.")] = 50.0,
    upgrade: Annotated[bool, typer.Option("--upgrade", help="Have the node of --data-dir hand over, too.")] = False,
    size: Size = 100,
) -> "Result":
    """Open connections once, and do everything with them: connect, broadcast, spread, push, heartbeats, upgrade.

    For crowds that take minutes to open. Memory of the machine and of both sides is told, too.
    """
    from pushgate.bench.options import Calls
    from pushgate.bench.scale import bench_scale

    data_dir = flags.data_dir if upgrade else None
    return bench_scale(
        flags.common(connections), connections, Calls(callers, seconds, size), spread, hold, data_dir, show
    )
