"""`nats.json`: what one supervisor leaves to the next about its nats-server."""

import secrets
from contextlib import suppress
from pathlib import Path
from typing import Literal

import msgspec

from pushgate.errors import StartError
from pushgate.node.data_dir import write_whole

MOVED = "moved"
"""The file in `single/` that says that all of it is in the cluster."""

Sync = Literal["always", "interval"]


class NatsState(msgspec.Struct, frozen=True):
    """Which process it is, and what becomes of what it stores.

    `start_time` (clock ticks since boot) tells the process from a later one with its pid. `clean` is true once it has
    ended by itself when it was told to. `lineage` is a text that is another one where it may have lost its last
    writes: it had not ended like that, and the machine has booted since. `joined` tells the settings of its cluster
    from others; nothing where it is alone; `name` is its name there.
    """

    pid: int
    start_time: int
    port: int
    program: str
    max_file: int
    sync: Sync = "always"
    joined: str = ""
    name: str = ""
    boot: str = ""
    clean: bool = False
    lineage: str = ""


def recall(home: Path) -> NatsState | None:
    """Return what was remembered, or None where that is nothing to go by."""
    try:
        return msgspec.json.decode((home / "nats.json").read_bytes(), type=NatsState)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def remember(home: Path, state: NatsState) -> None:
    """Write it down, whole or not at all. Raises StartError."""
    try:
        write_whole(home / "nats.json", msgspec.json.encode(state))
    except OSError as error:
        raise StartError(f"{home / 'nats.json'} cannot be written: {error.strerror}") from None


def check_place(home: Path, name: str) -> None:
    """Have a server start only where what is stored is its own: as the member `name` of a cluster, "" for one alone.

    What a server that was alone has stored is set aside for a member. Raises StartError.
    """
    stored, last = home / "jetstream", recall(home)
    if (stored / "$SYS" / "_js_" / "_meta_").exists():
        if not name:
            raise StartError(f"{stored} is part of a cluster's data: set cluster.nodes, or another node.data_dir")
        if last is not None and last.name and last.name != name:
            raise StartError(
                f"the cluster knows the data in {stored} as node {last.name}, and this is {name}: set node.name, or see"
                " how to replace a node"
            )
    elif name and (stored / "$G").exists():
        _set_aside(home)


def _set_aside(home: Path) -> None:
    place = single_of(home) / "nats"
    if (place / "jetstream").exists():
        raise StartError(f"{place.parent} is in the way: what this node had stored once before goes there")
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        (place.parent / MOVED).unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            write_whole(place / "nats.json", (home / "nats.json").read_bytes())  # its lineage goes along
        (home / "jetstream").rename(place / "jetstream")
    except OSError as error:
        raise StartError(f"{home / 'jetstream'} cannot be set aside: {error.strerror}") from None


def single_of(home: Path) -> Path:
    """Return the data directory of what a node had stored when it was alone; `home` has its server's files."""
    return home.parent / "single"


def lineage_after(last: NatsState | None, boot: str) -> str:
    """Return the lineage of a server that starts in this boot where the last one, if any, ended."""
    if last is not None and last.lineage and (last.clean or last.boot == boot):
        return last.lineage
    return secrets.token_hex(4)
