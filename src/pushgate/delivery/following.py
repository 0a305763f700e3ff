"""Telling how pushes that are followed were delivered: a line at log level debug, and a span where they are traced.

Whom a push was written to is counted behind its back, by looking at who is there after it was written: whoever it
could not be written to was closed over it. So the loops that write have nothing to note, for this one or any other.
"""

from collections.abc import Callable, Iterable, Sequence

from pushgate.delivery.outgoing import Channel, Outgoing, Sessions
from pushgate.log import get_logger
from pushgate.tracing import Tracer

_log = get_logger("delivery")


class Following:
    """Follows pushes on one worker of a `node`. `progress` returns what a device was sent and acknowledged."""

    def __init__(
        self,
        sessions: Sessions,
        node: str,
        tracer: Tracer | None,
        progress: Callable[[Channel], tuple[int, int]] | None = None,
    ) -> None:
        self._sessions = sessions
        self._node = node
        self._tracer = tracer
        self._progress = progress

    def begin(self, outgoing: Outgoing, began: float) -> "Delivery":
        """Begin to follow a push that came at this time, in seconds since 1970."""
        return Delivery(self, outgoing, began)

    def tell(self, outgoing: Outgoing, uids: Sequence[str], began: float) -> None:
        """Tell of a push to these users that was just written."""
        delivery = self.begin(outgoing, began)
        for uid in uids:
            delivery.count(self._sessions.find(outgoing.push.tenant, uid))
        delivery.tell()

    def tell_late(self, outgoing: Outgoing, channel: Channel) -> None:
        """Tell of a push that a device had from the inbox: by a line alone, for a span would be a connection's."""
        if self.count(outgoing, (channel,)) == (1, 0):
            self.log("delivered from the inbox", outgoing, resent=outgoing.resent)

    def count(self, outgoing: Outgoing, channels: Iterable[Channel | None]) -> tuple[int, int]:
        """Return how many of the connections that it was offered to have a push, and how many devices are behind."""
        by_fd, tenant = self._sessions.by_fd, outgoing.push.tenant
        connections = behind = 0
        for channel in channels:
            if channel is None or channel.user.tenant != tenant or by_fd[channel.fd] is not channel:
                continue
            if outgoing.narrowed and not outgoing.matches(channel, self._sessions):
                continue
            if self._is_behind(channel, outgoing.offset):
                behind += 1
            else:
                connections += 1
        return connections, behind

    def _is_behind(self, channel: Channel, offset: int) -> bool:
        if not offset or channel.device is None or self._progress is None:
            return False
        return self._progress(channel)[0] < offset

    def log(self, event: str, outgoing: Outgoing, **facts: object) -> None:
        """Log what became of a push, at debug."""
        push, trail = outgoing.push, outgoing.push.trail
        assert trail is not None
        if outgoing.offset:
            facts["offset"] = outgoing.offset
        _log.debug(event, request_id=trail.request_id, id=push.id, tenant=push.tenant, node=self._node, **facts)

    def trace(self, outgoing: Outgoing, began: float, connections: int, behind: int) -> None:
        """Record the span of a delivery, if its push is traced."""
        push, trail = outgoing.push, outgoing.push.trail
        assert trail is not None
        if self._tracer is None or not trail.traceparent:
            return
        attributes: dict[str, str | int] = {
            "messaging.system": "pushgate",
            "messaging.message.id": push.id,
            "pushgate.tenant": push.tenant,
            "pushgate.connections": connections,
        }
        if outgoing.offset:
            attributes |= {"pushgate.offset": outgoing.offset, "pushgate.behind": behind}
        self._tracer.note_delivery(trail.traceparent, began, attributes)


class Delivery:
    """A push that is followed, while it is written: to whom so far."""

    __slots__ = ("_began", "_behind", "_connections", "_following", "_outgoing")

    def __init__(self, following: Following, outgoing: Outgoing, began: float) -> None:
        self._following = following
        self._outgoing = outgoing
        self._began = began
        self._connections = 0
        self._behind = 0

    def count(self, channels: Iterable[Channel | None]) -> None:
        """It was written to these, as far as they are its."""
        connections, behind = self._following.count(self._outgoing, channels)
        self._connections += connections
        self._behind += behind

    def tell(self) -> None:
        """It is written to all."""
        facts = {"behind": self._behind} if self._outgoing.offset else {}
        self._following.log("delivered", self._outgoing, connections=self._connections, **facts)
        self._following.trace(self._outgoing, self._began, self._connections, self._behind)
