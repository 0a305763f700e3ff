"""A network of its own for a process that runs tests while others do."""

import ctypes
import os
import shutil
import subprocess

NEWNET = 0x40000000


def leave_network() -> None:
    """Have this process, and all that it starts, in a network of its own that has a loopback only.

    A node that is started again has its port again: without this, another process may have been given it meanwhile.
    Only root may, and where that fails all stays as it is.
    """
    if os.geteuid() == 0 and shutil.which("ip") and ctypes.CDLL(None).unshare(NEWNET) == 0:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
