"""What the commands of `pushgate bench` have in common: their options, and what is made of them."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
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
ServerPid = Annotated[
    list[int] | None, typer.Option(help="Watch this process and its descendants; repeatable.", rich_help_panel=_WHERE)
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
Connections = Annotated[int, typer.Argument(min=1, help="Connections to open.")]
Size = Annotated[int, typer.Option(min=1, max=65536, help="Bytes of a message's whole WebSocket frame.")]
Users = Annotated[int, typer.Option(min=1, help="Users pushed to, in turn.")]
Idle = Annotated[int, typer.Option(min=0, help="More connections, held beside.")]
CallerCount = Annotated[int, typer.Option(min=1, help="Concurrent keep-alive HTTP callers.")]
Duration = Annotated[float, typer.Option(min=0.1, help="How long to push.")]
Rate = Annotated[float, typer.Option(min=0, help="Pushes a second at fixed instants; 0: as fast as answered.")]
AckEvery = Annotated[float, typer.Option(min=0, help="Seconds between a device's acknowledgements; 0: at once.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the figures as one JSON object.")]

URL = "ws://127.0.0.1:8000/ws"
PAGE = "pushgate.bench.page"
"""What the path of the page is called among what commands leave each other."""


@dataclass(frozen=True, slots=True)
class Flags:
    """What every bench of a gateway may be told: each field behind the first is an option of its command."""

    read_keys: KeyReader
    url: Url = URL
    api: Annotated[str, typer.Option(help="The HTTP API.", rich_help_panel=_WHERE)] = "http://127.0.0.1:8001"
    api_key: Annotated[
        str, typer.Option(envvar="PUSHGATE_API_KEY", help="Default: the data directory's.", rich_help_panel=_WHERE)
    ] = ""
    token_secret: Annotated[
        str,
        typer.Option(help="Signs the client tokens (HS256). Default: the data directory's.", rich_help_panel=_WHERE),
    ] = ""
    data_dir: Annotated[Path, typer.Option(help="Where the node keeps its keys.", rich_help_panel=_WHERE)] = Path(
        "pushgate-data"
    )
    server_pid: ServerPid = None
    per_user: Annotated[int, typer.Option(min=1, help="Connections of one user.", rich_help_panel=_HOW)] = 1
    window: Annotated[int, typer.Option(min=1, help="Handshakes in flight.", rich_help_panel=_HOW)] = 256
    processes: Annotated[
        int, typer.Option(min=1, help="Generator processes; more are used when files run out.", rich_help_panel=_HOW)
    ] = 1
    sources: Annotated[
        int,
        typer.Option(
            min=0,
            max=16_000_000,
            help="Addresses to connect from, when that is to loopback; 0: one for every 50 connections.",
            rich_help_panel=_HOW,
        ),
    ] = 0
    pin: Pin = None
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds for a handshake or a call.", rich_help_panel=_HOW)
    ] = 30.0

    def common(
        self, connections: int, *, pushes: bool = True, ack_every: float | None = None, bare: bool = False
    ) -> "Common":
        """Return where the gateway is and how hard to try, with the keys given or those of the data directory.

        A bench that does not push needs no API key; with `ack_every` the connections are devices. Raises ConfigError.
        """
        from pushgate.bench.options import Address, Common, Target
        from pushgate.bench.sources import sources_for

        check_pin(self.pin)
        api_key, secret = self.api_key, self.token_secret
        if not secret or (pushes and not api_key):
            keys = self.read_keys(self.data_dir)
            if keys is None:
                raise ConfigError(
                    f"no keys in {self.data_dir}: give --api-key and --token-secret, or the node's --data-dir"
                )
            api_key, secret = api_key or keys[0], secret or keys[1]
        return Common(
            Target(Address.parse(self.url, "ws"), Address.parse(self.api, "http"), api_key, secret.encode()),
            per_user=self.per_user,
            window=self.window,
            processes=self.processes,
            sources=self.sources or sources_for(connections),
            pin=self.pin,
            server_pids=tuple(self.server_pid or ()),
            bare=bare,
            timeout=self.timeout,
            devices=ack_every is not None,
            ack_every=ack_every or 0.0,
        )


def takes_flags(**defaults: object) -> Callable[[Callable[..., "Result"]], Callable[..., None]]:
    """Make a command of a bench: a function of Flags, of how to show progress, and of options of its own.

    The command has all these options, and shows the Result. `defaults` are those of Flags that are others here.
    """
    shared = list(signature(Flags).parameters.values())[1:]

    def decorate(bench: Callable[..., "Result"]) -> Callable[..., None]:
        @wraps(bench, assigned=("__name__", "__doc__"))
        def command(ctx: typer.Context, as_json: bool, **given: Any) -> None:
            from pushgate.bench.report import progress

            flags = Flags(ctx.obj, **{each.name: given.pop(each.name) for each in shared})
            with progress(bench.__name__) as show:
                result = bench(flags, show, **given)
            finish(ctx, result, as_json)

        kind = Parameter.POSITIONAL_OR_KEYWORD
        own = list(signature(bench).parameters.values())[2:]
        others = [each.replace(default=defaults.get(each.name, each.default)) for each in shared]
        first = Parameter("ctx", kind, annotation=typer.Context)
        last = Parameter("as_json", kind, default=False, annotation=AsJson)
        # From this typer makes the options.
        command.__signature__ = Signature([first, *own, *others, last])  # type: ignore[attr-defined]
        return command

    return decorate


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
