"""How far a device's client has come, kept in a file."""

import os
from pathlib import Path

from msgspec import DecodeError, Struct, json

from pushgate.errors import ConfigError


class Place(Struct, frozen=True):
    """Everything up to `cursor`, of the logs of this `epoch`, was handled."""

    cursor: int
    epoch: str


def read_place(file: Path) -> Place | None:
    """Return what a file says, None where there is none. Raises ConfigError for one that is no such file."""
    try:
        return json.decode(file.read_bytes(), type=Place)
    except FileNotFoundError:
        return None
    except (OSError, DecodeError) as error:  # a ValidationError is a DecodeError
        raise ConfigError(f"{file}: expected a cursor file as `listen` writes it: {error}") from None


def write_place(file: Path, place: Place) -> None:
    """Write a file whole: a reader finds this place or the one before, after a crash too.

    Raises ConfigError when it cannot be written.
    """
    draft = file.with_name(f"{file.name}.new")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with draft.open("wb") as stream:
            stream.write(json.encode(place))
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(file)
    except OSError as error:
        raise ConfigError(f"{file}: the cursor cannot be kept there: {error.strerror}") from None
