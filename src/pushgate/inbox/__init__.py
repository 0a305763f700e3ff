"""The inbox: `create_inbox` picks the backend from the scheme of `inbox.url`."""

from collections.abc import Callable
from importlib import import_module

from pushgate.config import shown_url
from pushgate.errors import ConfigError
from pushgate.inbox.base import (
    EVERYONE,
    Appended,
    Cursor,
    Device,
    Draft,
    Entry,
    FollowedTo,
    Inbox,
    Limits,
    Options,
    Outcome,
    Refused,
    Unknown,
    Usage,
)
from pushgate.metrics.rows import Row

__all__ = [
    "BACKENDS",
    "EVERYONE",
    "Appended",
    "Cursor",
    "Device",
    "Draft",
    "Entry",
    "FollowedTo",
    "Inbox",
    "Limits",
    "Options",
    "Outcome",
    "Refused",
    "Unknown",
    "Usage",
    "create_inbox",
]

BACKENDS = {
    "memory": "memory.MemoryInbox",
    "nats": "nats.NatsInbox",
    "tls": "nats.NatsInbox",
    "redis": "redis.RedisInbox",
    "rediss": "redis.RedisInbox",
    "redis+sentinel": "redis.RedisInbox",
    "rediss+sentinel": "redis.RedisInbox",
    "redis+cluster": "redis.RedisInbox",
    "rediss+cluster": "redis.RedisInbox",
}
"""Where the backend of a scheme is, in this room. Each is imported when it is wanted: some need an extra."""


def create_inbox(url: str, prefix: str, row: Row, options: Options) -> Inbox:
    """Return a backend that is not started yet; raises ConfigError when the url is not one that it can use.

    `prefix` begins every name in the backend, `row` is where it counts what it does.
    """
    scheme, colon, _ = url.partition(":")
    if not colon or scheme not in BACKENDS:
        known = ", ".join(f"{name}:" for name in BACKENDS)
        raise ConfigError(f"inbox.url: expected a URL that begins with one of {known}, got {shown_url(url)!r}")
    module, name = BACKENDS[scheme].split(".")
    try:
        backend: Callable[[str, str, Row, Options], Inbox] = getattr(import_module(f"pushgate.inbox.{module}"), name)
    except ModuleNotFoundError as error:
        raise ConfigError(f"inbox.url: {scheme} needs the extra: pip install 'pushgate[{module}]' ({error})") from None
    return backend(url, prefix, row, options)
