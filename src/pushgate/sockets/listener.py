"""Listening sockets: opened once by the supervisor, shared by all workers, accepted from in small helpings."""

import errno
import os
import random
import socket
from collections.abc import Callable
from contextlib import suppress
from select import EPOLLEXCLUSIVE, EPOLLIN
from typing import Any

from pushgate.errors import StartError
from pushgate.log import get_logger
from pushgate.metrics.catalogue import REFUSED
from pushgate.metrics.rows import Row
from pushgate.sockets.poller import BUFFER, Poller

ACCEPT_BUDGET = 16
"""Connections one worker accepts in its turn, so that the others get theirs."""
USER_TIMEOUT_MS = 30_000
"""Unacknowledged bytes for so long mean that the peer is gone (TCP_USER_TIMEOUT)."""
KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_COUNT = 120, 15, 4
RETRY_SECONDS = 0.1
NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 26\r\n"
    b"Retry-After: %d\r\nConnection: close\r\n\r\nNo room for more. Sorry.\r\n"
)
"""What a client is told when files ran out, with the seconds after which to come back."""
BUSY_SECONDS = (2, 9)
"""The least and the most of them, so that not all come at once."""

_log = get_logger("sockets")


def open_listener(host: str, port: int, backlog: int) -> socket.socket:
    """Return a listening TCP socket that does not block; port 0 lets the kernel choose.

    Its options are inherited by every accepted socket, which saves their system calls. Raises StartError.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise StartError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_COUNT)
        listener.setblocking(False)
        listener.bind(address)
        listener.listen(backlog)
    except OSError as error:
        listener.close()
        raise StartError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    return listener


def encode_busy() -> bytes:
    """Return what one client is told when files ran out."""
    return BUSY % random.randint(*BUSY_SECONDS)  # noqa: S311


def refuse_all(listener: socket.socket) -> None:
    """Have the kernel refuse who connects from now on, in every process that shares the socket, and for good."""
    with suppress(OSError):  # done before
        listener.shutdown(socket.SHUT_RD)


class Listener:
    """Accepts from a shared listening socket and gives each connection to `admit(socket, address)`.

    When files run out it answers 503 with a descriptor kept in reserve, so that nobody hangs in the backlog and the
    loop does not spin on an event that it cannot clear.
    """

    def __init__(
        self,
        sock: socket.socket,
        poller: Poller,
        row: Row,
        admit: Callable[[socket.socket, Any], None],
        call_later: Callable[[float, Callable[[], None]], object],
    ) -> None:
        self._socket = sock
        self._poller = poller
        self._row = row
        self._admit = admit
        self._call_later = call_later
        self._listening = False
        self._resting = False
        self._reserve = _open_reserve()

    def start(self) -> None:
        """Begin to accept; nothing when it does already."""
        if not self._listening:
            self._listening = True
            if not self._resting:
                self._watch()

    def stop(self) -> None:
        """Stop accepting; the listening socket stays open for the others."""
        if self._listening and not self._resting:
            self._poller.release(self._socket.fileno())
        self._listening = False

    def readable(self, fd: int) -> None:
        """Accept a helping (Handler)."""
        for _ in range(ACCEPT_BUDGET):
            try:
                connection, address = self._socket.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in NO_ROOM:
                    if self._refuse_one():
                        continue
                    return
                if error.errno == errno.EINVAL:  # no longer listening: the node stops
                    self.stop()
                    return
                continue  # this client went before it was accepted (accept(2) lists how): the next, please
            connection.setblocking(False)
            self._admit(connection, address)

    def fail(self, fd: int) -> None:
        """Something went wrong with one connection: rest, but leave the socket, which others share (Handler)."""
        self._rest()

    def _refuse_one(self) -> bool:
        """Answer one waiting client 503; returns False when even that cannot be done now, and rests for a moment."""
        if self._reserve >= 0:
            os.close(self._reserve)
        try:
            connection, _ = self._socket.accept()
        except BlockingIOError:
            return False
        except OSError:
            self._rest()
            return False
        else:
            with connection, suppress(OSError):
                self._row[REFUSED["files"]] += 1
                connection.setblocking(False)
                connection.send(encode_busy())
                connection.shutdown(socket.SHUT_WR)
                connection.recv(BUFFER)  # closing with unread bytes would reset it, and the answer with it
            return True
        finally:
            self._reserve = _open_reserve()

    def _rest(self) -> None:
        _log.warning("accepting rests", seconds=RETRY_SECONDS)
        self._poller.release(self._socket.fileno())
        self._resting = True
        self._call_later(RETRY_SECONDS, self._resume)

    def _resume(self) -> None:
        self._resting = False
        if self._listening:
            self._watch()

    def _watch(self) -> None:
        self._poller.add(self._socket.fileno(), self, EPOLLIN | EPOLLEXCLUSIVE)


def _open_reserve() -> int:
    try:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1
