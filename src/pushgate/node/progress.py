"""`upgrade.json` in the data directory: how the last upgrade goes, or went, for whoever waits for it."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from pushgate.errors import StartError
from pushgate.log import get_logger
from pushgate.node.data_dir import write_whole
from pushgate.node.nats_probe import holders

FILE = "upgrade.json"
PATIENCE = 180.0
"""Seconds that a step of an upgrade may take."""
LOOK = 0.05
"""Seconds between two looks at how far it is."""

State = Literal["under way", "done", "failed"]
_log = get_logger("supervisor")


class Progress(msgspec.Struct, frozen=True):
    """One upgrade; `number` counts those of the data directory.

    `step` is what is being done, or why it failed. `pid` is the new supervisor's, 0 before there is one.
    """

    number: int
    state: State
    step: str
    pid: int = 0


def read_progress(data_dir: Path) -> Progress | None:
    """Return how the last upgrade goes, None where there was none."""
    try:
        return msgspec.json.decode((data_dir / FILE).read_bytes(), type=Progress)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def ask_upgrade(data_dir: Path) -> Iterator[Progress]:
    """Have the node of a data directory upgraded; yields each step until it is done or failed.

    Raises StartError when no node runs there, or it says nothing for PATIENCE seconds.
    """
    before = read_progress(data_dir)
    pid = _node_of(data_dir)
    try:
        os.kill(pid, signal.SIGUSR2)
    except OSError as error:
        raise StartError(f"the node, pid {pid}, cannot be told: {error.strerror}") from None
    told, deadline = before, time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        now = read_progress(data_dir)
        if now is not None and now != told and (before is None or now.number > before.number):
            told, deadline = now, time.monotonic() + PATIENCE
            yield now
            if now.state != "under way":
                return
        time.sleep(LOOK)
    raise StartError(f"the node, pid {pid}, says nothing of an upgrade any more: look at its log")


def _node_of(data_dir: Path) -> int:
    """Return the process that has a data directory: the one that is written down, if it holds the lock."""
    lock = data_dir / "node.lock"
    try:
        pid = int(lock.read_text())
        if pid in holders(lock):
            return pid
    except (OSError, ValueError):
        pass
    raise StartError(f"{data_dir}: no node runs there, or it is another user's")


class Report:
    """Tells how one upgrade goes: to the log, and to whoever waits for it."""

    def __init__(self, data_dir: Path) -> None:
        last = read_progress(data_dir)
        self._data_dir = data_dir
        self._number = last.number + 1 if last is not None else 1
        self.pid = 0
        """The new supervisor's process id, once there is one."""

    def note(self, step: str) -> None:
        """The upgrade is that far."""
        _log.info("upgrading", step=step, new=self.pid)
        self._write("under way", step)

    def succeed(self) -> None:
        """The new one has everything."""
        _log.info("upgraded: the new one has everything", new=self.pid)
        self._write("done", "done")

    def fail(self, reason: str) -> None:
        """The upgrade is over, and the node goes on as it was."""
        _log.error("not upgraded", reason=reason, new=self.pid)
        self._write("failed", reason)

    def _write(self, state: State, step: str) -> None:
        try:
            write_whole(self._data_dir / FILE, msgspec.json.encode(Progress(self._number, state, step, self.pid)))
        except OSError as error:  # nobody but who waits needs it
            _log.warning("the progress of the upgrade cannot be written down", reason=error.strerror)
