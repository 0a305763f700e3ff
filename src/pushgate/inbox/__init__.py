"""The inbox: `create_inbox` picks the backend from the scheme of `inbox.url`."""

from collections.abc import Callable

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
from pushgate.inbox.memory import MemoryInbox
from pushgate.inbox.nats import NatsInbox
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

BACKENDS: dict[str, Callable[[str, str, Row, Options], Inbox]] = {
    "memory": MemoryInbox,
    "nats": NatsInbox,
    "tls": NatsInbox,
}


def create_inbox(url: str, prefix: str, row: Row, options: Options) -> Inbox:
    """Return a backend that is not started yet; raises ConfigError when the url is not one that it can use.

    `prefix` begins every name in the backend, `row` is where it counts what it does.
    """
    scheme, colon, _ = url.partition(":")
    backend = BACKENDS.get(scheme) if colon else None
    if backend is None:
        known = ", ".join(f"{name}:" for name in BACKENDS)
        raise ConfigError(f"inbox.url: expected a URL that begins with one of {known}, got {shown_url(url)!r}")
    return backend(url, prefix, row, options)
