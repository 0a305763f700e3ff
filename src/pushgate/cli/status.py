"""`pushgate status`: how the nodes are, and one of them more closely."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from pushgate.cli.common import API, DATA_DIR, Api, ApiKey, Ca, Cert, DataDir, read_keys, say
from pushgate.errors import PushgateError

if TYPE_CHECKING:
    from httpx import Client

    from pushgate.client.status import Status
    from pushgate.messages.nodes import Nodes

    Show = Callable[[Status, Nodes | None], None]

PAUSE = 1.0
"""Seconds between the two looks that rates are made of."""


def status(
    api: Api = API,
    api_key: ApiKey = "",
    ca: Ca = None,
    cert: Cert = None,
    data_dir: DataDir = DATA_DIR,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as one JSON object.")] = False,
    watch: Annotated[float | None, typer.Option(min=0.1, help="Look again every so many seconds, for ever.")] = None,
) -> None:
    """Print how all nodes are, as the one that is asked tells it, and that one's workers, rates, memory and bus.

    Without a key it is the one node alone. In the table `in/s` are pushes and `out/s` messages, a second; `bus` and
    `inbox` are how many of a node's workers have them.

    Exits 1, and says why, when a node does not answer, or should get no traffic.
    """
    import httpx

    from pushgate.client.status import compare, look
    from pushgate.client.trust import make_trust

    keys = None if api_key else read_keys(data_dir)
    key = keys[0] if keys else api_key
    with httpx.Client(base_url=api, timeout=10, verify=make_trust(ca, cert) or True) as http:
        if watch is not None:
            with suppress(KeyboardInterrupt):
                _watch(http, key, watch, _print_json if as_json else _refresh)
            return
        before = look(http)
        time.sleep(PAUSE)
        now = compare(before, look(http))
        nodes = _ask(http, key)
    (_print_json if as_json else _print)(now, nodes)
    troubles = _find_troubles(now, nodes)
    for trouble in troubles:
        say(trouble)
    if troubles or (key and nodes is None):
        raise typer.Exit(1)


def _ask(http: "Client", key: str) -> "Nodes | None":
    """Return all nodes, or None without a key; why they do not come is said."""
    from pushgate.client.nodes import ask_nodes

    if not key:
        return None
    try:
        return ask_nodes(http, key)
    except PushgateError as error:
        say(f"the nodes are not known: {error}")
        return None


def _find_troubles(now: "Status", nodes: "Nodes | None") -> list[str]:
    """Return what keeps nodes from getting traffic, the asked one first."""
    troubles = [f"not ready: {now.not_ready}"] if now.not_ready else []
    if nodes is not None:
        for node in nodes.nodes:
            if not node.ready and not (troubles and node.node == now.node):
                troubles.append(f"{node.node} is not ready: {', '.join(node.not_ready or ['it does not say why'])}")
        troubles += [f"no answer from {', '.join(nodes.missing)}"] if nodes.missing else []
    return troubles


def _watch(http: "Client", key: str, seconds: float, show: "Show") -> None:
    from pushgate.client.status import compare, look

    before = None
    while True:
        try:
            after = look(http)
        except PushgateError as error:
            say(str(error))
            after = None
        if before is not None and after is not None:
            show(compare(before, after), _ask(http, key))
        before = after
        time.sleep(seconds)


def _print_json(now: "Status", nodes: "Nodes | None") -> None:
    from msgspec import json, structs

    typer.echo(json.encode({**structs.asdict(now), "cluster": nodes}))


def _print(now: "Status", nodes: "Nodes | None") -> None:
    from pushgate.cli.status_tables import print_tables

    print_tables(now, nodes)


def _refresh(now: "Status", nodes: "Nodes | None") -> None:
    from pushgate.cli.status_tables import clear

    clear()
    _print(now, nodes)
