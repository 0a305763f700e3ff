"""The data directory: whose it is, the keys made in it, and writing files there that are whole or absent.

    node.lock     held by the supervisor for as long as it lives; holds its pid, for people
    keys.json     the generated API key and token secret (0600)
    nats/         the embedded server's: see embedded.server

flock belongs to the open file, not to the process: a forked worker that kept a copy of a lock's descriptor
would keep the lock after the supervisor's death. So workers close every descriptor
that is not theirs (`node.children`).
"""

import errno
import fcntl
import os
import secrets
from pathlib import Path
from typing import Annotated, Self

import msgspec

from pushgate.errors import StartError

Text = Annotated[str, msgspec.Meta(min_length=16)]


class GeneratedKeys(msgspec.Struct, frozen=True):
    """What a node needs to be used at once without configuration: an API key, and a secret to sign tokens with."""

    api_key: Text
    token_secret: Text

    def __repr__(self) -> str:
        return "GeneratedKeys(…)"


class DataDir:
    """An opened data directory: this process alone uses it until `close`, or its death."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self.nats = path / "nats"
        self._lock = lock

    @classmethod
    def open(cls, path: Path) -> Self:
        """Create the directory (0700) where there is none, and lock it.

        Raises StartError when another pushgate has it, naming its pid, or when it cannot be used, naming why.
        """
        path = path.absolute()
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = take_lock(path / "node.lock")
        except OSError as error:
            raise _unusable(path, error) from None
        if lock is None:
            raise StartError(f"{path} is used by another pushgate, pid {_written_pid(path / 'node.lock')}")
        directory = cls(path, lock)
        try:
            directory.sign()
            directory.nats.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            os.close(lock)
            raise _unusable(path, error) from None
        return directory

    @classmethod
    def inherit(cls, path: Path, lock: int) -> Self:
        """Take over a directory from the process that has it, with the descriptor of its lock."""
        return cls(path.absolute(), lock)

    @property
    def lock(self) -> int:
        """The descriptor that holds the directory's lock, for a process that is to take it over."""
        return self._lock

    def sign(self) -> None:
        """Write down, for people, that this process has the directory. Raises OSError."""
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)

    def generated_keys(self) -> GeneratedKeys:
        """Return the node's own keys, made on the first call ever. Raises StartError when they cannot be read."""
        found = read_keys(self.path)
        if found is not None:
            return found
        keys = GeneratedKeys("pg_" + secrets.token_urlsafe(32), secrets.token_urlsafe(48))
        try:
            write_whole(self.path / "keys.json", msgspec.json.format(msgspec.json.encode(keys)) + b"\n")
        except OSError as error:
            raise _unusable(self.path, error) from None
        return keys

    def close(self) -> None:
        """Give the directory free; it may be called again."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def read_keys(path: Path) -> GeneratedKeys | None:
    """Return the keys in a data directory, which a running node may have, or None where none were made yet.

    Raises StartError when there are some that cannot be read.
    """
    file = path / "keys.json"
    try:
        return msgspec.json.decode(file.read_bytes(), type=GeneratedKeys)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StartError(f"{file} cannot be read: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StartError(
            f"{file} is damaged: {error}; bring it back, or remove it to get new keys (tokens and callers need them)"
        ) from None


def take_lock(file: Path) -> int | None:
    """Return a descriptor that holds the file's lock (closed on exec), or None while another one does.

    Raises OSError when the file cannot be made or opened.
    """
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def write_whole(file: Path, content: bytes) -> None:
    """Write a file (0600) that is the old one or the new one after any crash, of the machine too. Raises OSError."""
    draft = file.with_name(f".{file.name}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(descriptor)
    draft.replace(file)
    directory = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _written_pid(file: Path) -> str:
    try:
        return file.read_text().strip() or "unknown"
    except (OSError, UnicodeDecodeError):
        return "unknown"


def _unusable(path: Path, error: OSError) -> StartError:
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return StartError(f"data directory {path}: {error.filename or path} is in the way: not a directory")
    at = f" ({error.filename})" if error.filename and Path(error.filename) != path else ""
    return StartError(f"data directory {path} cannot be used: {error.strerror}{at}")
