"""What a request may reach: one object per worker, made after the fork and given to the application built before it."""

from collections.abc import Callable, Sequence
from typing import Protocol

from pushgate.bus.base import Bus
from pushgate.config import Config
from pushgate.metrics.rows import Row, Rows


class TenantKeys(Protocol):
    """What the API asks of the tenants."""

    def tenant_of_key(self, api_key: bytes) -> str | None:
        """Return the tenant that an API key belongs to, or None."""

    def sign_token(self, tenant: str, uid: str, ttl: int, tags: Sequence[str]) -> tuple[str, int]:
        """Return a client token good for `ttl` seconds, and when it expires (seconds since 1970)."""


class ApiContext:
    """The parts of one worker that requests reach.

    `row` is the worker's own of `rows`. `not_ready` returns the reasons why this worker should get no traffic
    beside a bus that is away; none means ready.
    """

    __slots__ = ("bus", "config", "not_ready", "row", "rows", "tenants")

    def __init__(
        self,
        config: Config,
        tenants: TenantKeys,
        bus: Bus,
        rows: Rows,
        row: Row,
        not_ready: Callable[[], list[str]],
    ) -> None:
        self.config = config
        self.tenants = tenants
        self.bus = bus
        self.rows = rows
        self.row = row
        self.not_ready = not_ready
