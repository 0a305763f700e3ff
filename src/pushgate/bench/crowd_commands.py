"""The command line of the benches for crowds: `storm`, `soak` and `scale`."""

from typing import TYPE_CHECKING, Annotated

import typer

from pushgate.bench.flags import CallerCount, Connections, Flags, Idle, Size, Users, takes_flags

if TYPE_CHECKING:
    from pushgate.bench.crew import Show
    from pushgate.bench.options import Result


@takes_flags(window=1024)
def storm(flags: Flags, show: "Show | None", connections: Connections) -> "Result":
    """Lose all connections at once and have them come back: time until the last one is there again."""
    from pushgate.bench.storm import bench_storm

    return bench_storm(flags.common(connections, pushes=False), connections, show)


@takes_flags(per_user=4)
def soak(
    flags: Flags,
    show: "Show | None",
    users: Users = 100,
    seconds: Annotated[float, typer.Option(min=1, help="How long.")] = 60.0,
    rate: Annotated[float, typer.Option(min=0.1, help="Pushes a second, at fixed instants.")] = 200.0,
    callers: CallerCount = 50,
    churning: Annotated[int, typer.Option(min=0, help="More connections of these users, that come and go.")] = 50,
    churn: Annotated[float, typer.Option(min=0, help="How many of them go, and come back, a second.")] = 10.0,
    stalling: Annotated[int, typer.Option(min=0, help="More that stop reading time and again.")] = 4,
    idle: Idle = 0,
    size: Size = 100,
) -> "Result":
    """Push at a steady rate to a crowd that comes and goes, answers pings and stalls: latency over time, growth.

    All is well where those that read got everything and stayed. The gateway may close those that stall, with 4001. What
    it takes of a user's connections must suffice for those that come and go, too (limits.sessions_per_user).
    """
    from pushgate.bench.options import Calls, Unrest
    from pushgate.bench.soak import bench_soak

    common = flags.common(users * flags.per_user + churning + stalling + idle)
    unrest = Unrest(churning, churn, stalling)
    return bench_soak(common, users, Calls(callers, seconds, size, rate), unrest, idle, show)


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
