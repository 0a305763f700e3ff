"""`nats.json`: what one supervisor leaves to the next about its nats-server."""

import secrets
from pathlib import Path
from typing import Literal

import msgspec

from pushgate.errors import StartError
from pushgate.node.data_dir import write_whole

Sync = Literal["always", "interval"]


class NatsState(msgspec.Struct, frozen=True):
    """Which process it is, and what becomes of what it stores.

    `start_time` (clock ticks since boot) tells the process from a later one with its pid. `clean` is true once it has
    ended by itself when it was told to. `lineage` is a text that is another one where it may have lost its last
    writes: it had not ended like that, and the machine has booted since. `joined` tells the settings of its cluster
    from others; nothing where it is alone.
    """

    pid: int
    start_time: int
    port: int
    program: str
    max_file: int
    sync: Sync = "always"
    joined: str = ""
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


def lineage_after(last: NatsState | None, boot: str) -> str:
    """Return the lineage of a server that starts in this boot where the last one, if any, ended."""
    if last is not None and last.lineage and (last.clean or last.boot == boot):
        return last.lineage
    return secrets.token_hex(4)
