"""`pushgate listen`: a client in the terminal."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from pushgate.cli.common import API, DATA_DIR, URL, Api, ApiKey, Ca, Cert, DataDir, User, find_api_key, say, wait_for

if TYPE_CHECKING:
    from pushgate.messages.client import Message


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
    ca: Ca = None,
    cert: Cert = None,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Print what USER is pushed, one JSON object a line, until interrupted. Connects again when it has to."""
    from msgspec import json

    from pushgate.client.listener import Listener
    from pushgate.client.pusher import Pusher
    from pushgate.client.trust import make_trust

    key = "" if token else find_api_key(api_key, data_dir)
    tls = make_trust(ca, cert)
    pretty = sys.stdout.isatty()

    async def new_token() -> str:
        async with Pusher(api, key, tls=tls) as pusher:
            return await pusher.token(user)

    async def listen_on() -> None:
        source = (lambda: token) if token else new_token
        left = count
        async for message in Listener(url, source, device=device, tls=tls, notice=say):
            if pretty:
                _print_message(message)
            else:
                typer.echo(json.encode(message))
            left -= 1
            if left == 0:
                return

    try:
        wait_for(listen_on())
    except KeyboardInterrupt:
        say("stopped")


def _print_message(message: "Message") -> None:
    from datetime import datetime

    from rich.console import Console

    when = datetime.fromtimestamp(message.time / 1000).strftime("%H:%M:%S.%f")[:-3]
    console = Console()
    console.print(when, style="dim", end=" ", markup=False, highlight=False)
    console.print(message.event, style="bold", end=" ", markup=False, highlight=False)
    console.print_json(bytes(message.data).decode(), indent=None)
