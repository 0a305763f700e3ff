"""Nodes under a steady stream of reliable pushes, and all the devices that they are for."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence

from tests.faults.reliable_callers import Caller
from tests.faults.reliable_device import Device
from tests.faults.reliable_ledger import EVERYONE, Ledger
from tests.rig.node import RunningNode

NAMES = ("phone", "tablet", "tv")
TICK = 0.1
"""Seconds between two looks at the devices."""
PATIENCE = 40.0
"""Seconds that pushes, or the last messages, may take after a fault."""


class Fleet:
    """`users` with the devices of NAMES each. Of all devices one a `TICK` loses its connection; half of them keep
    their cursor and say it, half rely on the gateway's. `callers` push to the users in turn, and one to everyone.
    Whoever connects does so to any one of the nodes."""

    def __init__(self, nodes: Sequence[RunningNode], users: int, callers: int, seed: int, pause: float = 0.2) -> None:
        self.dice = dice = random.Random(seed)
        self.ledger = Ledger(dice)
        self._pause = pause
        self._nodes = nodes
        names = [f"user{number}" for number in range(users)]
        tokens = {name: nodes[0].token(name) for name in names}
        self.devices = [
            Device(
                lambda: self._draw().clients_address,
                name,
                device,
                tokens[name],
                self.ledger.complain,
                random.Random(dice.random()),
                keeps_cursor=dice.random() < 0.5,
            )
            for name in names
            for device in NAMES
        ]
        self._callers = [self._make_caller(names[first::callers]) for first in range(callers)]
        self._callers.append(self._make_caller([EVERYONE], pause=10 * pause))
        self._tasks: list[asyncio.Task[None]] = []
        self._ticking: asyncio.Task[None] | None = None
        self._restless = True

    def _make_caller(self, targets: list[str], pause: float | None = None) -> Caller:
        dice = random.Random(self.dice.random())
        address = lambda: self._draw().management_address  # noqa: E731
        return Caller(address, self._nodes[0].key, self.ledger, targets, NAMES, pause or self._pause, dice)

    def _draw(self) -> RunningNode:
        return self.dice.choice(self._nodes)

    async def start(self) -> None:
        """Connect all devices, and begin to push."""
        for device in self.devices:
            device.connect()
        await self.all_welcome()
        self._ticking = asyncio.create_task(self._tick())
        self._tasks = [asyncio.create_task(caller.run()) for caller in self._callers]

    async def all_welcome(self) -> None:
        """Wait until every device is connected and welcome."""
        await self._until(lambda: all(device.is_welcome for device in self.devices), "all devices are welcome")

    def keep_connections(self) -> None:
        """Cut no connection: nothing but what is done to the node happens."""
        self._restless = False

    async def goes_on(self, count: int = 50) -> None:
        """Wait until so many more pushes were accepted."""
        wanted = len(self.ledger.accepted) + count
        await self._until(lambda: len(self.ledger.accepted) >= wanted, f"{count} pushes are accepted")

    def cut_all(self) -> None:
        """Cut every connection of a client."""
        for device in self.devices:
            device.cut()

    async def finish(self) -> list[str]:
        """Push nothing new, wait until all devices have what they lack, and return what was not as promised."""
        for caller in self._callers:
            caller.stop()
        await asyncio.gather(*self._tasks)
        self._restless = False
        try:
            await self._until(lambda: self.ledger.missing(self.devices) <= 0, "all devices have everything")
        except AssertionError as error:
            self.ledger.complain(str(error))
        await asyncio.sleep(3 * TICK)  # for what comes and should not
        return self.ledger.judge(self.devices)

    async def stop(self) -> None:
        """End everything."""
        tasks = [*self._tasks, *([self._ticking] if self._ticking is not None else [])]
        for task in tasks:
            task.cancel()
        for caller in self._callers:
            caller.close()
        for device in self.devices:
            device.stop()
        await asyncio.gather(*tasks, return_exceptions=True)

    def tell(self) -> str:
        """Return the figures of the run."""
        devices, ledger = self.devices, self.ledger
        received = sum(len(device.received) for device in devices)
        duplicates = sum(device.duplicates for device in devices)
        welcomes = sum(len(device.welcomes) for device in devices)
        missed = sum(bool(welcome["missed"]) for device in devices for welcome in device.welcomes)
        closes = sum((device.closes for device in devices), Counter[int]())
        return (
            f"{len(ledger.accepted)} pushes accepted, {len(ledger.open)} with an error, "
            f"answers {dict(ledger.answers)}; "
            f"{received} messages handled, {duplicates} duplicates, {sum(device.resent for device in devices)} resent; "
            f"{welcomes} welcomes, {missed} with missed, closed {dict(closes)}"
        )

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            if self._restless:
                self.dice.choice(self.devices).cut()
            for device in self.devices:
                device.settle()

    async def _until(self, condition: Callable[[], bool], what: str) -> None:
        clock = asyncio.get_running_loop().time
        until = clock() + PATIENCE
        while not condition():
            assert clock() < until, f"waited in vain: {what}; {self.tell()}"
            await asyncio.sleep(TICK)
