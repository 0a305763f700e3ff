"""What a worker says to questions: about the sessions that it holds, and about its node."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic, Protocol, TypeVar

from pushgate import __version__
from pushgate.codes import Close
from pushgate.errors import MessageError
from pushgate.journal import Event
from pushgate.messages.questions import (
    Acknowledge,
    Acknowledged,
    Closed,
    Count,
    Counted,
    Find,
    Found,
    Kick,
    Overview,
    Question,
    Reach,
    Reached,
    Recall,
    Recalled,
    Reply,
    Sessions,
)
from pushgate.metrics.catalogue import (
    BUS_CONNECTED,
    CONNECTIONS,
    DELIVERED,
    DRAINING,
    INBOX_READY,
    NODE_START,
    PUSHES,
    TENANT_CONNECTIONS,
    TENANT_DELIVERED,
    TENANT_PUSHES,
    TENANT_USERS,
    UPGRADING,
    USERS,
)
from pushgate.metrics.rates import Rates
from pushgate.metrics.rows import Rows, tenant_slot

MAX_FOUND = 1000
"""Sessions of a user that an answer has at most, the oldest: it must go into one message of any bus."""

S = TypeVar("S")


class Described(Protocol):
    """What is told of a session; `since` in seconds since 1970."""

    @property
    def session(self) -> str:
        """Its id."""

    @property
    def device(self) -> str | None:
        """The device's name, if it has one."""

    @property
    def since(self) -> int:
        """When it connected."""

    @property
    def address(self) -> str:
        """Where the client is."""

    @property
    def agent(self) -> str:
        """What the client says it is."""

    @property
    def sent(self) -> int | None:
        """The offset up to which a device was sent everything; None without an inbox."""

    @property
    def acknowledged(self) -> int | None:
        """The offset up to which a device acknowledged everything; None without an inbox."""


class Holder(Protocol[S]):
    """What answers need of the sessions of a worker."""

    def find(self, tenant: str, uid: str) -> Sequence[S]:
        """Return the sessions of a user, the oldest first."""

    def describe(self, session: S) -> Described:
        """Return what can be told of a session."""

    def find_devices(self, tenant: str) -> Iterable[tuple[int, int]]:
        """Return what was sent to each of a tenant's devices with an inbox, and what it acknowledged."""

    def close(self, session: S, code: Close) -> None:
        """End a session."""

    def acknowledge(self, session: S, offset: int) -> object:
        """Take an acknowledgement. Raises MessageError."""


class Answers(Generic[S]):
    """The answers of one worker.

    `numbers` are the tenants' numbers by name; `why_not_ready` tells why the worker's node should get no traffic, as
    far as the worker knows, `has_inbox` whether the node keeps reliable messages, and `recall` what happened to it.
    """

    def __init__(
        self,
        sessions: Holder[S],
        rows: Rows,
        numbers: Mapping[str, int],
        why_not_ready: Callable[[], list[str]],
        has_inbox: bool,
        recall: Callable[[], list[Event]],
    ) -> None:
        self._sessions = sessions
        self._rows = rows
        self._rates = Rates(rows)
        self._numbers = numbers
        self._why_not_ready = why_not_ready
        self._has_inbox = has_inbox
        self._recall = recall

    def reply(self, question: Question) -> Reply:
        """Return the answer to a question; `Kick` and `Acknowledge` are done first."""
        match question:
            case Find():
                found = self._sessions.find(question.tenant, question.uid)[:MAX_FOUND]
                return Sessions([self._tell(session) for session in found])
            case Kick():
                return Closed(self._kick(question))
            case Acknowledge():
                return self._acknowledge(question)
            case Count():
                return self._count(question.tenant)
            case Recall():
                return Recalled(self._recall())
            case Reach():
                acknowledged = [cursor >= question.offset for _, cursor in self._sessions.find_devices(question.tenant)]
                return Reached(self._rows.count - 1, len(acknowledged), sum(acknowledged))

    def tick(self, now: float) -> None:
        """Sample what rates are made of, when it is time; `now` in seconds of a monotonic clock."""
        of_tenants = (
            tenant_slot(number, slot) for number in self._numbers.values() for slot in (TENANT_PUSHES, TENANT_DELIVERED)
        )
        self._rates.sample((*PUSHES.values(), DELIVERED, *of_tenants), now)

    def _tell(self, session: S) -> Found:
        told = self._sessions.describe(session)
        return Found(told.session, told.device, told.since, told.address, told.agent, told.sent, told.acknowledged)

    def _kick(self, kick: Kick) -> int:
        closed = 0
        for session in self._find(kick.tenant, kick.uid, kick.session):
            self._sessions.close(session, Close.KICKED)
            closed += 1
        return closed

    def _acknowledge(self, said: Acknowledge) -> Acknowledged:
        for session in self._find(said.tenant, said.uid, said.session):
            try:
                self._sessions.acknowledge(session, said.offset)
            except MessageError as error:
                return Acknowledged(True, error.code, error.reason)
            return Acknowledged(True)
        return Acknowledged(False)

    def _find(self, tenant: str, uid: str, session: str | None) -> list[S]:
        """Return a user's sessions, or the one of this id."""
        found = self._sessions.find(tenant, uid)
        return [each for each in found if session is None or self._sessions.describe(each).session == session]

    def _count(self, tenant: str) -> Counted:
        rows, now, workers = self._rows, time.monotonic(), self._rows.count - 1
        overview = self._look_over(now, workers)
        node = (__version__, workers, not overview.reasons)
        number = self._numbers.get(tenant)
        if number is None:  # this node has another configuration
            return Counted(*node, 0, 0, 0, 0, 0.0, 0.0, overview)
        slots = (TENANT_CONNECTIONS, TENANT_USERS, TENANT_PUSHES, TENANT_DELIVERED)
        connections, users, pushes, delivered = (tenant_slot(number, slot) for slot in slots)
        return Counted(
            *node,
            rows.total(connections),
            rows.total(users),
            rows.total(pushes),
            rows.total(delivered),
            self._rates.of(pushes, now),
            self._rates.of(delivered, now),
            overview,
        )

    def _look_over(self, now: float, workers: int) -> Overview:
        rows, reasons = self._rows, self._why_not_ready()
        bus = rows.total(BUS_CONNECTED)
        if bus < workers and not reasons:
            reasons = [f"{bus} of {workers} workers hear the bus"]
        return Overview(
            up=max(0, int(time.time()) - rows.total(NODE_START)),
            connections=rows.total(CONNECTIONS),
            users=rows.total(USERS),
            pushes_per_second=round(sum(self._rates.of(slot, now) for slot in PUSHES.values()), 1),
            delivered_per_second=self._rates.of(DELIVERED, now),
            draining=rows.total(DRAINING) > 0,
            upgrading=rows.total(UPGRADING) > 0,
            bus=bus,
            inbox=rows.total(INBOX_READY) if self._has_inbox else None,
            reasons=reasons,
        )
