"""The command line of `pushgate bench`: options in, a Result out. Heavy imports wait until a command runs."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pushgate.errors import ConfigError

if TYPE_CHECKING:
    from pushgate.bench.options import Common, Result

KeyReader = Callable[[Path], tuple[str, str] | None]
"""Returns the API key and the token secret that a data directory holds. `ctx.obj` is one: this room does not
know the node's files."""

app = typer.Typer(
    no_args_is_help=True,
    help="""Measure a gateway: load in, figures out. It must be one that you may load: it opens as many connections
    as you say. Figures are the server's only while the generator is not the bottleneck, which it tells.""",
)

_WHERE = "Where"
_HOW = "How"

Url = Annotated[str, typer.Option(envvar="PUSHGATE_URL", help="The WebSocket endpoint.", rich_help_panel=_WHERE)]
Api = Annotated[str, typer.Option(help="The HTTP API.", rich_help_panel=_WHERE)]
ApiKey = Annotated[
    str, typer.Option(envvar="PUSHGATE_API_KEY", help="Default: the data directory's.", rich_help_panel=_WHERE)
]
Secret = Annotated[
    str, typer.Option(help="Signs the client tokens (HS256). Default: the data directory's.", rich_help_panel=_WHERE)
]
DataDir = Annotated[Path, typer.Option(help="Where the node keeps its keys.", rich_help_panel=_WHERE)]
ServerPid = Annotated[
    list[int] | None, typer.Option(help="Watch this process and its descendants; repeatable.", rich_help_panel=_WHERE)
]
PerUser = Annotated[int, typer.Option(min=1, help="Connections of one user.", rich_help_panel=_HOW)]
Window = Annotated[int, typer.Option(min=1, help="Handshakes in flight.", rich_help_panel=_HOW)]
Processes = Annotated[
    int, typer.Option(min=1, help="Generator processes; more are used when files run out.", rich_help_panel=_HOW)
]
Sources = Annotated[
    int,
    typer.Option(
        min=0,
        max=16_000_000,
        help="Addresses to connect from, when that is to loopback; 0: one for every 50 connections.",
        rich_help_panel=_HOW,
    ),
]
Pin = Annotated[int | None, typer.Option(help="The one CPU that the generator may use.", rich_help_panel=_HOW)]
Bare = Annotated[bool, typer.Option("--bare", help="Any WebSocket server: expect no welcome.", rich_help_panel=_HOW)]
Timeout = Annotated[float, typer.Option(min=0.1, help="Seconds for a handshake or a call.", rich_help_panel=_HOW)]
Size = Annotated[int, typer.Option(min=1, max=65536, help="Bytes of a message's whole WebSocket frame.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the figures as one JSON object.")]
Unused = Annotated[str, typer.Option(hidden=True)]  # so that all benches take the same options
Connections = Annotated[int, typer.Argument(min=1, help="Connections to open.")]

_URL = "ws://127.0.0.1:8000/ws"
_API = "http://127.0.0.1:8001"
_DATA_DIR = Path("pushgate-data")


@app.command()
def connect(
    ctx: typer.Context,
    connections: Connections,
    hold: Annotated[float, typer.Option(min=0, help="Seconds to hold them, answering pings.")] = 5.0,
    url: Url = _URL,
    api: Unused = _API,
    api_key: Unused = "-",
    token_secret: Secret = "",
    data_dir: DataDir = _DATA_DIR,
    server_pid: ServerPid = None,
    per_user: PerUser = 1,
    window: Window = 256,
    processes: Processes = 1,
    sources: Sources = 0,
    pin: Pin = None,
    bare: Bare = False,
    timeout: Timeout = 30.0,
    as_json: AsJson = False,
) -> None:
    """Open connections and hold them: connections per second, handshake latency, memory of the server."""
    from pushgate.bench.connect import bench_connect
    from pushgate.bench.report import progress

    common = _common(ctx, url, api, api_key, token_secret, data_dir)
    common = _tune(common, connections, per_user, window, processes, sources, pin, server_pid, bare, timeout)
    with progress("connect") as show:
        result = bench_connect(common, connections, hold, show)
    _finish(result, as_json)


@app.command()
def broadcast(
    ctx: typer.Context,
    connections: Connections,
    rounds: Annotated[int, typer.Option(min=1, help="Pushes to everyone.")] = 5,
    size: Size = 100,
    url: Url = _URL,
    api: Api = _API,
    api_key: ApiKey = "",
    token_secret: Secret = "",
    data_dir: DataDir = _DATA_DIR,
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

    common = _common(ctx, url, api, api_key, token_secret, data_dir)
    common = _tune(common, connections, per_user, window, processes, sources, pin, server_pid, False, timeout)
    with progress("broadcast") as show:
        result = bench_broadcast(common, connections, rounds, size, show)
    _finish(result, as_json)


@app.command()
def push(
    ctx: typer.Context,
    users: Annotated[int, typer.Option(min=1, help="Users pushed to, in turn.")] = 100,
    callers: Annotated[int, typer.Option(min=1, help="Concurrent keep-alive HTTP callers.")] = 600,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long to push.")] = 10.0,
    rate: Annotated[
        float, typer.Option(min=0, help="Pushes a second at fixed instants; 0: as fast as answered.")
    ] = 0.0,
    idle: Annotated[int, typer.Option(min=0, help="More connections, held beside.")] = 0,
    size: Size = 100,
    url: Url = _URL,
    api: Api = _API,
    api_key: ApiKey = "",
    token_secret: Secret = "",
    data_dir: DataDir = _DATA_DIR,
    server_pid: ServerPid = None,
    per_user: PerUser = 10,
    window: Window = 256,
    processes: Processes = 1,
    sources: Sources = 0,
    pin: Pin = None,
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

    common = _common(ctx, url, api, api_key, token_secret, data_dir)
    connections = users * per_user + idle
    common = _tune(common, connections, per_user, window, processes, sources, pin, server_pid, False, timeout)
    with progress("push") as show:
        result = bench_push(common, users, Calls(callers, seconds, size, rate), idle, show)
    _finish(result, as_json)


@app.command()
def hostile(
    rate: Annotated[float, typer.Option(min=1, help="Handshakes a second, at fixed instants.")] = 2000.0,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long.")] = 10.0,
    sources: Annotated[int, typer.Option(min=1, max=16_000_000, help="Addresses to come from.")] = 50,
    url: Url = _URL,
    pin: Pin = None,
    as_json: AsJson = False,
) -> None:
    """Knock with handshakes that lead nowhere, beside another bench: wrong tokens, garbage, half requests, GETs.

    Only a gateway on this machine is knocked at. It may refuse them: what it answered is told by kind.
    """
    from pushgate.bench.hostile import bench_hostile
    from pushgate.bench.options import Address

    _check_pin(pin)
    if pin is not None:
        os.sched_setaffinity(0, {pin})
    _finish(bench_hostile(Address.parse(url, "ws"), rate, seconds, sources), as_json)


def _common(ctx: typer.Context, url: str, api: str, api_key: str, secret: str, data_dir: Path) -> "Common":
    from pushgate.bench.options import Address, Common, Target

    if not (api_key and secret):
        reader: KeyReader = ctx.obj
        keys = reader(data_dir)
        if keys is None:
            raise ConfigError(f"no keys in {data_dir}: give --api-key and --token-secret, or the node's --data-dir")
        api_key, secret = api_key or keys[0], secret or keys[1]
    return Common(Target(Address.parse(url, "ws"), Address.parse(api, "http"), api_key, secret.encode()))


def _tune(
    common: "Common",
    connections: int,
    per_user: int,
    window: int,
    processes: int,
    sources: int,
    pin: int | None,
    server_pids: list[int] | None,
    bare: bool,
    timeout: float,
) -> "Common":
    from dataclasses import replace

    from pushgate.bench.options import sources_for

    _check_pin(pin)
    return replace(
        common,
        per_user=per_user,
        window=window,
        processes=processes,
        sources=sources or sources_for(connections),
        pin=pin,
        server_pids=tuple(server_pids or ()),
        bare=bare,
        timeout=timeout,
    )


def _check_pin(pin: int | None) -> None:
    if pin is not None and pin not in os.sched_getaffinity(0):
        raise ConfigError(f"--pin {pin}: expected one of the CPUs {sorted(os.sched_getaffinity(0))}")


def _finish(result: "Result", as_json: bool) -> None:
    from pushgate.bench.report import write

    write(result, as_json)
    if not result.ok:
        raise typer.Exit(1)
