"""The command line of the benches for crowds: `storm` and `scale`."""

from typing import Annotated

import typer

from pushgate.bench.flags import (
    API,
    DATA_DIR,
    URL,
    Api,
    ApiKey,
    AsJson,
    CallerCount,
    Connections,
    DataDir,
    PerUser,
    Pin,
    Processes,
    Secret,
    ServerPid,
    Size,
    Sources,
    Timeout,
    Unused,
    Url,
    Window,
    finish,
    make_common,
    tune,
)


def storm(
    ctx: typer.Context,
    connections: Connections,
    url: Url = URL,
    api: Unused = API,
    api_key: Unused = "-",
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
    """Lose all connections at once and have them come back: time until the last one is there again."""
    from pushgate.bench.report import progress
    from pushgate.bench.storm import bench_storm

    common = make_common(ctx, url, api, api_key, token_secret, data_dir)
    common = tune(common, connections, per_user, window, processes, sources, pin, server_pid, False, timeout)
    with progress("storm") as show:
        result = bench_storm(common, connections, show)
    finish(ctx, result, as_json)


def scale(
    ctx: typer.Context,
    connections: Connections,
    callers: CallerCount = 600,
    seconds: Annotated[float, typer.Option(min=0, help="How long to push to single users; 0: not.")] = 30.0,
    spread: Annotated[float, typer.Option(min=0, help="One push to everyone is spread over so long; 0: none.")] = 10.0,
    hold: Annotated[float, typer.Option(min=0, help="How long to do nothing but answer pings; 0: not.")] = 50.0,
    upgrade: Annotated[bool, typer.Option("--upgrade", help="Have the node of --data-dir hand over, too.")] = False,
    size: Size = 100,
    url: Url = URL,
    api: Api = API,
    api_key: ApiKey = "",
    token_secret: Secret = "",
    data_dir: DataDir = DATA_DIR,
    server_pid: ServerPid = None,
    per_user: PerUser = 10,
    window: Window = 512,
    processes: Processes = 1,
    sources: Sources = 0,
    pin: Pin = None,
    timeout: Timeout = 30.0,
    as_json: AsJson = False,
) -> None:
    """Open connections once, and do everything with them: connect, broadcast, spread, push, heartbeats, upgrade.

    For crowds that take minutes to open. Memory of the machine and of both sides is told, too.
    """
    from pushgate.bench.options import Calls
    from pushgate.bench.report import progress
    from pushgate.bench.scale import bench_scale

    common = make_common(ctx, url, api, api_key, token_secret, data_dir)
    common = tune(common, connections, per_user, window, processes, sources, pin, server_pid, False, timeout)
    calls = Calls(callers, seconds, size)
    with progress("scale") as show:
        result = bench_scale(common, connections, calls, spread, hold, data_dir if upgrade else None, show)
    finish(ctx, result, as_json)
