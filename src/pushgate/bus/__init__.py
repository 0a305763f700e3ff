"""The bus: `create_bus` picks the backend from the scheme of `bus.url`."""

from collections.abc import Callable

from pushgate.bus.base import Bus, Parcel, Receive
from pushgate.bus.memory import MemoryBus
from pushgate.bus.nats import NatsBus
from pushgate.bus.redis import RedisBus
from pushgate.redis.places import FORMS as REDIS
from pushgate.config import shown_url
from pushgate.errors import ConfigError

__all__ = ["BACKENDS", "Bus", "Parcel", "Receive", "create_bus"]

BACKENDS: dict[str, Callable[[str, str], Bus]] = {
    "memory": MemoryBus,
    "nats": NatsBus,
    "tls": NatsBus,
    **dict.fromkeys(REDIS, RedisBus),
}


def create_bus(url: str, prefix: str = "pushgate") -> Bus:
    """Return a backend that is not started yet; raises ConfigError when the url is not one that it can use."""
    scheme, colon, _ = url.partition(":")
    backend = BACKENDS.get(scheme) if colon else None
    if backend is None:
        known = ", ".join(f"{name}:" for name in BACKENDS)
        raise ConfigError(f"bus.url: expected a URL that begins with one of {known}, got {shown_url(url)!r}")
    return backend(url, prefix)
