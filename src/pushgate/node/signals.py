"""Signals to the supervisor: they come as bytes on a socket, and are handled between other events, not within them."""

import os
import signal
import socket
from collections.abc import Callable, Mapping

from pushgate.node.loop import Loop


class Signals:
    """Calls the action of each signal that arrives, from within the loop.

    Several that arrived together are handled in the order in which `actions` has them, and an action that two of them
    have is called once. A signal that whoever started us has ignored, as nohup does SIGHUP, stays ignored.
    """

    def __init__(self, loop: Loop, actions: Mapping[signal.Signals, Callable[[], object]]) -> None:
        self._actions = actions
        self._heard, self._alarm = socket.socketpair()
        for end in (self._heard, self._alarm):
            end.setblocking(False)
        signal.set_wakeup_fd(self._alarm.fileno(), warn_on_full_buffer=False)
        for number in actions:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, _wake)
        loop.watch(self._heard, self._hear)

    def _hear(self) -> None:
        try:
            numbers = set(self._heard.recv(4096))
        except BlockingIOError:
            return
        for action in dict.fromkeys(action for number, action in self._actions.items() if number in numbers):
            action()


def has_terminal() -> bool:
    """Whether this process has a terminal that would take it along when it is closed."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _wake(number: int, frame: object) -> None:
    """Take a signal, so that its number is written to the wake-up socket."""
