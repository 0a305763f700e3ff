"""What the commands of `pushgate bench` have in common: their options, and what is made of them."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from pushgate.errors import ConfigError

if TYPE_CHECKING:
    from pushgate.bench.options import Common, Result

KeyReader = Callable[[Path], tuple[str, str] | None]
"""Returns the API key and the token secret that a data directory holds. `ctx.obj` is one: this room does not
know the node's files."""

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
Bare = Annotated[
    bool,
    typer.Option(
        "--bare",
        help="Any WebSocket server: expect no welcome; {user} in --url and --api is the user, and a push is a POST of "
        "the message.",
        rich_help_panel=_HOW,
    ),
]
Timeout = Annotated[float, typer.Option(min=0.1, help="Seconds for a handshake or a call.", rich_help_panel=_HOW)]
Size = Annotated[int, typer.Option(min=1, max=65536, help="Bytes of a message's whole WebSocket frame.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the figures as one JSON object.")]
Users = Annotated[int, typer.Option(min=1, help="Users pushed to, in turn.")]
CallerCount = Annotated[int, typer.Option(min=1, help="Concurrent keep-alive HTTP callers.")]
Duration = Annotated[float, typer.Option(min=0.1, help="How long to push.")]
Rate = Annotated[float, typer.Option(min=0, help="Pushes a second at fixed instants; 0: as fast as answered.")]
AckEvery = Annotated[
    float, typer.Option(min=0, help="Seconds between a device's acknowledgements; 0: at once.", rich_help_panel=_HOW)
]
Unused = Annotated[str, typer.Option(hidden=True)]  # so that all benches take the same options
Connections = Annotated[int, typer.Argument(min=1, help="Connections to open.")]

URL = "ws://127.0.0.1:8000/ws"
API = "http://127.0.0.1:8001"
DATA_DIR = Path("pushgate-data")
PAGE = "pushgate.bench.page"
"""What the path of the page is called among what commands leave each other."""


def make_common(ctx: typer.Context, url: str, api: str, api_key: str, secret: str, data_dir: Path) -> "Common":
    """Return where the gateway is, with the keys given or those of the data directory; raises ConfigError."""
    from pushgate.bench.options import Address, Common, Target

    if not (api_key and secret):
        reader: KeyReader = ctx.obj
        keys = reader(data_dir)
        if keys is None:
            raise ConfigError(f"no keys in {data_dir}: give --api-key and --token-secret, or the node's --data-dir")
        api_key, secret = api_key or keys[0], secret or keys[1]
    return Common(Target(Address.parse(url, "ws"), Address.parse(api, "http"), api_key, secret.encode()))


def tune(
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
    ack_every: float | None = None,
) -> "Common":
    """Return `common` with how hard to try; with `ack_every` the connections are devices."""
    from dataclasses import replace

    from pushgate.bench.options import sources_for

    check_pin(pin)
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
        devices=ack_every is not None,
        ack_every=ack_every or 0.0,
    )


def parse_place(url: str) -> tuple[str, int]:
    """Return the host and port of `HOST:PORT`, or of a URL with one server; raises ConfigError for anything else."""
    try:
        parts = urlsplit(url if "//" in url else f"//{url}")
        place = parts.hostname, parts.port
    except ValueError:
        place = None, None
    if not (place[0] and place[1]):
        raise ConfigError("--listens: expected HOST:PORT, for the URL does not name one server and its port")
    return place[0], place[1]


def check_pin(pin: int | None) -> None:
    """Raise ConfigError for a CPU that is not ours to use."""
    if pin is not None and pin not in os.sched_getaffinity(0):
        raise ConfigError(f"--pin {pin}: expected one of the CPUs {sorted(os.sched_getaffinity(0))}")


def finish(ctx: typer.Context, result: "Result", as_json: bool) -> None:
    """Show a result, as a page too where one is wanted, and end the program with 1 when not all was well."""
    from pushgate.bench.report import write

    write(result, as_json)
    page: Path | None = ctx.meta.get(PAGE)
    if page is not None:
        from pushgate.bench.page import make_page

        page.write_text(make_page(result))
    if not result.ok:
        raise typer.Exit(1)
