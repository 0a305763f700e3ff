"""The command line of `pushgate bench`: options in, a Result out. Heavy imports wait until a command runs."""

import os
from pathlib import Path
from typing import Annotated

import typer

from pushgate.bench import bus_commands, crowd_commands
from pushgate.bench.flags import (
    API,
    DATA_DIR,
    PAGE,
    URL,
    AckEvery,
    Api,
    ApiKey,
    AsJson,
    Bare,
    CallerCount,
    Connections,
    DataDir,
    Duration,
    PerUser,
    Pin,
    Processes,
    Rate,
    Secret,
    ServerPid,
    Size,
    Sources,
    Timeout,
    Unused,
    Url,
    Users,
    Window,
    check_pin,
    finish,
    make_common,
    tune,
)

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
def connect(
    ctx: typer.Context,
    connections: Connections,
    hold: Annotated[float, typer.Option(min=0, help="Seconds to hold them, answering pings.")] = 5.0,
    url: Url = URL,
    api: Unused = API,
    api_key: Unused = "-",
    token_secret: Secret = "",
    data_dir: DataDir = DATA_DIR,
    server_pid: ServerPid = None,
    per_user: PerUser = 1,
    window: Window = 256,
    processes: Processes = 1,
    sources: Sources = 0,
    pin: Pin = None,
    bare: Bare = False,
    devices: Annotated[bool, typer.Option("--devices", help="Each is a device with an inbox.")] = False,
    timeout: Timeout = 30.0,
    as_json: AsJson = False,
) -> None:
    """Open connections and hold them: connections per second, handshake latency, memory of the server."""
    from pushgate.bench.connect import bench_connect
    from pushgate.bench.report import progress

    common = make_common(ctx, url, api, api_key, token_secret, data_dir)
    ack_every = 0.1 if devices else None
    common = tune(common, connections, per_user, window, processes, sources, pin, server_pid, bare, timeout, ack_every)
    with progress("connect") as show:
        result = bench_connect(common, connections, hold, show)
    finish(ctx, result, as_json)


@app.command()
def broadcast(
    ctx: typer.Context,
    connections: Connections,
    rounds: Annotated[int, typer.Option(min=1, help="Pushes to everyone.")] = 5,
    size: Size = 100,
    url: Url = URL,
    api: Api = API,
    api_key: ApiKey = "",
    token_secret: Secret = "",
    data_dir: DataDir = DATA_DIR,
    server_pid: ServerPid = None,
    per_user: PerUser = 1,
    window: Window = 256,
    processes: Processes = 1,
    sources: Sources = 0,
    pin: Pin = None,
    timeout: Timeout = 30.0,
    as_json: AsJson = False,
) -> None:
    """Push to everyone: time until the last client has it, messages per second, CPU of the server per write."""
    from pushgate.bench.broadcast import bench_broadcast
    from pushgate.bench.report import progress

    common = make_common(ctx, url, api, api_key, token_secret, data_dir)
    common = tune(common, connections, per_user, window, processes, sources, pin, server_pid, False, timeout)
    with progress("broadcast") as show:
        result = bench_broadcast(common, connections, rounds, size, show)
    finish(ctx, result, as_json)


@app.command()
def push(
    ctx: typer.Context,
    users: Users = 100,
    callers: CallerCount = 600,
    seconds: Duration = 10.0,
    rate: Rate = 0.0,
    idle: Annotated[int, typer.Option(min=0, help="More connections, held beside.")] = 0,
    size: Size = 100,
    url: Url = URL,
    api: Api = API,
    api_key: ApiKey = "",
    token_secret: Secret = "",
    data_dir: DataDir = DATA_DIR,
    server_pid: ServerPid = None,
    per_user: PerUser = 10,
    window: Window = 256,
    processes: Processes = 1,
    sources: Sources = 0,
    pin: Pin = None,
    bare: Bare = False,
    timeout: Timeout = 30.0,
    as_json: AsJson = False,
) -> None:
    """Push to single users: pushes per second, latency of the calls and to the clients, all messages counted.

    With --rate the calls are due at fixed instants, and latencies count from those, so that a slow answer does not
    hide those behind it.
    """
    from pushgate.bench.options import Calls
    from pushgate.bench.push import bench_push
    from pushgate.bench.report import progress

    common = make_common(ctx, url, api, api_key, token_secret, data_dir)
    connections = users * per_user + idle
    common = tune(common, connections, per_user, window, processes, sources, pin, server_pid, bare, timeout)
    with progress("push") as show:
        result = bench_push(common, users, Calls(callers, seconds, size, rate), idle, show)
    finish(ctx, result, as_json)


@app.command()
def reliable(
    ctx: typer.Context,
    users: Users = 100,
    callers: CallerCount = 600,
    seconds: Duration = 10.0,
    rate: Rate = 0.0,
    ack_every: AckEvery = 0.1,
    url: Url = URL,
    api: Api = API,
    api_key: ApiKey = "",
    token_secret: Secret = "",
    data_dir: DataDir = DATA_DIR,
    server_pid: ServerPid = None,
    per_user: PerUser = 10,
    window: Window = 256,
    processes: Processes = 1,
    sources: Sources = 0,
    pin: Pin = None,
    timeout: Timeout = 30.0,
    as_json: AsJson = False,
) -> None:
    """Push reliably to users whose connections are devices that acknowledge: as `push`, with an inbox between.

    Messages are as small as they can be; frame_bytes tells.
    """
    from pushgate.bench.options import Calls
    from pushgate.bench.push import bench_push
    from pushgate.bench.report import progress

    common = make_common(ctx, url, api, api_key, token_secret, data_dir)
    connections = users * per_user
    common = tune(common, connections, per_user, window, processes, sources, pin, server_pid, False, timeout, ack_every)
    with progress("reliable") as show:
        result = bench_push(common, users, Calls(callers, seconds, 0, rate), 0, show)
    finish(ctx, result, as_json)


@app.command()
def resume(
    ctx: typer.Context,
    connections: Connections,
    missed: Annotated[int, typer.Option(min=1, max=200, help="Messages that each device misses.")] = 3,
    everyone: Annotated[bool, typer.Option("--everyone", help="They are to everyone, not to each user.")] = False,
    kill: Annotated[
        list[int] | None,
        typer.Option(help="Kill -9 this process (a worker, say) for it; repeatable. Default: cut all connections."),
    ] = None,
    ack_every: AckEvery = 0.1,
    url: Url = URL,
    api: Api = API,
    api_key: ApiKey = "",
    token_secret: Secret = "",
    data_dir: DataDir = DATA_DIR,
    server_pid: ServerPid = None,
    per_user: PerUser = 1,
    window: Window = 1024,
    processes: Processes = 1,
    sources: Sources = 0,
    pin: Pin = None,
    timeout: Timeout = 30.0,
    as_json: AsJson = False,
) -> None:
    """Have devices miss messages and come back all at once: time until every one has what it missed."""
    from pushgate.bench.report import progress
    from pushgate.bench.resume import bench_resume

    common = make_common(ctx, url, api, api_key, token_secret, data_dir)
    common = tune(common, connections, per_user, window, processes, sources, pin, server_pid, False, timeout, ack_every)
    with progress("resume") as show:
        result = bench_resume(common, connections, missed, everyone, tuple(kill or ()), show)
    finish(ctx, result, as_json)


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


app.command()(crowd_commands.storm)
app.command()(crowd_commands.scale)
app.command()(bus_commands.bus)
