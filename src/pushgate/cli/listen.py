"""`pushgate listen`: a client in the terminal."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pushgate.cli.common import API, DATA_DIR, URL, Api, ApiKey, Ca, Cert, DataDir, User, find_api_key, say, wait_for

if TYPE_CHECKING:
    from pushgate.client.listener import Listener
    from pushgate.messages.client import Message


def listen(
    user: User,
    token: Annotated[
        str, typer.Option(envvar="PUSHGATE_TOKEN", help="A client token. Default: one from the API, when needed.")
    ] = "",
    device: Annotated[
        str | None, typer.Option(help="The name of this client: reliable messages wait for it, and are acknowledged.")
    ] = None,
    cursor_file: Annotated[
        Path | None,
        typer.Option(help="Where a --device keeps how far it came. Default: a file in $XDG_STATE_HOME/pushgate."),
    ] = None,
    count: Annotated[int, typer.Option(min=0, help="Stop after so many messages; 0: never.")] = 0,
    url: Annotated[str, typer.Option(envvar="PUSHGATE_URL", help="The WebSocket endpoint.")] = URL,
    api: Api = API,
    api_key: ApiKey = "",
    ca: Ca = None,
    cert: Cert = None,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Print what USER is pushed, one JSON object a line, until interrupted. Connects again when it has to.

    With --device it goes on where it stopped the last time: a message counts as handled once it is printed.
    """
    from pushgate.client.listener import Listener
    from pushgate.client.pusher import AsyncPusher
    from pushgate.client.trust import make_trust

    if device is None and cursor_file is not None:
        raise typer.BadParameter("--cursor-file goes with --device")
    if device is not None and cursor_file is None:
        cursor_file = _default_file(url, user, device)
    key = "" if token else find_api_key(api_key, data_dir)
    tls = make_trust(ca, cert)

    async def new_token() -> str:
        async with AsyncPusher(api, key, patience=0, tls=tls) as pusher:
            return await pusher.token(user)

    source = (lambda: token) if token else new_token
    try:
        wait_for(
            _print_messages(Listener(url, source, device=device, cursor_file=cursor_file, tls=tls, notice=say), count)
        )
    except KeyboardInterrupt:
        say("stopped")


async def _print_messages(listener: "Listener", count: int) -> None:
    """Print what comes, and acknowledge it once so many messages have come."""
    from contextlib import aclosing

    from msgspec import json

    pretty = sys.stdout.isatty()
    left = count
    async with aclosing(aiter(listener)) as messages:
        async for message in messages:
            if pretty:
                _print_message(message)
            else:
                typer.echo(json.encode(message))
            left -= 1
            if left == 0:
                await listener.acknowledge()
                return


def _default_file(url: str, user: str, device: str) -> Path:
    """Return where the cursor of a device is kept: a file of its own for each endpoint, user and device."""
    from hashlib import sha256

    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    which = sha256("\0".join((url, user, device)).encode()).hexdigest()[:16]
    return state / "pushgate" / f"cursor-{which}.json"


def _print_message(message: "Message") -> None:
    from datetime import datetime

    from rich.console import Console

    when = datetime.fromtimestamp(message.time / 1000).strftime("%H:%M:%S.%f")[:-3]
    console = Console()
    console.print(when, style="dim", end=" ", markup=False, highlight=False)
    console.print(message.event, style="bold", end=" ", markup=False, highlight=False)
    console.print_json(bytes(message.data).decode(), indent=None)
