"""All commands in their order, and how the program ends."""

import sys

import typer

from pushgate import __version__
from pushgate.bench.commands import app as bench_app
from pushgate.cli import cluster, config, doctor, drain, events, listen, push, run, status, token, upgrade
from pushgate.cli.common import read_keys, say
from pushgate.errors import ConfigError, PushgateError

app = typer.Typer(
    name="pushgate",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A WebSocket push gateway: one HTTP call reaches every browser, tab and device of a user.",
)


@app.callback()
def _prepare(ctx: typer.Context) -> None:
    ctx.obj = read_keys


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


app.command()(run.run)
app.command()(push.push)
app.command()(listen.listen)
app.command()(token.token)
app.command()(status.status)
app.command()(events.events)
app.command()(doctor.doctor)
app.command()(drain.drain)
app.command()(upgrade.upgrade)
app.add_typer(config.app, name="config")
app.add_typer(cluster.app, name="cluster")
app.add_typer(bench_app, name="bench")


def main() -> None:
    """Run the command and exit; an error of ours is one line on standard error, and 2 when usage was wrong, else 1."""
    try:
        app(prog_name="pushgate")
    except PushgateError as error:
        say(str(error))
        sys.exit(2 if isinstance(error, ConfigError) else 1)
