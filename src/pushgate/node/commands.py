"""`node.sock` in the data directory: what commands on this machine tell the supervisor, and hear of it.

A socket, because it says more than a signal (for how long?) and names nobody by a process id that may be another's by
now, or of another container. Who may enter the data directory may use it, and nobody else; the HTTP API has keys of
tenants alone, and none of them is to stop a node. Nobody listens at the socket of a node that has died. Each packet is
one JSON object; the end of the connection is the end of the supervisor.
"""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from msgspec import DecodeError, Meta, Struct, json

from pushgate.errors import StartError
from pushgate.log import get_logger
from pushgate.node.loop import Loop

NAME = "node.sock"
PATIENCE = 180.0
"""Seconds that a command waits for the supervisor to say anything: a step of an upgrade may take so long."""
_PACKET = 4096

State = Literal["draining", "drained", "ended early"]
UpgradeState = Literal["under way", "done", "failed"]

_log = get_logger("supervisor", lifecycle=True)


class StartDrain(Struct, frozen=True, tag="drain", tag_field="do"):
    """Drain the node within `over` seconds; it is answered with DrainProgress once a second until the end."""

    over: Annotated[float, Meta(ge=0, le=86400)]


class StartUpgrade(Struct, frozen=True, tag="upgrade", tag_field="do"):
    """Upgrade the node; it is answered with UpgradeProgress at each step until it is done or failed."""


class DrainProgress(Struct, frozen=True, tag="drain", tag_field="is"):
    """How far a drain is: `connections` are left of `first`, for `left` seconds of `over`."""

    state: State
    connections: int
    first: int
    left: float
    over: float


class UpgradeProgress(Struct, frozen=True, tag="upgrade", tag_field="is"):
    """How far an upgrade is: `step` is what is being done, or why it failed. `pid` is the new supervisor's, 0 before
    there is one."""

    state: UpgradeState
    step: str
    pid: int = 0


class Refusal(Struct, frozen=True, tag="refusal", tag_field="is"):
    """Why nothing is done."""

    reason: str


Progress = DrainProgress | UpgradeProgress
P = TypeVar("P", DrainProgress, UpgradeProgress)

_encode = json.Encoder().encode
_read_command = json.Decoder(StartDrain | StartUpgrade).decode
_read_answer = json.Decoder(Progress | Refusal).decode


class Commands:
    """The supervisor's end. `drain(seconds)` and `upgrade()` do what is asked; each returns why not, and otherwise
    nothing: `tell` says how far it is."""

    def __init__(
        self,
        loop: Loop,
        drain: Callable[[float], Refusal | None],
        upgrade: Callable[[], Refusal | None],
    ) -> None:
        self._loop = loop
        self._drain = drain
        self._upgrade = upgrade
        self._callers: set[socket.socket] = set()

    def open(self, data_dir: Path) -> None:
        """Begin to listen, in place of a node that was there before. Where that fails, the log says so."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.setblocking(False)
        before = os.umask(0o177)
        try:
            with _short(data_dir) as path:
                with suppress(FileNotFoundError):
                    os.unlink(path)
                listener.bind(path)
            listener.listen()
        except OSError as error:
            listener.close()
            _log.warning("commands like `pushgate drain` cannot reach this node", reason=error.strerror)
            return
        finally:
            os.umask(before)
        self._loop.watch(listener, lambda: self._accept(listener))

    def tell(self, progress: Progress) -> None:
        """Tell everybody who waits how far it is."""
        for caller in tuple(self._callers):
            self._answer(caller, progress)

    def _accept(self, listener: socket.socket) -> None:
        try:
            caller, _ = listener.accept()
        except OSError:
            return  # it went before
        caller.setblocking(False)
        self._callers.add(caller)
        self._loop.watch(caller, lambda: self._hear(caller))

    def _hear(self, caller: socket.socket) -> None:
        try:
            said = caller.recv(_PACKET)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        if not said:
            self._let_go(caller)
            return
        try:
            command = _read_command(said)
        except DecodeError as error:
            self._answer(caller, Refusal(f"this version does not know what to do: {error}"))
            return
        refusal = self._drain(command.over) if isinstance(command, StartDrain) else self._upgrade()
        if refusal is not None:
            self._answer(caller, refusal)

    def _answer(self, caller: socket.socket, answer: Progress | Refusal) -> None:
        try:
            caller.send(_encode(answer))
        except BlockingIOError:
            pass  # it does not read: the next one says more
        except OSError:
            self._let_go(caller)

    def _let_go(self, caller: socket.socket) -> None:
        if caller in self._callers:
            self._callers.discard(caller)
            self._loop.unwatch(caller)
            caller.close()


def ask_drain(data_dir: Path, over: float) -> Iterator[DrainProgress]:
    """Drain the node of a data directory within `over` seconds; yields how far it is until its supervisor has ended.

    Raises StartError when no node listens there, when it refuses, or stops saying anything.
    """
    return _ask(data_dir, StartDrain(over), DrainProgress)


def ask_upgrade(data_dir: Path) -> Iterator[UpgradeProgress]:
    """Have the node of a data directory upgraded; yields each step until it is done or failed; raises as above."""
    for progress in _ask(data_dir, StartUpgrade(), UpgradeProgress):
        yield progress
        if progress.state != "under way":
            return


def _ask(data_dir: Path, command: StartDrain | StartUpgrade, kind: type[P]) -> Iterator[P]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as caller:
        try:
            with _short(data_dir) as path:
                caller.connect(path)
        except OSError as error:
            why = error.strerror if isinstance(error, PermissionError) else "no node runs there"
            raise StartError(f"{data_dir}: {why}") from None
        caller.settimeout(PATIENCE)
        try:
            caller.send(_encode(command))
            while said := caller.recv(_PACKET):
                answer = _read_answer(said)
                if isinstance(answer, Refusal):
                    raise StartError(f"the node refuses: {answer.reason}")
                if isinstance(answer, kind):
                    yield answer
        except TimeoutError:
            raise StartError(f"the node says nothing any more: look at its log ({data_dir})") from None
        except ConnectionError:
            return  # it has ended, with something of ours unread
        except DecodeError as error:
            raise StartError(f"the node is of another version: {error}") from None


@contextmanager
def _short(data_dir: Path) -> Iterator[str]:
    """Give a path of the socket that is short enough for its address, however long the directory's is."""
    directory = os.open(data_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{NAME}"
    finally:
        os.close(directory)
