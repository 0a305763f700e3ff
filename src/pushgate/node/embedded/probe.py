"""What the system says of a nats-server: whether it answers, whether a port is free, which process is which, and which
boot of the machine this is."""

import json
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

HOST = "127.0.0.1"
PATIENCE = 0.25
"""Seconds for each step of asking a server."""
HEALED_BY_A_START = ("write error", "apply error", "not running", "not enabled", "could not be recovered")
"""What a server in a cluster says of itself when it will not come right by itself."""


def answers(port: int, user: str, password: str) -> bool:
    """Whether a NATS server on this machine's port takes the credential; takes a second at most."""
    return next(_answers_to(lambda _: b"", port, user, password), b"").startswith(b"PONG")


class Health(NamedTuple):
    """How a server is. `ailment` is what only another start heals, nothing where it is well. `peers` are the names of
    the servers that it has a route to, and `leader` who leads JetStream in its cluster: nobody without a quorum.
    `stored` are the bytes that it has stored, and `max_stored` how many it may have; 0 where it does not say."""

    ailment: str = ""
    peers: frozenset[str] = frozenset()
    leader: str = ""
    stored: int = 0
    max_stored: int = 0


def examine(port: int, user: str, password: str) -> Health:
    """Ask a NATS server how it is, as a user of its system account.

    One that is gone, or stands still, is for others to notice, and well here. Takes a second at most.
    """
    health, routes, jetstream = _ask_about(("HEALTHZ", "ROUTEZ", "JSZ"), port, user, password)
    meta = jetstream.get("meta_cluster") or {}
    wrong = "" if health.get("status_code", 200) == 200 else str(health.get("error") or health.get("status"))
    if meta and not any(cause in wrong for cause in HEALED_BY_A_START):
        wrong = ""  # without a quorum, or not up to date yet: what passes by itself
    peers = frozenset(str(route["remote_name"]) for route in routes.get("routes") or ())
    whole = 2 * (len(peers) + 1) > meta.get("cluster_size", 0)
    # a server that is cut off takes the last leader for one, for ten seconds and more
    leader = str(meta.get("leader", "")) if whole else ""
    limit = int((jetstream.get("config") or {}).get("max_storage", 0))
    return Health(wrong, peers, leader, int(jetstream.get("storage", 0)), limit)


def _ask_about(topics: Sequence[str], port: int, user: str, password: str) -> list[dict[str, Any]]:
    """Return what a server says about each topic, an empty one where it says nothing."""
    said: dict[str, dict[str, Any]] = {}

    def ask(server: str) -> bytes:
        asked = "".join(f"PUB $SYS.REQ.SERVER.{server}.{topic} said.{topic} 0\r\n\r\n" for topic in topics)
        return f"SUB said.* 1\r\n{asked}".encode()

    topic = ""
    for line in _answers_to(ask, port, user, password):
        if line.startswith(b"MSG said."):
            topic = line.split()[1].decode().removeprefix("said.")
        elif topic:
            try:
                said[topic] = dict(json.loads(line)["data"])
            except (ValueError, TypeError, KeyError):
                pass  # it does not know the topic, or not yet
            topic = ""
        if len(said) == len(topics):
            break
    return [said.get(topic, {}) for topic in topics]


def _answers_to(ask: Callable[[str], bytes], port: int, user: str, password: str) -> Iterator[bytes]:
    """Connect, hand in what `ask` says to the server of an id, and a PING, and return the lines that come, until
    nothing does for a while."""
    hello = json.dumps({"user": user, "pass": password, "verbose": False, "protocol": 1})
    try:
        with (
            socket.create_connection((HOST, port), PATIENCE) as connection,
            connection.makefile("rb") as lines,
        ):
            info = lines.readline(65536)
            if not info.startswith(b"INFO "):
                return
            server = str(json.loads(info[5:])["server_id"])
            connection.sendall(f"CONNECT {hello}\r\n".encode() + ask(server) + b"PING\r\n")
            while line := lines.readline(1 << 20):
                yield line
    except (OSError, ValueError, KeyError):
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
