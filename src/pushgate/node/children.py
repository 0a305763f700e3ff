"""The supervisor's children: forking a worker, hearing it, and what a worker must let go of."""

import os
import signal
import socket
import sys
from collections.abc import Sequence

from pushgate.log import bind, get_logger
from pushgate.node.back_off import BackOff
from pushgate.node.control import HAND_OVER, READY, Said, hear, open_control, say
from pushgate.node.plan import WorkerPlan
from pushgate.node.reload import Settings, send_settings
from pushgate.node.worker import run_worker

_OURS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD}
_log = get_logger("supervisor", lifecycle=True)


class Child:
    """One worker's place: its process (`pid` 0 while none runs), and the control socket to it."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.pid = 0
        self.ready = False
        self.back_off = BackOff()
        self._control: socket.socket | None = None

    def fork(self, plan: WorkerPlan) -> None:
        """Start the worker; only the supervisor returns from here. Raises OSError when no process can be made."""
        ours, theirs = open_control()
        self.close_control()
        self.ready = False
        self.back_off.note_start()
        # A signal to the new process before it has handlers of its own would speak to the supervisor.
        signal.pthread_sigmask(signal.SIG_BLOCK, _OURS)
        try:
            pid = os.fork()
            if pid == 0:
                _become_worker(plan, theirs)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _OURS)
            theirs.close()
        self.pid, self._control = pid, ours

    @property
    def control(self) -> socket.socket | None:
        """Our end of the control socket, to wait on; None while no worker runs."""
        return self._control

    def hear(self) -> Said | None:
        """Return what the worker said; None at the end of it."""
        assert self._control is not None
        try:
            said = hear(self._control)
        except OSError:
            return None
        if said is not None and said.word == READY:
            self.ready = True
        return said

    def say(self, word: bytes, body: bytes = b"") -> None:
        """Say a word to the worker, if there is one."""
        if self._control is not None:
            try:
                say(self._control, word, body)
            except OSError:
                pass  # it just died, and is buried next

    def hand_over(self, body: bytes, files: Sequence[int]) -> None:
        """Give the worker channels to those that it hands its sessions over to. Raises OSError: it may have to wait."""
        if self._control is not None:
            say(self._control, HAND_OVER, body, files)

    def reload(self, settings: Settings) -> None:
        """Give the worker new settings."""
        if self._control is not None:
            try:
                send_settings(self._control, settings)
            except OSError:
                pass  # it just died; the one started in its place begins with them

    def kill(self, number: signal.Signals) -> None:
        """Send the worker a signal, if there is one."""
        if self.pid:
            os.kill(self.pid, number)

    def bury(self) -> int | None:
        """Return the exit status (negative: a signal) of a worker that ended, once; None while it runs or none did."""
        if not self.pid:
            return None
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if not pid:
            return None
        self.pid = 0
        self.ready = False
        return os.waitstatus_to_exitcode(status)

    def close_control(self) -> None:
        """Let go of the control socket."""
        if self._control is not None:
            self._control.close()
            self._control = None


def _become_worker(plan: WorkerPlan, control: socket.socket) -> None:
    """Turn this forked process into a worker; never returns."""
    status = 1
    bind(worker=plan.index)
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # what a terminal sends is the supervisor's business
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _OURS)
        own = [plan.clients, plan.management, plan.receiving, *plan.sending, control]
        if plan.predecessor is not None:
            own.append(plan.predecessor.channel)
        _close_all_but({0, 1, 2, plan.journal.file, *(sock.fileno() for sock in own)})
        status = run_worker(plan, control)
    except BaseException:
        _log.exception("the worker failed")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _close_all_but(keep: set[int]) -> None:
    """Close every other descriptor of this process: the locks and other processes' sockets above all.

    A worker that kept them would hold the data directory after the supervisor's death, or keep a dead
    worker's control socket from reaching its end.
    """
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in keep:
            try:
                os.close(int(name))
            except OSError:
                pass  # the descriptor that listed the directory
