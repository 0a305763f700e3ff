"""`pushgate run`: a node, until SIGTERM."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer


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
    cluster: Annotated[
        str | None, typer.Option(help="All nodes of the cluster, this one too: host[:port],…, the same list on each.")
    ] = None,
    cluster_listen: Annotated[str | None, typer.Option(help="Where the other nodes' servers connect to.")] = None,
    demo: Annotated[bool | None, typer.Option("--demo/--no-demo", help="Serve the page /demo to this machine.")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
    log_style: Annotated[str | None, typer.Option(help="auto, console or json.")] = None,
) -> None:
    """Run a node until SIGTERM; SIGHUP has it read its configuration anew.

    Settings come from the file, then PUSHGATE_SECTION_KEY variables, then these options; later ones win. Without a
    file it makes keys in the data directory, serves the demo page, and prints the page to open and a line to paste.
    With --cluster the secret that nodes show each other comes from the file or PUSHGATE_CLUSTER_SECRET.
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
        "cluster.nodes": cluster.split(",") if cluster is not None else None,
        "cluster.listen": cluster_listen,
        "log.level": log_level,
        "log.style": log_style,
    }
    if config is None and "PUSHGATE_MANAGEMENT_DEMO" not in os.environ and demo is None:
        flags["management.demo"] = True
    raise typer.Exit(run_node(lambda: load(config, flags=flags), zero_config=config is None))
