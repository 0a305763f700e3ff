"""The command line of `pushgate bench bus`."""

from typing import Annotated

import typer

from pushgate.bench.flags import AsJson, CallerCount, ServerPid, finish, parse_place
from pushgate.errors import ConfigError


def bus(
    ctx: typer.Context,
    url: Annotated[str, typer.Argument(help="As in the setting bus.url; the broker must be one that you may load.")],
    callers: CallerCount = 600,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long to publish, in each part.")] = 5.0,
    size: Annotated[int, typer.Option(min=17, max=65536, help="Bytes of a message on the bus.")] = 200,
    rate: Annotated[
        list[int] | None, typer.Option(min=1, help="Messages a second to measure latency at; repeatable.")
    ] = None,
    server_pid: ServerPid = None,
    kill: Annotated[int | None, typer.Option(help="Kill -9 this process, the broker's, in the end.")] = None,
    restart: Annotated[str, typer.Option(help="The shell command that then starts it again; it goes on running.")] = "",
    listens: Annotated[str, typer.Option(help="HOST:PORT where it listens then. Default: the URL's server.")] = "",
    as_json: AsJson = False,
) -> None:
    """Measure a broker as the bus, from one process to another: messages a second as concurrent callers publish them,
    latency at 200 and 1,000 a second, CPU a message; and with --kill what is lost and how soon it is back.
    """
    from pushgate.bench.bus import Load, Outage, bench_bus
    from pushgate.log import set_up

    set_up("info", "auto")
    if (kill is None) != (not restart):
        raise ConfigError("--kill and --restart: expected both or neither")
    outage = None if kill is None else Outage(kill, restart, parse_place(listens or url.rpartition("@")[2]))
    load = Load(callers, seconds, size, tuple(rate or (200, 1000)))
    finish(ctx, bench_bus(url, load, outage, tuple(server_pid or ())), as_json)
