"""The bridge: copies between a client's TLS socket and one end of a socket pair, whose other end is the session's.

So a session reads and writes plain text on an ordinary socket, in whichever worker its user belongs to, while the TLS
stays in the process that did the handshake.

- What one side does not take at once is kept, and nothing more is read from the other until it is gone: at most
  BUFFER bytes each way, whatever a client or a session does. The kernel's buffers tell the sender to wait.
- OpenSSL is given more room than a record has and reads no further than one, so what is left to read is always in
  the kernel, where epoll shows it. Without renegotiation (and it is off) a read never waits for room to write, nor
  a write for something to read.
- The session's end reaches the client as `close_notify` and the end of the stream behind all that the session wrote;
  the client's end, with or without `close_notify`, reaches the session behind all that the client wrote (a reset
  reads like an end). A client that breaks TLS, or cannot be written to, is cut off, and its session reads the end.
- No deadline is kept here: TCP_USER_TIMEOUT ends a client that takes nothing, sessions end those who are silent.
"""

import os
from select import EPOLLIN, EPOLLOUT
from socket import AF_UNIX, SOCK_NONBLOCK, SOCK_STREAM, socketpair
from ssl import SSLSocket, SSLWantReadError, SSLWantWriteError

from pushgate.metrics.catalogue import PARKED_BYTES, TLS_CONNECTIONS
from pushgate.metrics.rows import Row
from pushgate.sockets.poller import Poller, end_sending


class _Pair:
    """One client: `outer` is its TLS socket, `inner` our end of the socket pair, -1 once the session has ended.

    `up` waits for the session to take it, `down` for the client. With `deaf` nothing more is read from the client: it
    has ended, or its session has gone. The events are what the poller watches for.
    """

    __slots__ = ("deaf", "down", "inner", "inner_events", "outer", "outer_events", "up")

    def __init__(self, outer: SSLSocket, inner: int) -> None:
        self.outer = outer
        self.inner = inner
        self.up = self.down = b""
        self.deaf = False
        self.outer_events = self.inner_events = EPOLLIN


class Bridge:
    """The TLS clients of one worker (Handler, of both sockets of each)."""

    def __init__(self, poller: Poller, row: Row) -> None:
        self._poller = poller
        self._row = row
        self._pairs: dict[int, _Pair] = {}

    def open(self, outer: SSLSocket) -> int:
        """Take over a socket whose handshake is done and which is watched for EPOLLIN; returns the session's end.

        Raises OSError, with the socket still the caller's, when files ran out.
        """
        ours, theirs = socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK)
        self._poller.add(ours.fileno(), self)
        pair = _Pair(outer, ours.detach())
        fd = outer.fileno()
        self._pairs[fd] = self._pairs[pair.inner] = pair
        self._poller.handlers[fd] = self
        self._row[TLS_CONNECTIONS] += 1
        return theirs.detach()

    @property
    def empty(self) -> bool:
        """Whether nobody is connected."""
        return not self._pairs

    def readable(self, fd: int) -> None:
        """Copy what one of the two sockets has, or has room for (Handler)."""
        pair = self._pairs[fd]
        if fd == pair.inner:
            self._hear_session(pair)
        elif pair.inner < 0:
            self._say_goodbye(pair)
        else:
            self._hear_client(pair)

    def fail(self, fd: int) -> None:
        """Cut the client off (Handler)."""
        self._cut(self._pairs[fd])

    def _hear_session(self, pair: _Pair) -> None:
        if pair.up:
            self._give_session(pair, pair.up)
        if pair.down:
            return
        size = self._poller.read(pair.inner)
        if size > 0:
            self._give_client(pair, memoryview(self._poller.buffer)[:size])
        elif size == 0:
            del self._pairs[pair.inner]
            self._poller.close(pair.inner)
            pair.inner = -1
            self._say_goodbye(pair)

    def _hear_client(self, pair: _Pair) -> None:
        if pair.down and not self._give_client(pair, pair.down):
            return
        if pair.up or pair.deaf:
            return
        try:
            size = pair.outer.recv_into(self._poller.buffer)
        except SSLWantReadError:
            return
        except OSError:
            self._cut(pair)
            return
        if size == 0:
            pair.deaf = True
        self._give_session(pair, memoryview(self._poller.buffer)[:size])

    def _give_client(self, pair: _Pair, data: bytes | memoryview) -> bool:
        """Encrypt and write; what the client does not take is kept. Returns False when it is gone."""
        try:
            sent = pair.outer.send(data)
        except SSLWantWriteError:
            sent = 0
        except OSError:
            self._cut(pair)
            return False
        if pair.down or sent < len(data):
            rest = bytes(data[sent:])  # the same object where nothing was taken of it
            self._row[PARKED_BYTES] += len(rest) - len(pair.down)
            pair.down = rest
            self._watch(pair)
        return True

    def _give_session(self, pair: _Pair, data: bytes | memoryview) -> None:
        """Write; what the session does not take is kept. Behind the client's last bytes comes the end."""
        try:
            written = os.write(pair.inner, data)
        except BlockingIOError:
            written = 0
        except OSError:
            pair.deaf = True  # the session is gone; its own last words may still be there to read
            written = len(data)
        if pair.deaf or pair.up or written < len(data):
            pair.up = bytes(data[written:])
            if pair.deaf and not pair.up:
                end_sending(pair.inner)
            self._watch(pair)

    def _watch(self, pair: _Pair) -> None:
        """Watch each side for what can go on."""
        outer = (0 if pair.up or pair.deaf else EPOLLIN) | (EPOLLOUT if pair.down else 0)
        if outer != pair.outer_events:
            self._poller.change(pair.outer.fileno(), pair.outer_events, outer)
            pair.outer_events = outer
        inner = (0 if pair.down else EPOLLIN) | (EPOLLOUT if pair.up else 0)
        if inner != pair.inner_events:
            self._poller.change(pair.inner, pair.inner_events, inner)
            pair.inner_events = inner

    def _say_goodbye(self, pair: _Pair) -> None:
        """Send `close_notify`, once there is room for it; the poller ends the connection behind it."""
        wanted = EPOLLIN
        try:
            pair.outer.unwrap()
        except SSLWantWriteError:
            wanted = EPOLLOUT
        except OSError:
            pass  # it is sent (the client's own is not waited for), or nobody is there to read it
        fd = pair.outer.fileno()
        if pair.outer_events != wanted:
            self._poller.change(fd, pair.outer_events, wanted)
            pair.outer_events = wanted
        if wanted == EPOLLIN:
            del self._pairs[fd]
            self._row[TLS_CONNECTIONS] -= 1
            self._poller.finish(pair.outer.detach(), b"")

    def _cut(self, pair: _Pair) -> None:
        """Close both sockets."""
        self._row[PARKED_BYTES] -= len(pair.down)
        self._row[TLS_CONNECTIONS] -= 1
        for fd in (pair.outer.detach(), pair.inner):
            if self._pairs.pop(fd, None) is not None:
                self._poller.close(fd)
