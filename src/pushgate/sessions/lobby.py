"""The lobby: where a connection is until its HTTP upgrade and its token have been checked.

From here it goes to the worker that owns its user's shard, or it is told why not. A bad request is an HTTP error; a bad
token is told after the upgrade, by a close code, because scripts in a browser can read that alone. The same holds for
streams of Server-Sent Events. What came with an acknowledgement is carried to its session, and answered, elsewhere.
"""

from collections.abc import Callable

from pushgate.codes import Close
from pushgate.config import ClientsConfig
from pushgate.errors import MessageError, TokenRefused, UpgradeRefused, WireError
from pushgate.messages.client import Connect
from pushgate.messages.formats import EVENTS, FORMATS
from pushgate.messages.questions import Acknowledge
from pushgate.metrics.catalogue import LOBBY, REFUSED
from pushgate.metrics.rows import Row
from pushgate.sessions.admission import Admission, come_back
from pushgate.sessions.arrival import Arrival
from pushgate.sessions.fallback import MAX_ACK, METHODS, allow_page, read_acknowledgement, read_listener
from pushgate.sessions.guest import Guest
from pushgate.sessions.handshake import Inbox, check_inbox, read_hello
from pushgate.sessions.pages import answer_page
from pushgate.sessions.terms import Terms
from pushgate.sockets.poller import TICK, Poller
from pushgate.tenants.registry import Tenants
from pushgate.wire.events import open_stream
from pushgate.wire.frames import CLOSE, PING, PONG, encode_close, encode_frame, frame_size, parse_close
from pushgate.wire.reader import FrameReader
from pushgate.wire.request import Request, find_head, parse_request
from pushgate.wire.upgrade import Headers, check_upgrade, encode_answer, encode_head, encode_switching

MAX_CONNECT = 16 * 1024
"""Bytes of a `connect` message."""
MAX_FRAMES = 64
"""Frames up to the end of the `connect` message: its fragments, and heartbeats before it."""

_BODIES = {"/ack": MAX_ACK}


class Lobby:
    """The lobby of one worker (Handler). `deliver(fd, arrival)` takes a connection over once it is known.

    `acknowledge(fd, what, headers)` takes one over that brought an acknowledgement, and answers it with the headers.
    """

    def __init__(
        self,
        poller: Poller,
        tenants: Tenants,
        terms: Terms,
        admission: Admission,
        config: ClientsConfig,
        row: Row,
        deliver: Callable[[int, Arrival], None],
        acknowledge: Callable[[int, Acknowledge, Headers], None],
    ) -> None:
        self._poller = poller
        self._tenants = tenants
        self._terms = terms
        self._admission = admission
        self._row = row
        self._deliver = deliver
        self._acknowledge = acknowledge
        self._compression = config.compression
        self._patience = max(1, round(config.handshake_timeout / TICK))
        self._guests: dict[int, Guest] = {}  # in the order of their deadlines
        self._tick = 0

    def admit(self, fd: int, address: bytes) -> None:
        """Take in a connection that `admission` has counted in, of this address."""
        self._guests[fd] = Guest(address, self._tick + self._patience)
        self._row[LOBBY] += 1
        self._poller.add(fd, self)

    def readable(self, fd: int) -> None:
        """Read on in a handshake (Handler)."""
        guest = self._guests[fd]
        size = self._poller.read(fd)
        if size < 0:
            return
        if size == 0:
            self._leave(fd, "gone")
            self._poller.close(fd)
            return
        guest.buffer += memoryview(self._poller.buffer)[:size]
        try:
            if guest.reader is None:
                self._read_request(fd, guest)
            else:
                self._read_connect(fd, guest, guest.reader)
        except UpgradeRefused as refused:
            self._leave(fd, refused.cause or ("not_websocket" if refused.status in (404, 405, 426) else "malformed"))
            headers = (*refused.headers, *guest.headers)
            self._poller.finish(fd, encode_answer(refused.status, refused.reason, headers))
        except WireError as error:
            self._turn_away(fd, "malformed", error.close, error.reason)
        except TokenRefused as refused:
            self._turn_away(fd, "token", refused.close, refused.reason)

    def fail(self, fd: int) -> None:
        """Let go of the connection (Handler)."""
        if fd in self._guests:
            self._leave(fd, "fault")
        self._poller.close(fd)

    def tick(self) -> None:
        """Count one tick, and turn away those whose time is over."""
        self._tick += 1
        while self._guests:
            fd, guest = next(iter(self._guests.items()))
            if guest.deadline > self._tick:
                return
            if guest.reader is None:
                self._leave(fd, "timeout")
                self._poller.finish(fd, encode_answer(408, "the request took too long"))
            else:
                self._turn_away(fd, "timeout", Close.HANDSHAKE_TIMEOUT, "no connect message in time")

    def empty(self) -> None:
        """Turn everybody away: the worker stops."""
        for fd, guest in list(self._guests.items()):
            if guest.reader is None:
                self._leave(fd, "overloaded")
                self._poller.finish(fd, encode_answer(503, "this node stops", come_back()))
            else:
                self._turn_away(fd, "overloaded", Close.GOING_AWAY, "")

    def _read_request(self, fd: int, guest: Guest) -> None:
        if len(guest.buffer) < guest.size:
            return
        end = find_head(guest.buffer, guest.searched)
        if end < 0:
            guest.searched = len(guest.buffer)
            return
        request = parse_request(guest.buffer[:end], _BODIES)
        if request.body > len(guest.buffer) - end:
            guest.size = end + request.body
            return
        forwarded = request.headers.get("x-forwarded-for")
        if forwarded is not None:
            self._note_client(guest, forwarded)
        guest.agent = request.headers.get("user-agent", "")
        if request.path == "/ws":
            self._upgrade(fd, guest, request, guest.buffer[end:])
        elif request.path in METHODS:
            self._fall_back(fd, guest, request, guest.buffer[end : end + request.body])
        else:
            status, answer = answer_page(request)
            self._leave(fd, "" if status == 200 else "not_websocket")
            self._poller.finish(fd, answer)

    def _upgrade(self, fd: int, guest: Guest, request: Request, surplus: bytes) -> None:
        upgrade = check_upgrade(request)
        self._terms.origins.check(request.headers.get("origin"))
        hello = read_hello(request, upgrade, self._compression)
        greeting = encode_switching(upgrade.accept, hello.protocol, hello.extensions)
        guest.format = hello.format
        if hello.token is None:
            self._await_connect(fd, guest, greeting, surplus)
        else:
            self._let_in(fd, guest, hello.token, hello.inbox, greeting, surplus)

    def _fall_back(self, fd: int, guest: Guest, request: Request, body: bytes) -> None:
        """Let in who cannot have a WebSocket, or take what such a client acknowledges."""
        guest.headers = allow_page(self._terms.origins, request)
        method = METHODS[request.path]
        if request.method == "OPTIONS":
            self._leave(fd, "")
            self._poller.finish(fd, encode_head(204, (("Connection", "close"), *guest.headers)))
        elif request.method != method:
            raise UpgradeRefused(405, f"only {method} here", (("Allow", f"{method}, OPTIONS"),))
        elif request.path == "/sse":
            token, inbox = read_listener(request)
            guest.format = EVENTS
            self._let_in(fd, guest, token, inbox, open_stream(guest.headers), b"")
        else:
            token, said = read_acknowledgement(request, body)
            try:
                claims = self._tenants.check_token(token)
            except TokenRefused as refused:
                raise UpgradeRefused(401, refused.reason, (("WWW-Authenticate", "Bearer"),), cause="token") from None
            self._leave(fd, "")
            self._poller.release(fd)
            self._acknowledge(fd, Acknowledge(claims.tenant, claims.uid, said.session, said.offset), guest.headers)

    def _let_in(self, fd: int, guest: Guest, token: str, inbox: Inbox, greeting: bytes, surplus: bytes) -> None:
        try:
            arrival = self._identify(guest, token, inbox)
        except TokenRefused as refused:
            self._leave(fd, "token")
            self._poller.finish(fd, greeting + FORMATS[guest.format].close(refused.close, refused.reason))
            return
        arrival.greeting, arrival.surplus = greeting, surplus
        self._pass_on(fd, arrival)

    def _note_client(self, guest: Guest, forwarded: str) -> None:
        """Take a trusted proxy's word for whom it speaks for; of others X-Forwarded-For means nothing."""
        proxies = self._terms.proxies
        if self._terms.forwarded and proxies.trust(guest.address):
            client = proxies.find_client(forwarded)
            if client is not None:
                self._admission.move(guest.address, client)
                guest.address = client

    def _await_connect(self, fd: int, guest: Guest, greeting: bytes, surplus: bytes) -> None:
        del self._guests[fd]  # to the end of the order: the time for `connect` begins now
        guest.deadline = self._tick + self._patience
        self._guests[fd] = guest
        guest.buffer = surplus
        guest.reader = FrameReader(MAX_CONNECT, FORMATS[guest.format].deflate)
        self._poller.write(fd, greeting)
        if surplus:
            self._read_connect(fd, guest, guest.reader)

    def _read_connect(self, fd: int, guest: Guest, reader: FrameReader) -> None:
        """Read frames one by one, so that what stands behind the `connect` message stays whole for its owner."""
        while True:
            size = frame_size(guest.buffer)
            too_big = size > MAX_CONNECT + 14
            if too_big:
                size = 14  # the reader says from the head alone what else is wrong
            if size < 0 or size > len(guest.buffer):
                return
            frame, guest.buffer = guest.buffer[:size], guest.buffer[size:]
            guest.frames += 1
            if guest.frames > MAX_FRAMES:
                raise WireError(Close.TOO_FAST, "too many frames before `connect`")
            for opcode, payload in reader.feed(frame):
                if opcode == PING:
                    self._poller.write(fd, encode_frame(PONG, payload))
                elif opcode == CLOSE:
                    code, _ = parse_close(payload)
                    self._leave(fd, "gone")
                    self._poller.finish(fd, encode_close(code))
                    return
                elif opcode != PONG:
                    self._connect(fd, guest, opcode, payload)
                    return
            if too_big:  # compressed: to the reader it could still be one that compressing made larger
                raise WireError(Close.TOO_BIG, f"message is over {MAX_CONNECT} bytes")

    def _connect(self, fd: int, guest: Guest, opcode: int, payload: bytes) -> None:
        try:
            chosen = FORMATS[guest.format]
            message = chosen.decode(opcode, payload) if opcode == chosen.codec.OPCODE else None
            if not isinstance(message, Connect):
                raise TokenRefused(Close.TOKEN_INVALID, "the first message must be `connect` with a token")
            inbox = check_inbox(message.device, message.cursor, message.epoch, message.from_)
        except MessageError as error:
            raise TokenRefused(error.close or Close.TOKEN_INVALID, error.reason) from None
        except UpgradeRefused as refused:
            raise TokenRefused(Close.BAD_MESSAGE, refused.reason) from None
        arrival = self._identify(guest, message.token, inbox)
        arrival.surplus = guest.buffer
        if self._poller.is_parked(fd):
            # It asks pings and reads no pongs: only sockets with nothing parked can be handed off.
            raise TokenRefused(Close.SLOW_CLIENT, "the client does not read")
        self._pass_on(fd, arrival)

    @property
    def guests(self) -> int:
        """How many are in their handshake."""
        return len(self._guests)

    def _identify(self, guest: Guest, token: str, inbox: Inbox) -> Arrival:
        claims = self._tenants.check_token(token)
        return Arrival(
            claims.tenant,
            claims.uid,
            claims.expires,
            claims.tags,
            guest.address,
            guest.agent[:128],
            *inbox,
            format=guest.format,
        )

    def _pass_on(self, fd: int, arrival: Arrival) -> None:
        del self._guests[fd]
        self._row[LOBBY] -= 1
        self._admission.leave(arrival.address)  # its session is counted by the owner
        self._poller.release(fd)
        self._deliver(fd, arrival)

    def _turn_away(self, fd: int, reason: str, code: Close, text: str) -> None:
        self._leave(fd, reason)
        self._poller.finish(fd, encode_close(code, text))

    def _leave(self, fd: int, reason: str) -> None:
        """Forget a guest, counted by the reason why it became no session, if it meant to."""
        guest = self._guests.pop(fd)
        self._row[LOBBY] -= 1
        self._admission.leave(guest.address)
        if reason:
            self._row[REFUSED[reason]] += 1
