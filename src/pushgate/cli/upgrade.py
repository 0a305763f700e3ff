"""`pushgate upgrade`: has a running node go on in the version, and with the settings, that are there now."""

from pathlib import Path
from typing import Annotated

import typer

from pushgate.cli.common import say


def upgrade(
    data_dir: Annotated[
        Path | None, typer.Option(help="The node's data directory. Default: as the configuration says.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(envvar="PUSHGATE_CONFIG", help="The node's configuration file. Default: none.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print how far it is as JSON objects, one a line.")] = False,
) -> None:
    """Upgrade the node of this machine without dropping anyone; returns when the new process has everything.

    The node starts itself anew, as it was started, from what is installed now, and hands over its sockets and every
    live session with its state. Whatever goes wrong before the first session is handed over leaves it as it was.
    Clients of its own TLS are sent away, evenly. Exits 1, with the reason, when it was not upgraded.
    """
    from msgspec import json

    from pushgate.config import load
    from pushgate.node.progress import ask_upgrade

    directory = data_dir if data_dir is not None else Path(load(config).node.data_dir)
    last = None
    for last in ask_upgrade(directory):
        if as_json:
            typer.echo(json.encode(last))
        elif last.state == "under way":
            say(last.step)
    if last is None or last.state != "done":
        if not as_json:
            say(f"not upgraded: {last.step if last is not None else 'the node said nothing'}")
        raise typer.Exit(1)
    if not as_json:
        say(f"upgraded: process {last.pid} has the node now")
