"""The bus over core NATS: subjects `<prefix>.live.<shard>` and `<prefix>.live.all`; a NatsLink after another."""

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Sequence
from urllib.parse import unquote, urlparse

from nats.aio.client import Srv

from pushgate.bus.base import Parcel, Receive
from pushgate.bus.nats_link import NatsLink
from pushgate.errors import BusUnavailable, ConfigError, Problem
from pushgate.log import get_logger
from pushgate.messages.shard import SHARDS

CONNECT_TIMEOUT = 1.5
"""Seconds for each step of connecting."""
PAUSE = (0.05, 0.3)
"""Seconds between attempts to connect, drawn at random so that not all come back at once; with a step's: below 2."""
REPEAT = 30.0
"""Seconds after which the same reason for being away is logged again."""

log = get_logger("bus")


class NatsBus:
    """The bus over NATS; see Bus for what it promises.

    `url` is `nats://` or `tls://` with `[user:password@]host[:port][,…]`; one user, or one token, for all the
    servers. Raises ConfigError when it is not, without telling its credentials.
    """

    def __init__(self, url: str, prefix: str = "pushgate") -> None:
        self._pool, self._credentials = _parse(url)
        self._subjects = {shard: f"{prefix}.live.{shard}" for shard in range(SHARDS)} | {None: f"{prefix}.live.all"}
        self._heads = {shard: f"PUB {subject} ".encode() for shard, subject in self._subjects.items()}
        self._link: NatsLink | None = None
        self._task: asyncio.Task[None] | None = None
        self._up: asyncio.Future[None] | None = None
        self._logged = ("", 0.0)
        self.reconnects = 0

    async def start(self, shards: Iterable[int], receive: Receive, on_gap: Callable[[], None]) -> None:
        """See Bus. Tries for ever; what keeps it from connecting is logged. BusUnavailable when stopped meanwhile."""
        wanted = [*sorted(shards), None]
        commands = [f"SUB {self._subjects[shard]} {sid}\r\n".encode() for sid, shard in enumerate(wanted, 1)]
        self._up = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._keep(commands, receive, on_gap, self._up))
        try:
            await self._up
        except BaseException:
            await self.stop()
            raise

    async def publish(self, parcels: Sequence[Parcel]) -> None:
        """See Bus; within 2 s. What was called off by cancelling may arrive or not."""
        link = self._link
        if link is None:
            raise BusUnavailable("the bus is away")
        heads, limit = self._heads, link.limit
        commands = []
        for shard, payload in parcels:
            size = len(payload)
            if size > limit:
                raise Problem("too_large", f"the bus takes {limit} bytes at most, and this is {size}")
            commands.append(b"%b%d\r\n%b\r\n" % (heads[shard], size, payload))
        failure = await link.send(commands)
        if failure is not None:
            raise BusUnavailable(failure)

    @property
    def connected(self) -> bool:
        """Whether the subscriptions hold, as far as is known: a silent server is noticed within 5 s."""
        return self._link is not None and not self._link.lost.is_set()

    async def stop(self) -> None:
        """See Bus; prompt even when the server is gone. It may be called again."""
        task, self._task = self._task, None
        if task is None:
            return
        while not task.done():  # one may be lost: wait_for swallows it in Python 3.11 when it ends just then
            task.cancel()
            await asyncio.wait([task], timeout=0.2)
        if self._up is not None and not self._up.done():
            self._up.set_exception(BusUnavailable("the bus is stopped"))

    async def _keep(
        self,
        commands: Sequence[bytes],
        receive: Receive,
        on_gap: Callable[[], None],
        up: asyncio.Future[None],
    ) -> None:
        """Keep one connection after another, until cancelled."""
        while True:
            link = NatsLink(self._pool, receive)
            try:
                await link.open(CONNECT_TIMEOUT, PAUSE[0], **self._credentials)
                failure = await link.send(commands)
                if failure is not None:
                    raise ConnectionError(failure)
                self._link = link
                self._logged = ("", 0.0)
                log.info("bus connected", server=link.server)
                if up.done():
                    self.reconnects += 1
                    on_gap()
                else:
                    up.set_result(None)
                await link.lost.wait()
                self._pool = link.pool
                self._log_away(link.reason)
            except Exception as error:
                self._log_away(link.reason or str(error) or type(error).__name__)
            finally:
                self._link = None
                await link.close()
            await asyncio.sleep(random.uniform(*PAUSE))  # noqa: S311

    def _log_away(self, reason: str) -> None:
        """Log why there is no bus, the same reason only once in a while."""
        now = time.monotonic()
        if self._logged[0] != reason or now - self._logged[1] > REPEAT:
            self._logged = (reason, now)
            log.warning("bus away", reason=reason)


def _parse(url: str) -> tuple[list[Srv], dict[str, str]]:
    """Return the servers of a bus URL, and their one user as nats-py's options."""
    scheme = url.partition(":")[0]
    rest = url.removeprefix(f"{scheme}:").removeprefix("//")
    servers = []
    credentials: dict[str, str] = {}
    for place, part in enumerate(rest.split(","), 1):
        try:
            uri = urlparse(f"{scheme}://{part.removeprefix(f'{scheme}://')}")
            host, port = uri.hostname, uri.port or 4222
        except ValueError:
            host = None
        if not host or uri.path.strip("/") or uri.query or uri.fragment:
            raise ConfigError(
                f"bus.url: expected {scheme}://[user:password@]host[:port][,…], but server {place} is not so"
                " (a comma, @ or / in a password is written %2C, %40, %2F)"
            )
        if uri.username and not credentials:
            user, password = unquote(uri.username), unquote(uri.password or "")
            credentials = {"user": user, "password": password} if password else {"token": user}
        servers.append(Srv(uri._replace(netloc=f"[{host}]:{port}" if ":" in host else f"{host}:{port}", path="")))
    return servers, credentials
