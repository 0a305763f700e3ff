"""The new supervisor, seen from the old one: its process, and the link to it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from pushgate.errors import StartError
from pushgate.node.handover.heritage import VARIABLE, Link, Message
from pushgate.node.loop import Loop

KILL = 5.0
"""Seconds that one that gave up, or does not speak any more, has to end."""


class Successor:
    """What we were started by, started again in the version that is installed now.

    `hear` is given what it says, with the descriptors that come along; `lose` is told why no more can come.
    """

    def __init__(self, loop: Loop, hear: Callable[[Message, list[int]], None], lose: Callable[[str], None]) -> None:
        self._loop = loop
        self._hear = hear
        self._lose = lose
        self._link, self._theirs = Link.open()
        self._pidfd = -1
        self.pid = 0
        """Its process id, once it was started."""

    def start(self, environ: Mapping[str, str]) -> None:
        """Start it, with our environment and these variables. Raises OSError."""
        environ = {**os.environ, **environ, VARIABLE: str(self._theirs.fileno())}
        with self._theirs:
            process = subprocess.Popen(  # noqa: S603
                [sys.executable, *sys.orig_argv[1:]], env=environ, pass_fds=(self._theirs.fileno(),)
            )
        process.returncode = 0  # its end is seen and waited for through the pidfd
        self.pid = process.pid
        self._pidfd = os.pidfd_open(process.pid)
        self._loop.watch(self._link.socket, self._receive)
        self._loop.watch(self._pidfd, self._bury)

    def send(self, message: Message, files: Sequence[int] = ()) -> None:
        """Tell it something. Raises OSError."""
        self._link.send(message, files)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it is there."""
        if self._pidfd >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    def end(self, reason: str) -> None:
        """Give it up: tell it why, and end it."""
        self._link.give_up(reason)
        self.signal(signal.SIGKILL)
        self._close_link()

    def expect_end(self) -> None:
        """It gave up, and is to end; should it not, end it."""
        self._loop.after(KILL, lambda: self.signal(signal.SIGKILL))
        self._close_link()

    def _receive(self) -> None:
        try:
            heard = self._link.receive()
        except TimeoutError:
            return
        except StartError as error:
            self._lose(str(error))
            return
        if heard is None:
            self._loop.unwatch(self._link.socket)  # it ends, and its pidfd says how
            self._loop.after(KILL, lambda: self._lose("the new one does not speak any more"))
            return
        self._hear(*heard)

    def _bury(self) -> None:
        """It has ended."""
        self._loop.unwatch(self._pidfd)
        ended = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED)
        os.close(self._pidfd)
        self._pidfd = -1
        with suppress(TimeoutError, StartError):  # its last word may be there still
            while (heard := self._link.receive()) is not None:
                self._hear(*heard)
        status = ended.si_status if ended is not None and ended.si_code == os.CLD_EXITED else None
        how = f"with status {status}" if status is not None else f"by signal {ended.si_status if ended else 0}"
        self._lose(f"the new one ended {how}; what it said is in the log")

    def _close_link(self) -> None:
        with suppress(KeyError):
            self._loop.unwatch(self._link.socket)
        self._link.close()
