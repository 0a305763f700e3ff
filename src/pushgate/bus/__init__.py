"""The bus: `create_bus` picks the backend from the scheme of `bus.url`."""

from collections.abc import Callable
from importlib import import_module

from pushgate.bus.base import Bus, Feed, Parcel, Receive
from pushgate.config import shown_url
from pushgate.errors import ConfigError

__all__ = ["BACKENDS", "Bus", "Feed", "Parcel", "Receive", "create_bus", "create_feed"]

BACKENDS = {
    "memory": "memory.MemoryBus",
    "nats": "nats.NatsBus",
    "tls": "nats.NatsBus",
    "redis": "redis.RedisBus",
    "rediss": "redis.RedisBus",
    "redis+sentinel": "redis.RedisBus",
    "rediss+sentinel": "redis.RedisBus",
    "redis+cluster": "redis.RedisBus",
    "rediss+cluster": "redis.RedisBus",
    "rocketmq": "rocketmq.RocketMqBus",
    "zookeeper": "zookeeper.ZooKeeperBus",
}
"""Where the backend of a scheme is, in this room. Each is imported when it is wanted: some need an extra."""


def create_bus(url: str, prefix: str = "pushgate", node: int | None = None) -> Bus:
    """Return a backend that is not started yet; raises ConfigError when the url is not one that it can use.

    With `node` it takes what is addressed to the node of this number, too: NATS and Redis can do that.
    """
    scheme, colon, _ = url.partition(":")
    if not colon or scheme not in BACKENDS:
        known = ", ".join(f"{name}:" for name in BACKENDS)
        raise ConfigError(f"bus.url: expected a URL that begins with one of {known}, got {shown_url(url)!r}")
    module, name = BACKENDS[scheme].split(".")
    try:
        backend: Callable[..., Bus] = getattr(import_module(f"pushgate.bus.{module}"), name)
    except ModuleNotFoundError as error:
        raise ConfigError(f"bus.url: {scheme} needs the extra: pip install 'pushgate[{module}]' ({error})") from None
    return backend(url, prefix) if node is None else backend(url, prefix, node)


def create_feed(url: str, prefix: str = "pushgate") -> Feed | None:
    """Return what brings pushes that business systems produce to the bus's broker; None where the url names none."""
    if not url.startswith("rocketmq:"):
        return None
    feed: Feed | None = import_module("pushgate.bus.rocketmq_feed").create(url, prefix)
    return feed
