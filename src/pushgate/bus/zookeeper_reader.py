"""Following the live log: every batch in the order of its number, each once."""

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from kazoo.exceptions import NoNodeError
from kazoo.protocol.serialization import Exists, GetChildren2, GetData

from pushgate.bus.base import Receive
from pushgate.bus.zookeeper_batches import unpack
from pushgate.bus.zookeeper_cleaner import KEEP, Cleaner
from pushgate.log import get_logger
from pushgate.zookeeper.link import ZooKeeperLink

AHEAD = 16
"""How many numbers that are not there yet are watched, and so how many batches are read at once."""
LOOK = 1.0
"""Seconds between looks at the whole log: for what was removed before it was read, and for what is to be removed."""

log = get_logger("bus")


class Reader:
    """Reads the log at `path`, through one link after another.

    Numbers have no holes, so the next ones are known before they are there: each is watched by its name. A watch
    that fires says that its number is there, and watches that come together say all that they would say alone. A
    number that never comes, since it was removed before we saw it, shows in the next look: later ones are there.
    """

    def __init__(self, path: str, shards: Iterable[int], receive: Receive, on_gap: Callable[[], None]) -> None:
        self._path = path
        self._wanted: frozenset[int | None] = frozenset((*shards, None))
        self._receive = receive
        self._on_gap = on_gap
        self._life = 0  # which log of this name it is: the transaction that made it
        self._next = 0  # the lowest number that is not known to be there
        self._there: set[int] = set()  # numbers above it that are
        self._read = 0  # the lowest number that was not received
        self._missing = False
        self._heard = 0.0
        self._link: ZooKeeperLink
        self._cleaner: Cleaner

    async def follow(self, link: ZooKeeperLink, mark: int, cleaner: Cleaner) -> None:
        """Go on through a new link, on which the batch with the number `mark` was just written.

        What came while there was no link is received if it is not older than what the log keeps. Raises
        ConnectionError when the link is lost.
        """
        loop = asyncio.get_running_loop()
        self._link, self._cleaner = link, cleaner
        numbers, life = _numbers(await link.ask(GetChildren2(self._path, False)))
        start = mark + 1
        # a number below ours is a log that a crash has shortened
        if life == self._life and loop.time() - self._heard < KEEP and self._read <= mark:
            start = min((number for number in numbers if number >= self._read), default=start)
        self._life, self._missing = life, False
        self._jump(start)
        self._read = start
        loop.call_later(LOOK, self._look, link)

    async def reach(self, number: int) -> None:
        """Wait until the batch of this number, which is there, has been received, and so all before it.

        Raises ConnectionError when the link is lost.
        """
        life = self._life
        while self._read <= number and self._life == life:
            # what we were told of before its answer has been asked for before it, too
            await self._link.ask(Exists(self._path, False))

    def see(self, path: str) -> None:
        """Take note that a node is there."""
        name = path.rpartition("/")[2]
        if name.isdecimal():
            self._note(int(name))

    # Inside

    def _jump(self, number: int) -> None:
        """Go on with this number."""
        self._next = number
        self._there.clear()
        for ahead in range(number, number + AHEAD):
            self._watch(ahead)

    def _watch(self, number: int) -> None:
        self._link.send(Exists(self._name(number), True), partial(self._take_watched, number))

    def _take_watched(self, number: int, answer: Any) -> None:
        if not isinstance(answer, Exception):
            self._note(number)

    def _note(self, number: int) -> None:
        """Read what is there, in order; each that is read makes room for another to be watched."""
        if not self._next <= number < self._next + AHEAD:
            return  # of a log that is no more, or read long ago
        self._there.add(number)
        while self._next in self._there:
            self._there.remove(self._next)
            self._link.send(GetData(self._name(self._next), False), partial(self._take, self._next))
            self._watch(self._next + AHEAD)
            self._next += 1

    def _take(self, number: int, answer: Any) -> None:
        if isinstance(answer, NoNodeError):
            self._miss()
        elif isinstance(answer, Exception):
            self._fail(answer)
            return
        else:
            self._missing = False
            self._cleaner.note(number, len(answer[0]))
            try:
                for shard, payload, _ in unpack(answer[0]):
                    if shard in self._wanted:
                        self._receive(payload)
            except ValueError as error:
                log.warning("there is what is not ours in the log", node=self._name(number), reason=str(error))
        self._read = number + 1
        self._heard = asyncio.get_running_loop().time()

    def _miss(self) -> None:
        """Report a gap, once for all that is missing in a row."""
        if not self._missing:
            self._missing = True
            self._on_gap()

    def _look(self, link: ZooKeeperLink) -> None:
        if not link.lost.is_set():
            asyncio.get_running_loop().call_later(LOOK, self._look, link)
            link.send(GetChildren2(self._path, False), self._take_look)

    def _take_look(self, answer: Any) -> None:
        if isinstance(answer, Exception):
            self._fail(answer)
            return
        numbers, life = _numbers(answer)
        self._heard = asyncio.get_running_loop().time()
        if life != self._life:
            self._life = life
            self._miss()
            self._jump(numbers[0] if numbers else 0)
        elif numbers and numbers[-1] > self._next and self._next not in numbers:
            self._miss()
            self._jump(min(number for number in numbers if number > self._next))
        self._cleaner.look(numbers)

    def _fail(self, answer: Exception) -> None:
        if not isinstance(answer, ConnectionError):
            self._link.drop(f"the bus cannot be read: {type(answer).__name__}")

    def _name(self, number: int) -> str:
        return f"{self._path}/{number:010d}"


def _numbers(answer: Any) -> tuple[list[int], int]:
    """Return the numbers in the log, in order, and which log of this name it is. Raises ConnectionError."""
    if isinstance(answer, Exception):
        raise ConnectionError(f"the bus cannot be read: {type(answer).__name__}")
    names, stat = answer
    return sorted(int(name) for name in names if name.isdecimal()), stat.czxid
