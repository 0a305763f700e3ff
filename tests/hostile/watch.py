"""What a node under attack must keep: its processes, files, memory, promises and its silence."""

import os
import time
from pathlib import Path

from tests.rig.node import RunningNode, wait_until

PAGE = os.sysconf("SC_PAGE_SIZE")
NEVER = (
    "worker_restarts_total",
    "nats_server_restarts_total",
    "bus_gaps_total",
    'handshakes_refused_total{reason="fault"}',
    'handshakes_refused_total{reason="files"}',
    'handshakes_refused_total{reason="overloaded"}',
    'connections_closed_total{code="1011"}',
    'connections_closed_total{code="4004"}',
    'pushes_refused_total{status="503"}',
    'pushes_refused_total{status="other"}',
    'messages_dropped_total{reason="undecodable"}',
    'messages_dropped_total{reason="fan_out_full"}',
)
"""Metrics that count what no stranger may bring about."""


def memory_of(pid: int) -> int:
    """Return the bytes that a process has to itself in memory: what it shares since the fork is left out."""
    resident, shared = Path(f"/proc/{pid}/statm").read_bytes().split()[1:3]
    return (int(resident) - int(shared)) * PAGE


class Watch:
    """Looks after one node, from the moment it is made."""

    def __init__(self, node: RunningNode) -> None:
        self._node = node
        self._log = node.log()
        self._before = self._count_never()
        self.pids = node.worker_pids
        time.sleep(0.2)  # the scrape before had a connection of its own
        self._files = self._count_files()

    def settle(self, sessions: int = 0, callers: int = 0) -> None:
        """Wait until only so many sessions and callers of the API are there, and so many more files than at first."""
        what = f"{sessions} sessions, no guest, {self._files} and {sessions + callers} files"
        wait_until(lambda: self._has(sessions, callers), what)

    def memory(self) -> list[int]:
        """Return the memory of each worker."""
        return [memory_of(pid) for pid in self.pids]

    def check(self) -> None:
        """Fail if a process was lost, something was counted that must never be, or a word was logged."""
        assert self._node.worker_pids == self.pids
        assert self._count_never() == self._before
        assert self._node.log() == self._log, "a stranger's doings are no event"

    def _has(self, sessions: int, callers: int) -> bool:
        now = self._node.metrics()
        if now["connections"] != sessions or now["lobby"] or now["write_buffer_bytes"]:
            return False
        time.sleep(0.05)
        return self._count_files() == self._files + sessions + callers

    def _count_never(self) -> dict[str, float]:
        now = self._node.metrics()
        found = {name: [count for each, count in now.items() if each.startswith(name)] for name in NEVER}
        assert all(found.values()), (
            f"metrics that are no more: {[name for name, counts in found.items() if not counts]}"
        )
        return {name: sum(counts) for name, counts in found.items()}

    def _count_files(self) -> int:
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in self.pids)
