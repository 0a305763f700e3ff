"""`pushgate doctor`: what this machine can hold and why, and whether its node is well."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pushgate.cli.common import ApiKey, Ca, Cert, NodeDir, NodeFile, read_keys
from pushgate.errors import PushgateError

if TYPE_CHECKING:
    from httpx import Client

    from pushgate.config import Config
    from pushgate.doctor.finding import Finding

COLOURS = {"ok": "green", "warning": "yellow", "wrong": "red"}


def doctor(
    config: NodeFile = None,
    data_dir: NodeDir = None,
    connections: Annotated[int, typer.Option(min=1, help="Connections that the node is to hold.")] = 10_000,
    api: Annotated[str, typer.Option(help="The node's HTTP API. Default: as the configuration says.")] = "",
    api_key: ApiKey = "",
    ca: Ca = None,
    cert: Cert = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as one JSON object.")] = False,
) -> None:
    """Print how many connections this machine can hold and what bounds them, with the line that mends it.

    Where a node runs it says how that is too, with its bus, its inbox and the other nodes (which takes an API key).
    Exits 1 where something is wrong.
    """
    from pushgate.config import load
    from pushgate.doctor.examine import examine_machine, find_narrowest
    from pushgate.doctor.finding import Plan
    from pushgate.doctor.node import find_pid

    settings = load(config)
    directory = data_dir or Path(settings.node.data_dir)
    pid = find_pid(Path("/"), directory)
    with _connect(api or _api_of(settings), ca, cert) as http:
        about_node, held = _ask_node(http, directory, pid, pid > 0 or bool(api), api_key)
    plan = Plan(
        workers=settings.node.workers or len(os.sched_getaffinity(0)),
        wanted=connections,
        backlog=settings.clients.backlog,
        tls=bool(settings.clients.tls_certificate),
        pid=pid,
        held=held if pid else 0,
    )
    machine = list(examine_machine(plan, directory))
    (_print_json if as_json else _print)(find_narrowest(machine), machine, about_node)
    if any(finding.state == "wrong" for finding in (*machine, *about_node)):
        raise typer.Exit(1)


def _connect(api: str, ca: Path | None, cert: Path | None) -> "Client":
    from httpx import Client

    from pushgate.client.trust import make_trust

    return Client(base_url=api, timeout=10, verify=make_trust(ca, cert) or True)


def _ask_node(http: "Client", data_dir: Path, pid: int, expected: bool, key: str) -> "tuple[list[Finding], int]":
    """Return what there is to say of the node, and how many connections it has."""
    from pushgate.client.errors import ApiProblem, Unreachable
    from pushgate.client.status import look
    from pushgate.doctor.examine import examine_node
    from pushgate.doctor.node import explain_silence

    try:
        seen = look(http)
    except (Unreachable, ApiProblem) as error:
        return [explain_silence(data_dir, pid, expected, error)], 0
    return list(examine_node(seen, http, key or _own_key(data_dir))), int(seen.total("connections"))


def _api_of(config: "Config") -> str:
    """Return where a node with this configuration has its API."""
    management = config.management
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(management.host, management.host)  # noqa: S104
    scheme = "https" if management.tls_certificate else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{management.port}"


def _own_key(data_dir: Path) -> str:
    """Return the API key in a data directory, or an empty one where there is none that we may read."""
    try:
        keys = read_keys(data_dir)
    except PushgateError:
        return ""
    return keys[0] if keys is not None else ""


def _print_json(narrowest: "Finding | None", machine: "list[Finding]", node: "list[Finding]") -> None:
    from msgspec import json

    holds = {"connections": narrowest.connections, "narrowest": narrowest.check} if narrowest is not None else {}
    typer.echo(json.encode({**holds, "machine": machine, "node": node}))


def _print(narrowest: "Finding | None", machine: "list[Finding]", node: "list[Finding]") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # Lines that go to a file or a pipe are not folded.
    console = Console(width=None if sys.stdout.isatty() else 240, highlight=False)
    if narrowest is not None:
        console.print(f"This machine holds [bold]{narrowest.connections:,}[/] connections, by its {narrowest.check}.")
    for findings in (machine, node):
        table = Table(box=None, pad_edge=False, show_header=False)
        for finding in findings:
            holds = f"{finding.connections:,}" if finding.connections is not None else ""
            state = Text(finding.state, COLOURS[finding.state])
            table.add_row(state, finding.check, Text(holds, justify="right"), Text(finding.says))
            if finding.mend:
                table.add_row("", "", Text("mend", "dim", justify="right"), Text(finding.mend, "bold"))
        console.print()
        console.print(table)
