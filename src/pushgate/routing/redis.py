"""The registry in Redis: for each user a sorted set of homes, by when they were written; leases are keys that expire.

    <prefix>.directory.user.<key>             an entry a member
    <prefix>.directory.lease.<home>.<worker>  a lease

In a cluster all of it is in one slot, `{<prefix>}`, like the bus: one connection reaches it.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from hiredis import ReplyError

from pushgate.brokers.keeper import Keeper
from pushgate.errors import RegistryUnavailable
from pushgate.redis.link import Command, RedisLink
from pushgate.redis.places import Finder, parse_url
from pushgate.routing.base import KEPT, LEASE


class RedisRegistry:
    """The registry over Redis; see Registry for what it promises, redis.places for `url`. Copies are Redis's own."""

    def __init__(self, url: str, prefix: str, home: int, worker: int, replicas: int) -> None:
        address = parse_url(url, "bus.url")
        name = f"{{{prefix}}}" if address.kind == "cluster" else prefix
        self._users = f"{name}.directory.user."
        self._lease = f"{name}.directory.lease.{home}.{worker}"
        self._home = str(home)
        self._keeper = Keeper(lambda: RedisLink("registry"), Finder(address, name, "registry").open, "registry")

    def start(self, on_new: Callable[[], None]) -> None:
        """See Registry. What keeps it from connecting is logged."""

        async def set_up(link: RedisLink) -> None:
            try:
                await _ask(link, self._lease_command())
            except RegistryUnavailable as error:
                raise ConnectionError(str(error)) from None
            on_new()

        self._keeper.start(set_up)

    @property
    def connected(self) -> bool:
        """See Registry."""
        return self._keeper.connected

    async def write(self, held: Sequence[bytes], left: Sequence[bytes]) -> None:
        """See Registry. What others wrote too long ago goes with it: a key that one node renews would keep it.

        That is by our clock: those of nodes may differ by minutes, and not by half an hour.
        """
        now = int(time.time())
        commands: list[Command] = [("ZREM", self._users + key.hex(), self._home) for key in left]
        for key in held:
            name = self._users + key.hex()
            commands += [
                ("ZADD", name, now, self._home),
                ("ZREMRANGEBYSCORE", name, "-inf", now - KEPT),
                ("EXPIRE", name, KEPT),
            ]
        if commands:
            await _ask(self._link(), *commands)

    async def read(self, keys: Collection[bytes]) -> Mapping[bytes, Sequence[int]]:
        """See Registry."""
        wanted = list(keys)
        commands: list[Command] = [("ZRANGE", self._users + key.hex(), 0, -1) for key in wanted]
        has_lease, *found = await _ask(self._link(), ("EXISTS", self._lease), *commands)
        if not has_lease:
            raise RegistryUnavailable("the registry has lost what was written")
        return {key: [int(home) for home in homes] for key, homes in zip(wanted, found, strict=True) if homes}

    async def renew(self) -> bool:
        """See Registry."""
        link = self._link()
        if (await _ask(link, self._lease_command("XX")))[0] is not None:
            return True
        await _ask(link, self._lease_command())
        return False

    async def stop(self) -> None:
        """See Registry."""
        await self._keeper.stop()

    def _link(self) -> RedisLink:
        link = self._keeper.link
        if link is None:
            raise RegistryUnavailable("the registry is away")
        return link

    def _lease_command(self, *condition: str) -> Command:
        return ("SET", self._lease, b"", "EX", LEASE, *condition)


async def _ask(link: RedisLink, *commands: Command) -> list[Any]:
    answers = await link.ask(*commands)
    if answers is None:
        raise RegistryUnavailable(link.reason)
    for answer in answers:
        if isinstance(answer, ReplyError):
            link.drop(str(answer))  # a server that takes nothing is not the one any more
            raise RegistryUnavailable(str(answer))
    return answers
