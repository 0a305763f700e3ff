"""`pushgate events`: what happened to the nodes of late."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from pushgate.cli.common import API, DATA_DIR, Api, ApiKey, Ca, Cert, DataDir, find_api_key, say

if TYPE_CHECKING:
    from pushgate.messages.nodes import NodeEvent


def events(
    api: Api = API,
    api_key: ApiKey = "",
    ca: Ca = None,
    cert: Cert = None,
    data_dir: DataDir = DATA_DIR,
    last: Annotated[int, typer.Option(min=1, help="How many, the last ones.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print each as a JSON object, a line each.")] = False,
) -> None:
    """Print the last lifecycle events of all nodes, as the one that is asked tells them; the newest comes last.

    Exits 1, and says why, when a node does not answer.
    """
    import httpx
    from msgspec import json

    from pushgate.client.nodes import ask_events
    from pushgate.client.trust import make_trust

    key = find_api_key(api_key, data_dir)
    with httpx.Client(base_url=api, timeout=10, verify=make_trust(ca, cert) or True) as http:
        told = ask_events(http, key)
    for event in told.events[-last:]:
        typer.echo(json.encode(event) if as_json else _write(event))
    if told.missing:
        say(f"no answer from {', '.join(told.missing)}")
        raise typer.Exit(1)


def _write(event: "NodeEvent") -> str:
    """Return an event as a line, its time that of this machine's zone."""
    when = datetime.fromtimestamp(event.time).strftime("%Y-%m-%d %H:%M:%S")
    facts = ", ".join(f"{name.replace('_', ' ')} {fact}" for name, fact in event.facts.items())
    return f"{when}  {event.node}  {event.level:7}  {event.event}" + (f" ({facts})" if facts else "")
