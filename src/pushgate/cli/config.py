"""`pushgate config show|check`: what a node would start with, and whether it would."""

from pathlib import Path
from typing import Annotated

import typer

from pushgate.cli.common import say
from pushgate.errors import PushgateError

app = typer.Typer(no_args_is_help=True, help="Show the configuration that a node would start with, or check it.")

File = Annotated[
    Path | None, typer.Option("--config", envvar="PUSHGATE_CONFIG", help="The configuration file. Default: none.")
]


@app.command()
def show(
    file: File = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Print every setting, and whether it comes from the file, the environment or the defaults. Secrets are hidden."""
    from msgspec import json

    from pushgate.config import load_with_origins
    from pushgate.config.showing import show as show_config
    from pushgate.config.showing import write_toml

    shown = show_config(load_with_origins(file))
    typer.echo(json.encode(shown) if as_json else write_toml(shown).lstrip())


@app.command()
def check(file: File = None) -> None:
    """Check what a start would check, without starting: file, environment, keys and bus.

    Prints `ok`, or what is wrong and exits 2. Ports and the data directory are not tried: a node may be using them.
    """
    from msgspec import structs

    from pushgate.config import TenantConfig, load
    from pushgate.node.check import check_config

    try:
        config = load(file)
        if file is None:  # then a node makes its tenant and its keys by itself
            config = structs.replace(config, tenants={"default": TenantConfig()})
        checked = check_config(config)
    except PushgateError as error:
        say(str(error))
        raise typer.Exit(2) from None
    for warning in checked.warnings:
        say(f"warning: {warning}")
    typer.echo("ok")
