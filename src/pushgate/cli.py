"""The command `pushgate`: data to standard output, words to standard error; exits 0, 1 (failed) or 2 (usage).

Each command imports what it needs when it runs, so that the command starts in a tenth of a second.
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer

from pushgate import __version__
from pushgate.bench.commands import app as bench_app
from pushgate.errors import ConfigError, PushgateError

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from pushgate.messages.client import Message

app = typer.Typer(
    name="pushgate",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A WebSocket push gateway: one HTTP call reaches every browser, tab and device of a user.",
)
app.add_typer(bench_app, name="bench")

T = TypeVar("T")

DATA_DIR = Path("pushgate-data")
API = "http://127.0.0.1:8001"
URL = "ws://127.0.0.1:8000/ws"

User = Annotated[str, typer.Argument(help="The user's name (uid).")]
Api = Annotated[str, typer.Option(help="The gateway's HTTP API.")]
ApiKey = Annotated[str, typer.Option(envvar="PUSHGATE_API_KEY", help="Default: the one in the data directory.")]
DataDir = Annotated[Path, typer.Option(help="Where a node without configuration keeps its keys.")]
Tags = Annotated[list[str] | None, typer.Option(help="Tags, separated by commas; repeatable.")]
Qos = Literal["live", "reliable"]


@app.callback()
def _prepare(ctx: typer.Context) -> None:
    ctx.obj = read_keys


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


@app.command()
def run(
    config: Annotated[
        Path | None, typer.Option(envvar="PUSHGATE_CONFIG", help="The configuration file. Default: none.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address that clients connect to.")] = None,
    port: Annotated[int | None, typer.Option(help="Port that clients connect to.")] = None,
    management_host: Annotated[str | None, typer.Option(help="Address of the HTTP API.")] = None,
    management_port: Annotated[int | None, typer.Option(help="Port of the HTTP API.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes; 0 means one a core.")] = None,
    data_dir: Annotated[str | None, typer.Option(help="Directory of keys, lock and the embedded server.")] = None,
    bus: Annotated[str | None, typer.Option(help="embedded, nats://host:port, or memory: (one worker).")] = None,
    demo: Annotated[bool | None, typer.Option("--demo/--no-demo", help="Serve the page /demo to this machine.")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
    log_style: Annotated[str | None, typer.Option(help="auto, console or json.")] = None,
) -> None:
    """Run a node until SIGTERM; SIGHUP has it read its configuration anew.

    Settings come from the file, then PUSHGATE_SECTION_KEY variables, then these options; later ones win. Without a
    file it makes keys in the data directory, serves the demo page, and prints the page to open and a line to paste.
    """
    from pushgate.config import load
    from pushgate.node.run import run as run_node

    flags: dict[str, Any] = {
        "clients.host": host,
        "clients.port": port,
        "management.host": management_host,
        "management.port": management_port,
        "management.demo": demo,
        "node.workers": workers,
        "node.data_dir": data_dir,
        "bus.url": bus,
        "log.level": log_level,
        "log.style": log_style,
    }
    if config is None and "PUSHGATE_MANAGEMENT_DEMO" not in os.environ and demo is None:
        flags["management.demo"] = True
    raise typer.Exit(run_node(lambda: load(config, flags=flags), zero_config=config is None))


@app.command()
def push(
    user: Annotated[str | None, typer.Argument(help="The user's name (uid); none with --everyone.")] = None,
    data: Annotated[str | None, typer.Argument(help="What to push: JSON if it parses, else a string.")] = None,
    everyone: Annotated[bool, typer.Option("--everyone", help="Push to all users of the tenant.")] = False,
    event: Annotated[str | None, typer.Option(help="The event's name. Default: message.")] = None,
    device: Annotated[str | None, typer.Option(help="Only to this device.")] = None,
    tags: Tags = None,
    data_base64: Annotated[str | None, typer.Option(help="Bytes to push, in base64; in place of DATA.")] = None,
    id: Annotated[str | None, typer.Option(help="The message's id. Default: made by the gateway.")] = None,
    qos: Annotated[Qos | None, typer.Option(help="How surely it arrives. Default: live.")] = None,
    ttl: Annotated[int | None, typer.Option(help="Seconds that a reliable message is kept.")] = None,
    api: Api = API,
    api_key: ApiKey = "",
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Push DATA to USER and print the gateway's answer as JSON.

    For example: pushgate push alice '{"text": "hi"}', or pushgate push --everyone hello
    """
    from msgspec import json

    from pushgate.client.pusher import Pusher

    if everyone:
        if data is not None:
            raise typer.BadParameter("--everyone takes DATA alone, without USER")
        user, data = None, user
    elif user is None:
        raise typer.BadParameter("name a USER, or --everyone")
    if (data is None) == (data_base64 is None):
        raise typer.BadParameter("give DATA or --data-base64")
    what = _parse_json(data) if data is not None else _parse_base64(data_base64 or "")
    key = _api_key(api_key, data_dir)

    async def call() -> None:
        async with Pusher(api, key) as pusher:
            answer = await pusher.push(
                what,
                user=user,
                everyone=everyone,
                event=event,
                device=device,
                tags=_split(tags),
                id=id,
                qos=qos,
                ttl=ttl,
            )
        typer.echo(json.encode(answer))

    _wait_for(call())


@app.command()
def listen(
    user: User,
    token: Annotated[
        str, typer.Option(envvar="PUSHGATE_TOKEN", help="A client token. Default: one from the API, when needed.")
    ] = "",
    device: Annotated[str | None, typer.Option(help="The name of this client, to ask for an inbox.")] = None,
    count: Annotated[int, typer.Option(min=0, help="Stop after so many messages; 0: never.")] = 0,
    url: Annotated[str, typer.Option(envvar="PUSHGATE_URL", help="The WebSocket endpoint.")] = URL,
    api: Api = API,
    api_key: ApiKey = "",
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Print what USER is pushed, one JSON object a line, until interrupted. Connects again when it has to."""
    from msgspec import json

    from pushgate.client.listener import Listener
    from pushgate.client.pusher import Pusher

    key = "" if token else _api_key(api_key, data_dir)
    pretty = sys.stdout.isatty()

    async def new_token() -> str:
        async with Pusher(api, key) as pusher:
            return await pusher.token(user)

    async def listen_on() -> None:
        source = (lambda: token) if token else new_token
        left = count
        async for message in Listener(url, source, device=device, notice=_say):
            if pretty:
                _print_message(message)
            else:
                typer.echo(json.encode(message))
            left -= 1
            if left == 0:
                return

    try:
        _wait_for(listen_on())
    except KeyboardInterrupt:
        _say("stopped")


@app.command()
def token(
    user: User,
    ttl: Annotated[int | None, typer.Option(min=1, help="Seconds until it expires. Default: the gateway's.")] = None,
    tags: Tags = None,
    api: Api = API,
    api_key: ApiKey = "",
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Print a client token for USER, made by the running gateway, which knows its tenants and their keys."""
    from pushgate.client.pusher import Pusher

    key = _api_key(api_key, data_dir)

    async def call() -> str:
        async with Pusher(api, key) as pusher:
            return await pusher.token(user, ttl=ttl, tags=_split(tags))

    typer.echo(_wait_for(call()))


def read_keys(data_dir: Path) -> tuple[str, str] | None:
    """Return the API key and token secret that a node made in its data directory, or None; raises StartError."""
    from pushgate.node.data_dir import read_keys as read

    keys = read(data_dir)
    return (keys.api_key, keys.token_secret) if keys else None


def main() -> None:
    """Run the command and exit; an error of ours is one line on standard error, and 2 when usage was wrong, else 1."""
    try:
        app(prog_name="pushgate")
    except PushgateError as error:
        _say(str(error))
        sys.exit(2 if isinstance(error, ConfigError) else 1)


def _wait_for(work: "Coroutine[Any, Any, T]") -> "T":
    import asyncio

    return asyncio.run(work)


def _api_key(given: str, data_dir: Path) -> str:
    if given:
        return given
    keys = read_keys(data_dir)
    if keys is None:
        raise ConfigError(f"no API key: give --api-key or PUSHGATE_API_KEY, or the node's --data-dir (not {data_dir})")
    return keys[0]


def _split(tags: list[str] | None) -> list[str] | None:
    return [tag for text in tags for tag in text.split(",")] if tags else None


def _parse_json(text: str) -> object:
    import json

    try:
        return json.loads(text)
    except ValueError:
        return text


def _parse_base64(text: str) -> bytes:
    from base64 import b64decode

    try:
        return b64decode(text, validate=True)
    except ValueError as error:
        raise typer.BadParameter(f"--data-base64: {error}") from None


def _say(words: str) -> None:
    typer.echo(f"pushgate: {words}", err=True)


def _print_message(message: "Message") -> None:
    from datetime import datetime

    from rich.console import Console

    when = datetime.fromtimestamp(message.time / 1000).strftime("%H:%M:%S.%f")[:-3]
    console = Console()
    console.print(when, style="dim", end=" ", markup=False, highlight=False)
    console.print(message.event, style="bold", end=" ", markup=False, highlight=False)
    console.print_json(bytes(message.data).decode(), indent=None)
