"""The SessionManager: maps (tenant, user) to the sessions of this worker, opens and closes them."""

import secrets
import sys
import time
from itertools import count

from msgspec import UNSET

from pushgate.codes import Close
from pushgate.config import ClientsConfig
from pushgate.messages.client import FromServer, Limits, Reconnect, Welcome
from pushgate.messages.formats import FORMATS
from pushgate.metrics.catalogue import CLOSED, CONNECTIONS, DROPPED, OPENED, USERS
from pushgate.metrics.rows import Row
from pushgate.sessions.arrival import Arrival
from pushgate.sessions.session import (
    ADDRESS_BYTES,
    Agents,
    ChannelSession,
    Columns,
    Description,
    UserSession,
    show_address,
    show_session,
)
from pushgate.sockets.poller import Handler, Poller
from pushgate.wire.frames import encode_close

ABNORMAL = "1006"
"""How a connection that went without a close frame is counted (RFC 6455 section 7.1.5)."""


class SessionManager:
    """The sessions of one worker, by user and by descriptor.

    `handler` is who reads from them (it needs the manager, so it is set once both exist). `by_fd` is indexed by
    descriptor and None where there is no session.
    """

    def __init__(self, poller: Poller, config: ClientsConfig, row: Row) -> None:
        self.by_fd: list[ChannelSession | None] = [None] * 1024
        self.columns = Columns()
        self.agents = Agents()
        self.handler: Handler
        self.tick = 0
        self._poller = poller
        self._write = poller.write
        self._config = config
        self._limits = Limits(message=config.max_message)
        self._row = row
        self._tenants: dict[str, dict[str, UserSession]] = {}
        # A session's number is unlike any other's, on this and other workers, and before a restart.
        self._serials = count(secrets.randbits(40) << 24)

    def find(self, tenant: str, uid: str) -> tuple[ChannelSession, ...]:
        """Return the live sessions of a user on this worker, the oldest first."""
        users = self._tenants.get(tenant)
        user = users.get(uid) if users is not None else None
        return user.channels if user is not None else ()

    def open(self, fd: int, arrival: Arrival) -> ChannelSession:
        """Make a session of a descriptor that the poller does not know yet, and greet it.

        Over the cap of its user the oldest session is closed; so is an older one of the same device.
        """
        tenant = sys.intern(arrival.tenant)  # there are few, and every token brings the name as a string of its own
        users = self._tenants.setdefault(tenant, {})
        user = users.get(arrival.uid)
        if user is None:
            user = users[arrival.uid] = UserSession(tenant, arrival.uid)
            self._row[USERS] += 1
        session = ChannelSession(fd, user, arrival.device, arrival.tags, arrival.format)
        others = user.channels
        user.channels = (*others, session)
        if arrival.device is not None:
            for older in others:
                if older.device == arrival.device:
                    self.close(older, Close.REPLACED)
        excess = len(user.channels) - self._config.sessions_per_user
        for older in user.channels[: max(0, excess)]:
            self.close(older, Close.REPLACED)
        serial = self._record(fd, arrival)
        self.by_fd[fd] = session
        self._row[CONNECTIONS] += 1
        self._row[OPENED] += 1
        self._poller.add(fd, self.handler)
        welcome = Welcome(
            session=show_session(serial),
            user=arrival.uid,
            tenant=arrival.tenant,
            ping=self._config.ping_interval,
            limits=self._limits,
            device=UNSET if arrival.device is None else arrival.device,
        )
        self._write(fd, arrival.greeting + FORMATS[session.format].frame(welcome))
        return session

    def send(self, session: ChannelSession, message: FromServer) -> None:
        """Send one session a message of its own."""
        self.write(session, FORMATS[session.format].frame(message))

    def write(self, session: ChannelSession, frame: bytes) -> None:
        """Write a frame to a session; one that does not read is closed with SLOW_CLIENT."""
        if not self._write(session.fd, frame):
            self.close(session, Close.SLOW_CLIENT)

    def close(self, session: ChannelSession, code: Close, reason: str = "") -> None:
        """End a session from our side: close frame, what is parked first, then the socket. Closed already: nothing."""
        if self._forget(session, str(code.value)):
            self._poller.finish(session.fd, encode_close(code, reason))

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

    def set_expiry(self, session: ChannelSession, expires: int) -> None:
        """Note the end of a session's new token, in seconds since 1970, 0 for never."""
        self.columns.expires[session.fd] = expires

    def serial_of(self, fd: int) -> int:
        """Return the number that the id of the session on a descriptor shows."""
        return self.columns.serial[fd]

    def write_live(self, fd: int, frame: bytes) -> bool:
        """Write a live message to the session on a descriptor.

        Returns False when it was dropped: the client does not read, and is then closed, or was closed before.
        """
        session = self.by_fd[fd]
        if session is None:
            return False
        if self._write(fd, frame):
            return True
        self._row[DROPPED["slow_client"]] += 1
        self.close(session, Close.SLOW_CLIENT)
        return False

    def describe(self, session: ChannelSession) -> Description:
        """Return what can be told of a session."""
        columns, fd = self.columns, session.fd
        return Description(
            session=show_session(columns.serial[fd]),
            device=session.device,
            since=columns.since[fd],
            address=show_address(bytes(columns.address[fd * ADDRESS_BYTES : (fd + 1) * ADDRESS_BYTES])),
            agent=self.agents.name_of(columns.agent[fd]),
        )

    def _record(self, fd: int, arrival: Arrival) -> int:
        if fd >= len(self.by_fd):
            size = fd + 1024
            self.by_fd.extend([None] * (size - len(self.by_fd)))
            self.columns.grow(size)
        columns = self.columns
        serial = next(self._serials)
        columns.serial[fd] = serial
        columns.heard[fd] = self.tick
        columns.expires[fd] = arrival.expires
        columns.since[fd] = int(time.time())
        columns.agent[fd] = self.agents.number_of(arrival.agent)
        columns.address[fd * ADDRESS_BYTES : (fd + 1) * ADDRESS_BYTES] = arrival.address
        return serial

    def _forget(self, session: ChannelSession, code: str) -> bool:
        if self.by_fd[session.fd] is not session:
            return False
        self.by_fd[session.fd] = None
        session.reader = None
        user = session.user
        user.channels = tuple(channel for channel in user.channels if channel is not session)
        if not user.channels:
            del self._tenants[user.tenant][user.uid]
            self._row[USERS] -= 1
        self._row[CONNECTIONS] -= 1
        self._row[CLOSED.get(code) or CLOSED["other"]] += 1
        return True
