"""The SessionManager: opens, writes to, closes and hands over the sessions of this worker."""

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count

from msgspec import UNSET

from pushgate.codes import Close
from pushgate.config import ClientsConfig
from pushgate.errors import MessageError
from pushgate.messages.client import FromServer, Limits, Reconnect, Welcome
from pushgate.messages.formats import EVENTS, FORMATS
from pushgate.metrics.catalogue import (
    CLOSED,
    DELIVERED,
    DROPPED,
    OPENED,
    REFUSED,
    SENT_BYTES,
    TENANT_DELIVERED,
)
from pushgate.metrics.rows import Row, Rows, tenant_slot
from pushgate.sessions.arrival import Arrival
from pushgate.sessions.devices import Devices
from pushgate.sessions.session import (
    Agents,
    ChannelSession,
    Description,
    show_address,
    show_session,
)
from pushgate.sessions.spread import Spread
from pushgate.sessions.state import SessionState
from pushgate.sessions.table import SessionTable
from pushgate.sockets.addresses import WorkerCounts
from pushgate.sockets.poller import Handler, Poller
from pushgate.tenants.registry import Tenants
from pushgate.wire.frames import encode_close
from pushgate.wire.reader import FrameReader

ABNORMAL = "1006"
"""How a connection that went without a close frame is counted (RFC 6455 section 7.1.5)."""


class SessionManager:
    """The sessions of one worker: opens, writes to, closes and hands over what stands in its `table`.

    `handler` is who reads from them, `streams` who does from those that only listen, `devices` who brings reliable
    messages to those that name a device, None on a node without an inbox (they need the manager, so they are set once
    both exist). `on_device` is told of each new session of a device: tenant, user, device, since when, and its number.
    """

    def __init__(
        self,
        poller: Poller,
        tenants: Tenants,
        config: ClientsConfig,
        addresses: WorkerCounts,
        rows: Rows,
        row: Row,
        spread: Spread,
    ) -> None:
        self.table = table = SessionTable(tenants, addresses, rows, row)
        # What is looked up for each message is looked up here, without a step in between.
        self.by_fd, self.columns, self._tenants = table.by_fd, table.columns, table.tenants
        self.agents = Agents()
        self.handler: Handler
        self.streams: Handler
        self.devices: Devices | None = None
        self.on_device: Callable[[str, str, str, int, int], None] = _tell_nobody
        self.spread = spread
        self.tick = 0
        self._poller = poller
        self._write = poller.write
        self._config = config
        self._limits = Limits(message=config.max_message)
        self._row = row
        self._registry = tenants
        # A session's number is unlike any other's, on this and other workers, and before a restart.
        self._serials = count(secrets.randbits(40) << 24)

    def find(self, tenant: str, uid: str) -> tuple[ChannelSession, ...]:
        """Return the live sessions of a user on this worker, the oldest first."""
        known = self._tenants.get(tenant)
        user = known.users.get(uid) if known is not None else None
        return user.channels if user is not None else ()

    def descriptors(self, tenant: str, start: int, stop: int) -> dict[int, list[int]]:
        """Return the descriptors from `start` to below `stop` of a tenant's sessions, by the number of their format."""
        return self.table.descriptors(tenant, start, stop)

    def find_devices(self, tenant: str) -> Iterator[tuple[int, int]]:
        """Yield what was sent to each device of a tenant on this worker that has an inbox, and what it acknowledged."""
        devices = self.devices
        if devices is not None:
            sessions = self.table.sessions_of(tenant)
            yield from (devices.progress(session) for session in sessions if session.device is not None)

    def open(self, fd: int, arrival: Arrival) -> ChannelSession | None:
        """Make a session of a descriptor that the poller does not know yet, and greet it.

        Over the cap of its user the oldest session is closed; so is an older one of the same device. None when the
        tenant's quota of connections is used up, or the tenant gone: then the client was told, and is closed.
        """
        for older in self._find_replaced(arrival):
            self.close(older, Close.REPLACED)
        tenant = self.table.tenant(arrival.tenant)
        refusal = self.table.count_in(tenant)
        if refusal is not None:
            self._row[REFUSED["tenant_connections" if refusal == Close.OVERLOADED else "token"]] += 1
            self._poller.turn_away(fd, arrival.greeting + FORMATS[arrival.format].close(refusal))
            return None
        session = self.table.enter(
            fd, tenant, arrival.uid, arrival.device, arrival.tags, arrival.format, arrival.address
        )
        self._watch(session)
        serial, since = next(self._serials), int(time.time())
        self.columns.record(fd, serial, self.tick, arrival.expires, since, self.agents.number_of(arrival.agent))
        self._row[OPENED] += 1
        self._write(fd, arrival.greeting + FORMATS[session.format].frame(self._welcome(arrival, serial)))
        if session.device is not None:
            if self.devices is not None:
                self.devices.begin(session, arrival.cursor or 0)
            self.on_device(tenant.name, arrival.uid, session.device, since, serial)
        return session

    def send(self, session: ChannelSession, message: FromServer) -> None:
        """Send one session a message of its own."""
        self.write(session, FORMATS[session.format].frame(message))

    def write(self, session: ChannelSession, frame: bytes) -> None:
        """Write a frame to a session; one that does not read is closed with SLOW_CLIENT."""
        if not self._write(session.fd, frame):
            self.close(session, Close.SLOW_CLIENT)

    def close(self, session: ChannelSession, code: Close, reason: str = "") -> None:
        """End a session from our side: what is parked, the code, then the socket. Closed already: nothing."""
        if self._forget(session, str(code.value)):
            self._poller.finish(session.fd, FORMATS[session.format].close(code, reason))

    def answer_close(self, session: ChannelSession, code: int) -> None:
        """End a session whose client sent a close frame with this code (1005: none)."""
        # Codes of our own that a client sends say nothing about us.
        if self._forget(session, str(code) if code < 3000 else "other"):
            self._poller.finish(session.fd, encode_close(code))

    def drop(self, session: ChannelSession) -> None:
        """Let go of a session whose peer is gone."""
        if self._forget(session, ABNORMAL):
            self._poller.close(session.fd)

    def send_away(self, session: ChannelSession, after: float) -> None:
        """Tell a client to connect again in so many seconds, and close it with GOING_AWAY."""
        self.send(session, Reconnect(after=after))
        self.close(session, Close.GOING_AWAY)

    def acknowledge(self, session: ChannelSession, offset: int) -> bool:
        """Take an acknowledgement; returns whether the device's cursor moved. Raises MessageError."""
        if session.device is None or self.devices is None:
            raise MessageError("no_inbox", "this connection has no inbox: there is nothing to acknowledge", "offset")
        return self.devices.acknowledge(session, offset)

    def set_expiry(self, session: ChannelSession, expires: int) -> None:
        """Note the end of a session's new token, in seconds since 1970, 0 for never."""
        self.columns.expires[session.fd] = expires

    def serial_of(self, fd: int) -> int:
        """Return the number that the id of the session on a descriptor shows."""
        return self.columns.serial[fd]

    def is_parked(self, fd: int) -> bool:
        """Whether bytes wait for the client on a descriptor to take them."""
        return self._poller.is_parked(fd)

    def write_live(self, fd: int, frame: bytes) -> bool:
        """Write a live message to the session on a descriptor.

        Returns False when it was dropped: the client does not read, and is then closed, or was closed before.
        """
        session = self.by_fd[fd]
        if session is None:
            return False
        return not self._drop_slow(self._poller.write_all((fd,), frame))

    def write_all(self, fds: Sequence[int], frame: bytes) -> int:
        """Write a live message to sessions that are open, by their descriptors; returns how many took it.

        For the others it was dropped: the client does not read, and is closed.
        """
        return len(fds) - self._drop_slow(self._poller.write_all(fds, frame))

    def _drop_slow(self, fds: Sequence[int]) -> int:
        """Close the sessions on descriptors whose clients did not take a live message; returns how many these are."""
        for fd in fds:
            session = self.by_fd[fd]
            assert session is not None
            self._row[DROPPED["slow_client"]] += 1
            self.close(session, Close.SLOW_CLIENT)
        return len(fds)

    def count_written(self, tenant: str, messages: int, size: int) -> None:
        """Count messages of a tenant that were written, `size` bytes in all."""
        row = self._row
        row[DELIVERED] += messages
        row[SENT_BYTES] += size
        row[tenant_slot(self._registry.numbers[tenant], TENANT_DELIVERED)] += messages

    def describe(self, session: ChannelSession) -> Description:
        """Return what can be told of a session."""
        columns, fd = self.columns, session.fd
        devices = self.devices if session.device is not None else None
        sent, acknowledged = devices.progress(session) if devices is not None else (None, None)
        return Description(
            session=show_session(columns.serial[fd]),
            device=session.device,
            since=columns.since[fd],
            address=show_address(columns.address_of(fd)),
            agent=self.agents.name_of(columns.agent[fd]),
            sent=sent,
            acknowledged=acknowledged,
        )

    def hand_over(self, session: ChannelSession) -> SessionState:
        """Let go of a session without a word to its client: its descriptor, on no poller, and this go elsewhere."""
        columns, fd, user = self.columns, session.fd, session.user
        reader = session.reader
        place = self.devices.hand_over(session) if session.device is not None and self.devices is not None else None
        self.table.leave(session)
        parked = self._poller.take_parked(fd)
        self._poller.release(fd)
        return SessionState(
            tenant=user.tenant,
            uid=user.uid,
            device=session.device,
            tags=session.tags,
            format=session.format,
            expires=columns.expires[fd],
            since=columns.since[fd],
            serial=columns.serial[fd],
            address=columns.address_of(fd),
            agent=self.agents.name_of(columns.agent[fd]),
            idle=self.tick - columns.heard[fd],
            messages=columns.messages[fd],
            volume=columns.bytes[fd],
            reader=None if reader is None else reader.save(),
            parked=parked,
            place=place,
        )

    def take_over(self, fd: int, state: SessionState) -> ChannelSession | None:
        """Go on with a session that another process handed over; its client is told nothing.

        None when it has to end here: its tenant is gone, or its device's logs have become others. Then it was told so.
        """
        if self._registry.quota_of(state.tenant) is None:
            last = FORMATS[state.format].close(Close.TOKEN_INVALID, "the tenant is gone")
            self._poller.turn_away(fd, last, state.parked)
            return None
        reader = None
        if state.reader is not None:
            reader = FrameReader(self._config.max_message, FORMATS[state.format].deflate)
            reader.restore(state.reader)
        tenant = self.table.tenant(state.tenant)
        self._row[tenant.connections_slot] += 1  # whatever its quota: it was let in before
        session = self.table.enter(fd, tenant, state.uid, state.device, state.tags, state.format, state.address)
        self._watch(session)
        session.reader = reader
        columns, heard = self.columns, max(0, self.tick - state.idle)
        columns.record(fd, state.serial, heard, state.expires, state.since, self.agents.number_of(state.agent))
        columns.messages[fd], columns.bytes[fd] = state.messages, state.volume
        self._poller.park(fd, state.parked)
        devices = self.devices if state.place is not None else None
        if devices is not None and state.place is not None and not devices.take_over(session, state.place):
            self.close(session, Close.GOING_AWAY)
            return None
        return session

    def _find_replaced(self, arrival: Arrival) -> list[ChannelSession]:
        """Return the sessions that a new one takes the place of."""
        others = self.find(arrival.tenant, arrival.uid)
        device = arrival.device
        replaced = [each for each in others if each.device == device] if device is not None else []
        left = [each for each in others if each not in replaced] if replaced else others
        excess = len(left) + 1 - self._config.sessions_per_user
        return [*replaced, *left[:excess]] if excess > 0 else replaced

    def _welcome(self, arrival: Arrival, serial: int) -> Welcome:
        has_inbox = self.devices is not None and arrival.device is not None
        return Welcome(
            session=show_session(serial),
            user=arrival.uid,
            tenant=arrival.tenant,
            ping=self._config.ping_interval,
            limits=self._limits,
            spread=self.spread.seconds,
            device=UNSET if arrival.device is None else arrival.device,
            missed=arrival.missed if has_inbox else UNSET,
            cursor=arrival.cursor if has_inbox and arrival.cursor is not None else UNSET,
            epoch=arrival.epoch if has_inbox and arrival.epoch is not None else UNSET,
        )

    def _watch(self, session: ChannelSession) -> None:
        """Have whatever its client sends read from now on."""
        self._poller.add(session.fd, self.streams if session.format == EVENTS else self.handler)

    def _forget(self, session: ChannelSession, code: str) -> bool:
        if self.by_fd[session.fd] is not session:
            return False
        if session.device is not None and self.devices is not None:
            self.devices.end(session)
        self.table.leave(session)
        self._row[CLOSED.get(code) or CLOSED["other"]] += 1
        return True


def _tell_nobody(*_what: str | int) -> None:
    """There is no other node."""
