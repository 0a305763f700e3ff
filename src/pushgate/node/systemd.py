"""Telling systemd how the node is, as sd_notify does: datagrams of NAME=value lines on the socket in NOTIFY_SOCKET."""

import os
import socket
import time
from collections.abc import MutableMapping

from pushgate.log import get_logger

PATIENCE = 1.0
"""Seconds to wait for room in the socket."""
START = 60
"""Seconds that a node that is well asks for while it starts, with each report: it may wait for others for long."""
REPORT = 10.0
"""Seconds between two reports where no watchdog asks for them more often."""

_log = get_logger("supervisor", lifecycle=True)


class Systemd:
    """The service manager that started this process; where none did, every method does nothing.

    It takes what concerns it out of the environment: a child that spoke to the same socket would speak for the node.
    """

    def __init__(self, environ: MutableMapping[str, str] = os.environ) -> None:
        address = environ.pop("NOTIFY_SOCKET", "")
        microseconds = environ.pop("WATCHDOG_USEC", "")
        pid = environ.pop("WATCHDOG_PID", "")
        self._given = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": microseconds}
        self._address = ""
        self._ready = False
        self._status = ""
        if address[:1] in ("/", "@"):
            self._address = "\0" + address[1:] if address.startswith("@") else address
        elif address:
            _log.warning("NOTIFY_SOCKET is not a socket that can be used", expected="a path, or @ and a name")
        self._watched = microseconds.isdecimal() and int(microseconds) > 0 and pid in ("", str(os.getpid()))
        self.interval = int(microseconds) / 4e6 if self._watched else REPORT
        """Seconds between two reports: a quarter of what the watchdog allows, where there is one."""

    @property
    def environ(self) -> dict[str, str]:
        """What was taken out of the environment, for a process that is to take this one's place."""
        return {name: value for name, value in self._given.items() if value}

    def hand_over(self, pid: int) -> None:
        """Another process speaks for the node from now on."""
        self._send(f"MAINPID={pid}")

    @property
    def present(self) -> bool:
        """Whether there is anybody to tell."""
        return bool(self._address)

    def ready(self) -> None:
        """The node serves."""
        self._ready = True
        self._send("READY=1")

    def reloading(self) -> None:
        """The node reads its configuration anew; `reloaded` follows, whatever comes of it."""
        if self._ready:
            self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def reloaded(self) -> None:
        """The node is done with that."""
        if self._ready:
            self._send("READY=1")

    def stopping(self) -> None:
        """The node stops."""
        self._send("STOPPING=1")

    def report(self, well: bool, status: str) -> None:
        """Say a line about the node, and unless it is not `well` keep its watchdog from biting."""
        lines = ["WATCHDOG=1"] if well and self._watched else []
        if well and not self._ready:
            lines.append(f"EXTEND_TIMEOUT_USEC={START * 1_000_000}")
        if status != self._status:
            lines.append(f"STATUS={status}")
            self._status = status
        if lines:
            self._send("\n".join(lines))

    def _send(self, text: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(PATIENCE)
            try:
                sender.sendto(text.encode(), self._address)
            except OSError as error:
                _log.warning("systemd cannot be told", reason=str(error))
