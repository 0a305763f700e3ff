"""A connection to NATS that comes back: one NatsLink after another, for ever."""

import random

from pushgate.brokers.keeper import PAUSE, Keeper
from pushgate.nats.address import Address
from pushgate.nats.link import NatsLink

CONNECT_TIMEOUT = 1.5
"""Seconds for each step of connecting."""


class Connection(Keeper[NatsLink]):
    """Keeps a connection to one of several servers.

    `url` is as Address has it. Raises ConfigError when it is not, naming it `<part>.url`. `part`, and `purpose` where
    it has several, are what the connection is called in the log.
    """

    def __init__(self, url: str, part: str, purpose: str = "") -> None:
        super().__init__(self._make_link, self._open_link, part, purpose)
        self._address = Address(url, f"{part}.url")
        self._last: NatsLink | None = None

    def _make_link(self) -> NatsLink:
        pool = self._address.servers if self._last is None else self._last.pool
        # whoever loses a server goes to any of the others, and not all to the same
        return NatsLink(random.sample(pool, len(pool)), self._part)

    async def _open_link(self, link: NatsLink) -> None:
        await link.open(CONNECT_TIMEOUT, PAUSE[0], **self._address.options())
        self._last = link
