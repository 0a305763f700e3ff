"""What can happen to a node, by name."""

import asyncio
import json
import os
import random
import secrets
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from tests.faults.reliable_fleet import Fleet
from tests.rig.node import RunningNode, is_alive, wait_until

FROZEN = 5.0
"""Seconds that nats-server stands still."""


class Faults:
    """Injects faults into a node, and returns from each when the node was told to go on."""

    def __init__(self, node: RunningNode, fleet: Fleet, dice: random.Random) -> None:
        self._node = node
        self._fleet = fleet
        self._dice = dice
        self.kills = 0
        """Processes killed with -9."""
        self.by_name: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
            "kill -9 a worker": self._kill_worker,
            "kill -9 nats-server": self._kill_nats,
            "kill -9 the supervisor": self._kill_supervisor,
            "kill -9 all at once": self._kill_all,
            "SIGSTOP nats-server": self._freeze_nats,
            "cut every client": self._cut_clients,
            "stop and start": self._restart,
            "a reboot without a clean stop": self._reboot,
        }

    async def inject(self, name: str) -> None:
        """Do it, and wait until pushes are accepted again."""
        await self.by_name[name]()
        await self._fleet.goes_on()

    def _kill(self, pid: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self.kills += 1

    async def _kill_worker(self) -> None:
        self._kill(self._dice.choice(self._node.worker_pids))

    async def _kill_nats(self) -> None:
        old = self._node.nats_pid
        self._kill(old)
        await asyncio.to_thread(wait_until, lambda: self._node.nats_pid != old, "nats-server starts again")

    async def _kill_supervisor(self) -> None:
        self._node.kill()
        self.kills += 1
        await asyncio.to_thread(self._node.start)

    async def _kill_everything(self) -> None:
        workers, nats = self._node.worker_pids, self._node.nats_pid
        self._node.kill()
        self.kills += 1
        for pid in (*workers, nats):
            self._kill(pid)
        everyone = (*workers, nats)
        await asyncio.to_thread(wait_until, lambda: not any(map(is_alive, everyone)), "all of them are gone")

    async def _kill_all(self) -> None:
        await self._kill_everything()
        await asyncio.to_thread(self._node.start)

    async def _freeze_nats(self) -> None:
        pid = self._node.nats_pid
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(FROZEN)
        finally:
            os.kill(pid, signal.SIGCONT)

    async def _cut_clients(self) -> None:
        self._fleet.cut_all()

    async def _restart(self) -> None:
        await asyncio.to_thread(self._node.stop)
        await asyncio.to_thread(self._node.start)

    async def _reboot(self) -> None:
        """What is left of a machine that failed: no process, and a note of another boot."""
        await self._kill_everything()
        note = self._node.data_dir / "nats" / "nats.json"
        note.write_text(json.dumps({**json.loads(note.read_text()), "boot": secrets.token_hex(8)}))
        await asyncio.to_thread(self._node.start)
