"""`pushgate cluster show|remove`: the embedded servers of a cluster, asked on the machine of one of its nodes."""

from typing import Annotated

import typer

from pushgate.cli.common import DATA_DIR, DataDir, say, wait_for

app = typer.Typer(no_args_is_help=True, help="Show the servers of a cluster, or remove one for good.")


@app.command()
def show(
    data_dir: DataDir = DATA_DIR,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Print the servers that count for the quorum, as their leader knows them. Exits 1 unless all are up to date.

    It asks the nats-server of the node on this machine that has this data directory.
    """
    from msgspec import json

    from pushgate.log import set_up
    from pushgate.node.embedded.members import list_servers

    set_up("error", "auto")
    servers = wait_for(list_servers(data_dir))
    if as_json:
        typer.echo(json.encode({"servers": servers}))
    else:
        from rich.console import Console
        from rich.table import Table

        table = Table("node", "state", "last heard", "behind", box=None, pad_edge=False, header_style="dim")
        for server in servers:
            state = "leads" if server.leader else "current" if server.current else "catches up"
            heard = "" if server.leader else f"{server.silent:,.1f} s ago"
            table.add_row(server.node, state if server.online else "[red]away[/]", heard, f"{server.behind:,}")
        Console(highlight=False).print(table)
    raise typer.Exit(0 if all(server.online and server.current for server in servers) else 1)


@app.command()
def remove(
    node: Annotated[str, typer.Argument(help="The name of the node (or the id shown for it).")],
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Have the server of a node that will not come back count no more; the others give copies to a new one.

    Not for a node that comes back under its name, with or without its disk: that one only has to be started.
    """
    from pushgate.log import set_up
    from pushgate.node.embedded.members import remove_server

    set_up("error", "auto")
    wait_for(remove_server(data_dir, node))
    say(f"{node} is removed")
