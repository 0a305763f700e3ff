"""A network of its own for a process that runs tests while others do."""

import ctypes
import os
import shutil
import subprocess

NEWNET = 0x40000000
_machine = -1  # the descriptor of the network that was left


def leave_network() -> None:
    """Have this process, and all that it starts, in a network of its own that has a loopback only.

    A node that is started again has its port again: without this, another process may have been given it meanwhile.
    Only root may, and where that fails all stays as it is.
    """
    global _machine
    if os.geteuid() == 0 and shutil.which("ip") and shutil.which("nsenter"):
        machine = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        if ctypes.CDLL(None).unshare(NEWNET) == 0:
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
            _machine = machine
        else:
            os.close(machine)


def outside() -> list[str]:
    """Return what the command line begins with of who needs the machine's network, which this process may have left."""
    return ["nsenter", f"--net=/proc/{os.getpid()}/fd/{_machine}"] if _machine >= 0 else []
