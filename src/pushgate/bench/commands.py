"""The command line of `pushgate bench`: options in, a Result out. Heavy imports wait until a command runs."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pushgate.bench import bus_commands, crowd_commands
from pushgate.bench.flags import (
    PAGE,
    URL,
    AckEvery,
    AsJson,
    Bare,
    CallerCount,
    Connections,
    Duration,
    Flags,
    Idle,
    Pin,
    Rate,
    Size,
    Url,
    Users,
    check_pin,
    finish,
    takes_flags,
)

if TYPE_CHECKING:
    from pushgate.bench.crew import Show
    from pushgate.bench.options import Result

app = typer.Typer(
    no_args_is_help=True,
    help="""Measure a gateway: load in, figures out. It must be one that you may load: it opens as many connections
    as you say. Figures are the server's only while the generator is not the bottleneck, which it tells.""",
)


@app.callback()
def choose(
    ctx: typer.Context,
    page: Annotated[Path | None, typer.Option("--html", help="Write the figures, with plots, as a page, too.")] = None,
) -> None:
    """Take what holds for every bench."""
    ctx.meta[PAGE] = page


@app.command()
@takes_flags()
def connect(
    flags: Flags,
    show: "Show | None",
    connections: Connections,
    hold: Annotated[float, typer.Option(min=0, help="Seconds to hold them, answering pings.")] = 5.0,
    devices: Annotated[bool, typer.Option("--devices", help="Each is a device with an inbox.")] = False,
    bare: Bare = False,
) -> "Result":
    """Open connections and hold them: connections per second, handshake latency, memory of the server."""
    from pushgate.bench.connect import bench_connect

    common = flags.common(connections, pushes=False, ack_every=0.1 if devices else None, bare=bare)
    return bench_connect(common, connections, hold, show)


@app.command()
@takes_flags()
def broadcast(
    flags: Flags,
    show: "Show | None",
    connections: Connections,
    rounds: Annotated[int, typer.Option(min=1, help="Pushes to everyone.")] = 5,
    size: Size = 100,
) -> "Result":
    """Push to everyone: time until the last client has it, messages per second, CPU of the server per write."""
    from pushgate.bench.broadcast import bench_broadcast

    return bench_broadcast(flags.common(connections), connections, rounds, size, show)


@app.command()
@takes_flags(per_user=10)
def push(
    flags: Flags,
    show: "Show | None",
    users: Users = 100,
    callers: CallerCount = 600,
    seconds: Duration = 10.0,
    rate: Rate = 0.0,
    idle: Idle = 0,
    size: Size = 100,
    bare: Bare = False,
) -> "Result":
    """Push to single users: pushes per second, latency of the calls and to the clients, all messages counted.

    With --rate the calls are due at fixed instants, and latencies count from those, so that a slow answer does not
    hide those behind it.
    """
    from pushgate.bench.options import Calls
    from pushgate.bench.push import bench_push

    common = flags.common(users * flags.per_user + idle, bare=bare)
    return bench_push(common, users, Calls(callers, seconds, size, rate), idle, show)


@app.command()
@takes_flags(per_user=10)
def reliable(
    flags: Flags,
    show: "Show | None",
    users: Users = 100,
    callers: CallerCount = 600,
    seconds: Duration = 10.0,
    rate: Rate = 0.0,
    ack_every: AckEvery = 0.1,
) -> "Result":
    """Push reliably to users whose connections are devices that acknowledge: as `push`, with an inbox between.

    Messages are as small as they can be; frame_bytes tells.
    """
    from pushgate.bench.options import Calls
    from pushgate.bench.push import bench_push

    common = flags.common(users * flags.per_user, ack_every=ack_every)
    return bench_push(common, users, Calls(callers, seconds, 0, rate), 0, show)


@app.command()
@takes_flags(window=1024)
def resume(
    flags: Flags,
    show: "Show | None",
    connections: Connections,
    missed: Annotated[int, typer.Option(min=1, max=200, help="Messages that each device misses.")] = 3,
    everyone: Annotated[bool, typer.Option("--everyone", help="They are to everyone, not to each user.")] = False,
    kill: Annotated[
        list[int] | None,
        typer.Option(help="Kill -9 this process (a worker, say) for it; repeatable. Default: cut all connections."),
    ] = None,
    ack_every: AckEvery = 0.1,
) -> "Result":
    """Have devices miss messages and come back all at once: time until every one has what it missed."""
    from pushgate.bench.resume import bench_resume

    common = flags.common(connections, ack_every=ack_every)
    return bench_resume(common, connections, missed, everyone, tuple(kill or ()), show)


@app.command()
def hostile(
    ctx: typer.Context,
    rate: Annotated[float, typer.Option(min=1, help="Handshakes a second, at fixed instants.")] = 2000.0,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long.")] = 10.0,
    sources: Annotated[int, typer.Option(min=1, max=16_000_000, help="Addresses to come from.")] = 50,
    url: Url = URL,
    pin: Pin = None,
    as_json: AsJson = False,
) -> None:
    """Knock with handshakes that lead nowhere, beside another bench: wrong tokens, garbage, half requests, GETs.

    Only a gateway on this machine is knocked at. It may refuse them: what it answered is told by kind.
    """
    from pushgate.bench.hostile import bench_hostile
    from pushgate.bench.options import Address

    check_pin(pin)
    if pin is not None:
        os.sched_setaffinity(0, {pin})
    finish(ctx, bench_hostile(Address.parse(url, "ws"), rate, seconds, sources), as_json)


@app.command()
def floor() -> None:
    """Serve the benches with the least there is to do, to compare a gateway with; until Ctrl-C.

    Prints the URL for clients and that of the API. Any keys do.
    """
    from pushgate.bench.floor import Floor

    server = Floor()
    typer.echo(f"{server.url} {server.api}")
    server.run()


app.command()(crowd_commands.storm)
app.command()(crowd_commands.soak)
app.command()(crowd_commands.scale)
app.command()(bus_commands.bus)
