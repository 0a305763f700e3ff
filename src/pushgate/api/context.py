"""What a request may reach: one object per worker, made after the fork and given to the application built before it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from pushgate.bus.base import Bus
from pushgate.config import Config
from pushgate.delivery.questions import Gathered, R
from pushgate.inbox.base import Inbox
from pushgate.messages.questions import Question
from pushgate.metrics.rows import Row, Rows
from pushgate.routing.addressing import Addressing
from pushgate.tenants.registry import Quota
from pushgate.tracing import Tracer


class TenantKeys(Protocol):
    """What the API asks of the tenants."""

    @property
    def generation(self) -> int:
        """How often they were loaded: what was learnt before may not hold any more."""

    @property
    def numbers(self) -> Mapping[str, int]:
        """Their numbers, by name."""

    def quota_of(self, tenant: str) -> Quota | None:
        """Return what a tenant may take, or None for one that does not exist (any more)."""

    def tenant_of_key(self, api_key: bytes) -> str | None:
        """Return the tenant that an API key belongs to, or None."""

    def tenant_of_read_key(self, read_key: bytes) -> str | None:
        """Return the tenant that a key which may only ask belongs to, or None."""

    def sign_token(self, tenant: str, uid: str, ttl: int, tags: Sequence[str]) -> tuple[str, int]:
        """Return a client token good for `ttl` seconds, and when it expires (seconds since 1970)."""


class Asking(Protocol):
    """How the API asks all nodes."""

    async def ask(self, question: Question, kind: type[R]) -> Gathered[R]:
        """Return what the nodes answered, and who did not. Raises BusUnavailable, Problem."""


class ApiContext:
    """The parts of one worker that requests reach.

    `row` is the worker's own of `rows`. `not_ready` returns the reasons why this worker should get no traffic
    beside a bus that is away; none means ready. `inbox` is None on a node without one, `addressing` where live pushes
    go to every node, `tracer` where nothing is traced.
    """

    __slots__ = ("addressing", "bus", "config", "inbox", "not_ready", "questions", "row", "rows", "tenants", "tracer")

    def __init__(
        self,
        config: Config,
        tenants: TenantKeys,
        bus: Bus,
        inbox: Inbox | None,
        questions: Asking,
        rows: Rows,
        row: Row,
        not_ready: Callable[[], list[str]],
        addressing: Addressing | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self.config = config
        self.tenants = tenants
        self.bus = bus
        self.inbox = inbox
        self.questions = questions
        self.rows = rows
        self.row = row
        self.not_ready = not_ready
        self.addressing = addressing
        self.tracer = tracer
