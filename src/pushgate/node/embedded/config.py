"""`nats.conf` of the embedded server."""

import json
from typing import Any

from pushgate.node.embedded.cluster import Member
from pushgate.node.embedded.probe import HOST
from pushgate.node.embedded.state import Sync

USER = "pushgate"
DOCTOR = "health"
"""The user of the system account."""
MAX_PAYLOAD = 8 * 1024 * 1024
LOG_SIZE, LOG_FILES = 16 * 1024 * 1024, 4
SYNC: dict[Sync, str] = {"always": "always", "interval": "2m"}
"""What the settings mean to the server; the second is its own default."""


def write_config(port: int, password: str, sync: Sync, max_file: int, member: Member | None) -> bytes:
    """Return the configuration; paths are relative to its directory, so none has to be quoted.

    Users are a server's own, and accounts are a cluster's: all servers' users of one name need not share a password.
    """
    config: dict[str, Any] = {
        "host": HOST,
        "port": port,
        "ports_file_dir": "ports",
        "authorization": {"users": [{"user": USER, "password": password}]},
        "accounts": {"$SYS": {"users": [{"user": DOCTOR, "password": password}]}},
        "max_payload": MAX_PAYLOAD,
        "jetstream": {"store_dir": ".", "sync_interval": SYNC[sync], "max_file_store": max_file},
        "log_file": "nats.log",
        "logfile_size_limit": LOG_SIZE,
        "logfile_max_num": LOG_FILES,
    }
    if member is not None:
        config |= {"server_name": member.name, "cluster": member.settings}
    return json.dumps(config, indent=2).encode() + b"\n"
