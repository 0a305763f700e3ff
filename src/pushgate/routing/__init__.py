"""Routing by directory: a push goes only to nodes that hold its users. `create_registry` picks where that is kept."""

from collections.abc import Callable
from importlib import import_module

from pushgate.config import shown_url
from pushgate.errors import ConfigError
from pushgate.routing.base import Registry

__all__ = ["BACKENDS", "Registry", "create_registry"]

BACKENDS = {
    "nats": "nats.NatsRegistry",
    "tls": "nats.NatsRegistry",
    "redis": "redis.RedisRegistry",
    "rediss": "redis.RedisRegistry",
    "redis+sentinel": "redis.RedisRegistry",
    "rediss+sentinel": "redis.RedisRegistry",
    "redis+cluster": "redis.RedisRegistry",
    "rediss+cluster": "redis.RedisRegistry",
}
"""Where the backend of a bus's scheme is, in this room: it has to carry a push to one node, too."""


def create_registry(url: str, prefix: str, home: int, worker: int, replicas: int) -> Registry:
    """Return a registry that is not started yet, in the server of the bus at `url`; see Registry for the rest.

    Raises ConfigError when there can be none.
    """
    scheme = url.partition(":")[0]
    if scheme not in BACKENDS:
        known = ", ".join(f"{name}:" for name in BACKENDS)
        raise ConfigError(
            f"bus.routing: expected broadcast with the bus {shown_url(url)!r}; directory is for embedded, {known}"
        )
    module, name = BACKENDS[scheme].split(".")
    backend: Callable[[str, str, int, int, int], Registry] = getattr(import_module(f"pushgate.routing.{module}"), name)
    return backend(url, prefix, home, worker, replicas)
