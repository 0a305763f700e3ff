"""What clients send: bytes to frames to messages, and what each message does."""

from msgspec import UNSET

from pushgate.codes import Close
from pushgate.config import ClientsConfig
from pushgate.errors import MessageError, TokenRefused, WireError
from pushgate.log import get_logger
from pushgate.messages.client import Ack, Connect, Error, Pong, Refresh
from pushgate.messages.formats import FORMATS
from pushgate.metrics.catalogue import RECEIVED, RECEIVED_BYTES
from pushgate.metrics.rows import Row
from pushgate.sessions.arrival import Arrival
from pushgate.sessions.manager import SessionManager
from pushgate.sessions.pace import Pace
from pushgate.sessions.session import ChannelSession
from pushgate.sessions.terms import Terms
from pushgate.sockets.poller import Poller
from pushgate.tenants.registry import Tenants
from pushgate.wire.frames import CLOSE, PING, PONG, encode_frame, parse_close, read_single
from pushgate.wire.reader import FrameReader

_log = get_logger("sessions")


class Inbound:
    """Reads from all sessions of a worker on WebSockets (Handler)."""

    def __init__(
        self, poller: Poller, sessions: SessionManager, tenants: Tenants, terms: Terms, config: ClientsConfig, row: Row
    ) -> None:
        self._poller = poller
        self._sessions = sessions
        self._pace = Pace(sessions.columns, terms)
        self._tenants = tenants
        self._max_message = config.max_message
        self._row = row

    def take(self, fd: int, arrival: Arrival) -> None:
        """Make a session of a connection that the lobby let go of, and read what it sent behind its handshake."""
        try:
            session = self._sessions.open(fd, arrival)
            if session is not None and arrival.surplus:
                allowance = self._pace.read(fd, len(arrival.surplus), self._sessions.tick)
                self._feed(session, arrival.surplus, allowance)
        except Exception:
            # Neither the lobby nor the hand-off knows the session: who holds it lets go of all of it.
            _log.exception("a connection met a fault in the gateway")
            self.fail(fd)

    def readable(self, fd: int) -> None:
        """Read what a session's client sent (Handler)."""
        session = self._sessions.by_fd[fd]
        assert session is not None
        size = self._poller.read(fd)
        if size <= 0:
            if size == 0:
                self._sessions.drop(session)
            return
        self._row[RECEIVED_BYTES] += size
        allowance = self._pace.read(fd, size, self._sessions.tick)
        if session.reader is None and allowance > 0:
            frame = read_single(self._poller.buffer, size)
            if frame is not None:
                self._pace.count(fd, 1)
                self._row[RECEIVED] += 1
                if frame[0] != PONG:
                    self._handle_frame(session, *frame)
                return
        self._feed(session, bytes(memoryview(self._poller.buffer)[:size]), allowance)

    def fail(self, fd: int) -> None:
        """Close the session with INTERNAL_ERROR (Handler)."""
        session = self._sessions.by_fd[fd]
        if session is None:
            self._poller.close(fd)
        else:
            self._sessions.close(session, Close.INTERNAL_ERROR)

    def _feed(self, session: ChannelSession, data: bytes, allowance: int) -> None:
        """Handle bytes of a session, whatever frames they hold or split, of which `allowance` may begin in them."""
        if allowance < 0:
            self._sessions.close(session, Close.TOO_FAST, "too many bytes in too short a time")
            return
        reader = session.reader
        if reader is None:
            reader = session.reader = FrameReader(self._max_message, FORMATS[session.format].deflate)
        reader.allowance = allowance
        by_fd, fd = self._sessions.by_fd, session.fd
        try:
            for opcode, payload in reader.feed(data):
                self._row[RECEIVED] += 1
                self._handle_frame(session, opcode, payload)
                if by_fd[fd] is not session:
                    return
        except WireError as error:
            self._sessions.close(session, error.close, error.reason)
            return
        self._pace.count(fd, allowance - reader.allowance)
        if reader.idle:
            session.reader = None

    def _handle_frame(self, session: ChannelSession, opcode: int, payload: bytes) -> None:
        if opcode < CLOSE:
            self._handle_message(session, opcode, payload)
        elif opcode == PING:
            self._sessions.write(session, encode_frame(PONG, payload))
        elif opcode == CLOSE:
            try:
                code, _ = parse_close(payload)
            except WireError as error:
                self._sessions.close(session, error.close, error.reason)
            else:
                self._sessions.answer_close(session, code)

    def _handle_message(self, session: ChannelSession, opcode: int, payload: bytes) -> None:
        try:
            message = FORMATS[session.format].decode(opcode, payload)
            match message:
                case Refresh():
                    self._refresh(session, message.token)
                case Ack():
                    if self._sessions.acknowledge(session, message.offset):
                        self._give_back(session)
                case Connect():
                    raise MessageError("connected", "this connection is connected already", "type")
                case _:
                    self._sessions.send(session, Pong(self._sessions.spread.seconds))
        except MessageError as error:
            if error.close is not None:
                self._sessions.close(session, error.close, error.reason)
            else:
                self._sessions.send(session, Error(error.code, error.reason, error.field or UNSET))

    def _give_back(self, session: ChannelSession) -> None:
        """Take an acknowledgement that moved a cursor out of the count of messages: it was asked for."""
        if session.reader is None:
            self._pace.count(session.fd, -1)
        else:
            session.reader.allowance += 1

    def _refresh(self, session: ChannelSession, token: str) -> None:
        try:
            claims = self._tenants.check_token(token)
        except TokenRefused as refused:
            raise MessageError("token_refused", refused.reason, "token") from None
        if (claims.tenant, claims.uid) != (session.user.tenant, session.user.uid):
            raise MessageError("token_refused", "the token is for somebody else", "token")
        session.tags = claims.tags
        self._sessions.set_expiry(session, claims.expires)
