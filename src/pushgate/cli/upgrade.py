"""`pushgate upgrade`: has a running node go on in the version, and with the settings, that are there now."""

from typing import Annotated

import typer

from pushgate.cli.common import NodeDir, NodeFile, find_data_dir, say


def upgrade(
    data_dir: NodeDir = None,
    config: NodeFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print how far it is as JSON objects, one a line.")] = False,
) -> None:
    """Upgrade the node of this machine without dropping anyone; returns when the new process has everything.

    The node starts itself anew, as it was started, from what is installed now, and hands over its sockets and every
    live session with its state. Whatever goes wrong before the first session is handed over leaves it as it was.
    Clients of its own TLS are sent away, evenly. Exits 1, with the reason, when it was not upgraded.
    """
    from msgspec import json

    from pushgate.node.commands import ask_upgrade

    last = None
    for last in ask_upgrade(find_data_dir(data_dir, config)):
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
