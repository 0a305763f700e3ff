"""The bus over ZooKeeper: a log of batches, sequential nodes under `<chroot>/<prefix>/live`, which everyone follows.

It is for those who have nothing else: each batch is a write that the servers sync to their disks, and everybody reads
what is for anybody.
"""

import random
import time
from collections.abc import Callable, Iterable, Sequence

from kazoo.exceptions import NodeExistsError
from kazoo.protocol.serialization import Create, Exists
from kazoo.security import CREATOR_ALL_ACL, OPEN_ACL_UNSAFE

from pushgate.brokers.keeper import Keeper
from pushgate.bus.base import Parcel, Receive
from pushgate.bus.zookeeper_batches import LIMIT, SEQUENCE, Writer
from pushgate.bus.zookeeper_cleaner import Cleaner
from pushgate.bus.zookeeper_reader import Reader
from pushgate.errors import BusUnavailable
from pushgate.log import get_logger
from pushgate.zookeeper.address import parse_url
from pushgate.zookeeper.link import ZooKeeperLink

PATIENCE = (0.5, 2.0)
"""Seconds for a server to begin a session: so many at first, and twice as many with each time-out, up to the last.

One that has just been started may listen and answer nobody who came before it was ready.
"""
PROBES = 5
"""Writes by which the time of one is measured, each time that the bus connects."""

log = get_logger("bus")


class ZooKeeperBus:
    """The bus over ZooKeeper; see Bus for what it promises, and zookeeper.address for `url`.

    What came while there was no connection for a few seconds is received later, unless it was removed; a gap is
    reported all the same.
    """

    def __init__(self, url: str, prefix: str = "pushgate") -> None:
        self._address = parse_url(url, "bus.url")
        self._acl = CREATOR_ALL_ACL if self._address.user else OPEN_ACL_UNSAFE
        self._root = f"{self._address.chroot}/{prefix}"
        self._path = f"{self._root}/live"
        self._keeper = Keeper(lambda: ZooKeeperLink("bus", self._see), self._open, "bus")
        self._reader: Reader
        self._writer: Writer
        self._patience = PATIENCE[0]

    async def start(self, shards: Iterable[int], receive: Receive, on_gap: Callable[[], None]) -> None:
        """See Bus. Tries for ever; what keeps it from connecting is logged. BusUnavailable when stopped meanwhile."""
        self._reader = Reader(self._path, shards, receive, on_gap)

        async def set_up(link: ZooKeeperLink) -> None:
            await self._make_log(link)
            mark = await self._measure(link)
            await self._reader.follow(link, mark, Cleaner(link, self._path, f"{self._root}/cleaner", self._acl))
            self._writer = Writer(link, self._path, self._acl)
            self._patience = PATIENCE[0]

        try:
            await self._keeper.connect(set_up, on_gap)
        except ConnectionError as error:
            raise BusUnavailable(str(error)) from None

    async def publish(self, parcels: Sequence[Parcel]) -> None:
        """See Bus; within 2 s. What was called off by cancelling may arrive or not."""
        if self._keeper.link is None:
            raise BusUnavailable("the bus is away")
        number = await self._writer.publish(parcels)
        if isinstance(number, str):
            raise BusUnavailable(number)
        if not parcels:
            try:
                await self._reader.reach(number)
            except ConnectionError as error:
                raise BusUnavailable(str(error)) from None

    @property
    def connected(self) -> bool:
        """Whether the log is followed, as far as is known: a silent server is noticed within 5 s."""
        return self._keeper.connected

    @property
    def reconnects(self) -> int:
        """See Bus."""
        return self._keeper.reconnects

    async def stop(self) -> None:
        """See Bus; prompt even when the server is gone. It may be called again."""
        await self._keeper.stop()

    # Inside

    async def _open(self, link: ZooKeeperLink) -> None:
        host, port = random.choice(self._address.places)  # noqa: S311
        try:
            await link.open(host, port, self._patience, self._address.user, self._address.password)
        except TimeoutError:
            self._patience = min(2 * self._patience, PATIENCE[1])
            raise ConnectionError(f"{host}:{port} does not answer") from None

    def _see(self, path: str) -> None:
        self._reader.see(path)

    async def _make_log(self, link: ZooKeeperLink) -> None:
        """Make the nodes down to the log, where they are missing."""
        if not isinstance(await link.ask(Exists(self._path, False)), Exception):
            return
        parts = self._path.split("/")
        for depth in range(2, len(parts) + 1):
            made = await link.ask(Create("/".join(parts[:depth]), b"", self._acl, 0))
            if isinstance(made, Exception) and not isinstance(made, NodeExistsError):
                raise ConnectionError(f"{'/'.join(parts[:depth])} cannot be made: {type(made).__name__}")

    async def _measure(self, link: ZooKeeperLink) -> int:
        """Write empty batches, say how long one takes, and return the number of the last."""
        times = []
        for _ in range(PROBES):
            began = time.perf_counter()
            name = await link.ask(Create(f"{self._path}/", b"", self._acl, SEQUENCE))
            times.append(time.perf_counter() - began)
            if not isinstance(name, str):
                raise ConnectionError(f"{self._path} cannot be written to: {type(name).__name__}")
        middle = sorted(times)[PROBES // 2]
        log.info(
            "bus measured", write_ms=round(middle * 1000, 2), batches_per_s=round(1 / middle), largest_payload=LIMIT
        )
        return int(name.rpartition("/")[2])
