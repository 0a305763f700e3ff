"""What the system says of a nats-server: whether it answers, whether a port is free, which process is which, and which
boot of the machine this is."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

HOST = "127.0.0.1"
PATIENCE = 0.25
"""Seconds for each step of asking a server."""


def answers(port: int, user: str, password: str) -> bool:
    """Whether a NATS server on this machine's port takes the credential; takes a second at most."""
    return next(_answers_to(b"", port, user, password), b"").startswith(b"PONG")


def ailment(port: int, user: str, password: str) -> str:
    """Return what a NATS server says is wrong with it, asked by a user of its system account.

    Nothing where it is well, or does not say: a server that is gone, or stands still, is for others to notice. Takes a
    second at most.
    """
    question = b"SUB health 1\r\nPUB $SYS.REQ.SERVER.PING.HEALTHZ health 0\r\n\r\n"
    for line in _answers_to(question, port, user, password):
        try:
            health = json.loads(line)["data"]
            return "" if health["status_code"] == 200 else str(health.get("error") or health["status"])
        except (ValueError, TypeError, KeyError):
            continue  # it is between the lines of the protocol
    return ""


def _answers_to(commands: bytes, port: int, user: str, password: str) -> Iterator[bytes]:
    """Connect, hand in commands and a PING, and return the lines that come, until nothing does for a while."""
    hello = json.dumps({"user": user, "pass": password, "verbose": False, "protocol": 1})
    try:
        with (
            socket.create_connection((HOST, port), PATIENCE) as connection,
            connection.makefile("rb") as lines,
        ):
            if not lines.readline(65536).startswith(b"INFO "):
                return
            connection.sendall(f"CONNECT {hello}\r\n".encode() + commands + b"PING\r\n")
            while line := lines.readline(65536):
                yield line
    except OSError:
        return


def announced_port(ports: Path, pid: int) -> int | None:
    """Return the port that a server says it listens on; it writes the file when it does, and not atomically."""
    try:
        (file,) = ports.glob(f"*_{pid}.ports")
        (url,) = json.loads(file.read_bytes())["nats"]
        return int(url.rpartition(":")[2])
    except (OSError, ValueError, KeyError):
        return None


def is_free(port: int) -> bool:
    """Whether a server could listen on this machine's port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Go does
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def start_time(pid: int) -> int | None:
    """Return when a process began, in clock ticks since boot, or None when there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[19])  # its name, in the brackets before, may hold anything


def boot_id() -> str:
    """Return what tells this boot of the machine from every other."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def holders(file: Path) -> list[int]:
    """Return the processes, of those that we may look into, that have a file open."""
    found = []
    wanted = file.stat()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            for descriptor in os.listdir(f"/proc/{pid}/fd"):
                if _is_at(f"/proc/{pid}/fd/{descriptor}", wanted):
                    found.append(int(pid))
                    break
    return found


def _is_at(path: str, wanted: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(path), wanted)
    except OSError:
        return False
