"""A cluster under load: steady reliable and live pushes to users with several devices, and what is asked of it."""

import asyncio
import time
from collections.abc import Callable

import httpx

from tests.cluster.live import Live
from tests.cluster.nodes import Cluster
from tests.faults.reliable_fleet import Fleet

USERS, CALLERS, SEED = 60, 12, 6


class Scene:
    """A cluster that runs, and all who use it; `start`, hurt, `finish`, and `stop` it."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.network = cluster.network
        self.nodes = cluster.nodes
        self.fleet = Fleet(list(cluster.nodes.values()), USERS, CALLERS, SEED)
        self.live = Live(cluster.nodes)

    async def start(self) -> None:
        await self.fleet.start()
        await self.live.start()
        for name in self.nodes:
            await self.until(lambda name=name: self.known(name) == set(self.nodes), "the nodes know of each other")  # type: ignore[misc]
        await self.fleet.goes_on()

    async def until(self, condition: Callable[[], bool], what: str, patience: float = 20.0) -> float:
        """Wait until something is so, and let everybody go on meanwhile; returns how many seconds that took."""
        began = time.monotonic()
        while not await asyncio.to_thread(condition):
            assert time.monotonic() < began + patience, f"waited in vain: {what}"
            await asyncio.sleep(0.1)
        return time.monotonic() - began

    def ask(self, name: str, path: str) -> httpx.Response:
        node = self.nodes[name]
        return httpx.get(f"{node.api}{path}", headers={"Authorization": f"Bearer {node.key}"}, timeout=10)

    def reasons(self, name: str) -> list[str]:
        """Return why a node is not ready, nothing where it is."""
        try:
            answer = httpx.get(f"{self.nodes[name].api}/readyz", timeout=5)
        except httpx.TransportError as error:
            return [str(error)]
        return [] if answer.is_success else [answer.json()["detail"]]

    def known(self, name: str) -> set[str]:
        """Return the nodes that one answers for."""
        answer = self.ask(name, "/v1/nodes")
        return {each["node"] for each in answer.json()["nodes"]} if answer.is_success else set()

    async def repaired(self, bound: float) -> float:
        """Return how long after now live pushes get through from everywhere to everywhere; fails above the bound."""
        return await self.live.resumes(time.monotonic(), bound)

    async def finish(self) -> None:
        """Judge."""
        wrong = await self.fleet.finish()
        missed = [each for device in self.fleet.devices for each in device.welcomes if each["missed"]]
        wrong += [f"{len(missed)} devices were told that they missed something"] if missed else []
        wrong += self.live.wrong
        assert wrong == [], "\n".join(wrong)
        assert self.fleet.ledger.open == set(), "whoever repeats is answered in the end"

    async def stop(self) -> None:
        await self.fleet.stop()
        await self.live.stop()
        print(self.fleet.tell())
