"""What several commands take and do."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from pushgate.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")

DATA_DIR = Path("pushgate-data")
API = "http://127.0.0.1:8001"
URL = "ws://127.0.0.1:8000/ws"

User = Annotated[str, typer.Argument(help="The user's name (uid).")]
Api = Annotated[str, typer.Option(help="The gateway's HTTP API.")]
ApiKey = Annotated[str, typer.Option(envvar="PUSHGATE_API_KEY", help="Default: the one in the data directory.")]
Ca = Annotated[
    Path | None, typer.Option(envvar="PUSHGATE_CA", help="PEM file of whom to trust. Default: the usual authorities.")
]
Cert = Annotated[
    Path | None, typer.Option(envvar="PUSHGATE_CERT", help="PEM file of this client's certificate and its key.")
]
DataDir = Annotated[Path, typer.Option(help="Where a node without configuration keeps its keys.")]
NodeDir = Annotated[Path | None, typer.Option(help="The node's data directory. Default: as the configuration says.")]
NodeFile = Annotated[
    Path | None, typer.Option(envvar="PUSHGATE_CONFIG", help="The node's configuration file. Default: none.")
]
Tags = Annotated[list[str] | None, typer.Option(help="Tags, separated by commas; repeatable.")]


def say(words: str) -> None:
    """Print words for people to standard error."""
    typer.echo(f"pushgate: {words}", err=True)


def wait_for(work: "Coroutine[Any, Any, T]") -> "T":
    """Run a coroutine to its end and return what it returns."""
    import asyncio

    return asyncio.run(work)


def read_keys(data_dir: Path) -> tuple[str, str] | None:
    """Return the API key and token secret that a node made in its data directory, or None; raises StartError."""
    from pushgate.node.data_dir import read_keys as read

    keys = read(data_dir)
    return (keys.api_key, keys.token_secret) if keys else None


def find_api_key(given: str, data_dir: Path) -> str:
    """Return the API key that was given, else the one in the data directory. Raises ConfigError where none is."""
    if given:
        return given
    keys = read_keys(data_dir)
    if keys is None:
        raise ConfigError(f"no API key: give --api-key or PUSHGATE_API_KEY, or the node's --data-dir (not {data_dir})")
    return keys[0]


def find_data_dir(given: Path | None, config: Path | None) -> Path:
    """Return the data directory that was given, else that of the node with this configuration. Raises ConfigError."""
    if given is not None:
        return given
    from pushgate.config import load

    return Path(load(config).node.data_dir)


def split_tags(tags: list[str] | None) -> list[str] | None:
    """Return the tags of an option that is repeatable and takes commas; None for none."""
    return [tag for text in tags for tag in text.split(",")] if tags else None
