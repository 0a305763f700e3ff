"""Which servers carry the bus and keep the inbox, what `bus.url` and `inbox.url` come to, and how many keep a copy."""

from typing import NamedTuple

from pushgate.config import Config
from pushgate.inbox import BACKENDS

EMBEDDED = "embedded"
"""What a URL is that stands for the node's own nats-server."""
NONE = "none"
"""What `inbox.url` is on a node that keeps no reliable messages."""
COPIES = 3
"""Copies in a cluster of embedded servers that is large enough: one server may die, and nothing is lost or stands."""


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


def members_of(config: Config) -> int:
    """Return how many servers the cluster has that keeps the inbox; 0 where that is no cluster of embedded ones."""
    return len(config.cluster.nodes) if servers_of(config).inbox == EMBEDDED else 0


def inbox_copies(config: Config) -> int:
    """Return how many servers keep a copy of what the inbox has."""
    return config.inbox.replicas or max(1, min(COPIES, members_of(config)))


def registry_copies(config: Config) -> int:
    """Return how many servers keep the registry: as many as keep the inbox where both are of one cluster."""
    if servers_of(config).bus == EMBEDDED:
        return max(1, min(COPIES, len(config.cluster.nodes)))
    return max(1, config.inbox.replicas)
