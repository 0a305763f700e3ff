"""Which servers carry the bus and keep the inbox: what `bus.url` and `inbox.url` come to."""

from typing import NamedTuple

from pushgate.config import Config
from pushgate.inbox import BACKENDS

EMBEDDED = "embedded"
"""What a URL is that stands for the node's own nats-server."""
NONE = "none"
"""What `inbox.url` is on a node that keeps no reliable messages."""


class Servers(NamedTuple):
    """The URL of each: EMBEDDED where that is not known yet; the inbox's is NONE where there is none."""

    bus: str
    inbox: str

    def at(self, url: str) -> "Servers":
        """Return them once the embedded server is at `url`."""
        return Servers(*(url if server == EMBEDDED else server for server in self))


def servers_of(config: Config) -> Servers:
    """Return what a configuration says. The embedded server keeps messages where the bus is one that cannot."""
    bus, inbox = config.bus.url, config.inbox.url
    if inbox == "bus":
        inbox = bus if bus.partition(":")[0] in BACKENDS else EMBEDDED
    return Servers(bus, inbox)
