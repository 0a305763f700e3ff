"""The poller: every client socket of a worker on one epoll, which is a single reader of the event loop.

A connection costs an entry in a table by descriptor: no transport, task, timer, queue, future or closure. What is read
lands in one shared buffer; what is written goes straight to the socket, and only the remainder that a socket would
not take is parked, up to a bound.

Descriptor numbers are reused by the kernel at once, so a number must never mean two sockets within one batch of events:
a descriptor closed while a batch is handled is closed for the kernel after the batch.
"""

import os
import socket
from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable, Sequence
from select import EPOLLIN, EPOLLOUT, POLLERR, POLLHUP, POLLRDHUP, epoll, poll
from typing import Protocol

from pushgate.log import get_logger
from pushgate.metrics.catalogue import PARKED_BYTES
from pushgate.metrics.rows import Row

BATCH = 256
"""Events handled in one callback of the loop: the slice that keeps it fair to everything else."""
BUFFER = 64 * 1024
"""Bytes read from one socket in its turn."""
TICK = 0.25
"""Seconds between two ticks of a worker."""
LINGER_TICKS = 20
"""How many ticks a half-closed socket is given to take more of its last bytes, or to close."""

_log = get_logger("sockets")


class Handler(Protocol):
    """Whoever has a descriptor on the poller; one object serves many descriptors."""

    def readable(self, fd: int) -> None:
        """There are bytes, an end of file or an error to read; not reading them means to be called again.

        For who watches for EPOLLOUT it may also mean room to write.
        """

    def fail(self, fd: int) -> None:
        """`readable` raised: let go of this descriptor, or leave it alone; the others must not notice."""


class _Parked:
    """What a socket would not take yet, oldest first; chunks are shared between sessions, never copied.

    `moved` is the tick in which it last took some.
    """

    __slots__ = ("chunks", "moved", "size")

    def __init__(self, tick: int) -> None:
        self.chunks: deque[memoryview] = deque()
        self.moved = tick
        self.size = 0


class Poller:
    """One epoll and its table of handlers. All methods are for the loop's own thread.

    Each of `on_drained` is called with a descriptor whose socket has taken all that was parked for it, and goes on.
    """

    def __init__(self, loop: AbstractEventLoop, write_bound: int, row: Row) -> None:
        self.handlers: list[Handler | None] = [None] * 1024
        self.buffer = bytearray(BUFFER)
        self._buffers = [self.buffer]
        self._loop = loop
        self._bound = write_bound
        self._row = row
        self._epoll = epoll()
        self._parked: dict[int, _Parked] = {}
        self._leaving: dict[int, int] = {}  # descriptor to the tick of its end; insertion order is the order of ends
        self._doomed: list[int] | None = None
        self.on_drained: list[Callable[[int], None]] = []
        self._after_batch: list[Callable[[], None]] = []
        self._tick = 0
        loop.add_reader(self._epoll.fileno(), self._handle_batch)

    def add(self, fd: int, handler: Handler, events: int = EPOLLIN) -> None:
        """Watch a descriptor, which must not block; the poller owns it from now on."""
        if fd >= len(self.handlers):
            self.handlers.extend([None] * (fd + 1024 - len(self.handlers)))
        self.handlers[fd] = handler
        self._epoll.register(fd, events)

    def change(self, fd: int, before: int, events: int) -> None:
        """Watch a descriptor for other events than `before`; for 0 not even its end or an error is told."""
        if not events:
            self._epoll.unregister(fd)
        elif not before:
            self._epoll.register(fd, events)
        else:
            self._epoll.modify(fd, events)

    def after_batch(self, callback: Callable[[], None]) -> None:
        """Have `callback` called after every batch of events, before the descriptors closed in it are let go."""
        self._after_batch.append(callback)

    def read(self, fd: int) -> int:
        """Read into `buffer`; returns how many bytes, 0 at the end (a reset too), -1 when there is nothing now."""
        try:
            return os.readv(fd, self._buffers)
        except (BlockingIOError, InterruptedError):
            return -1
        except OSError:
            return 0

    def write(self, fd: int, data: bytes) -> bool:
        """Write, or park what the socket does not take now.

        Returns False, with nothing taken, when what is parked already leaves no room under the bound. A peer that is
        gone counts as True: its end is read next.
        """
        if fd in self._parked:
            parked = self._parked[fd]
            if parked.size + len(data) > self._bound:
                return False
            self._park(parked, memoryview(data))
            return True
        try:
            written = os.write(fd, data)
        except BlockingIOError:
            written = 0
        except OSError:
            return True
        if written != len(data):
            self._start_parking(fd, memoryview(data)[written:])
        return True

    def write_all(self, fds: Sequence[int], data: bytes) -> list[int]:
        """Write the same to several descriptors; returns those of which `write` would say that they did not take it.

        A loop here costs half of what calls of `write` do.
        """
        refused = []
        parked, write, size = self._parked, os.write, len(data)
        for fd in fds:
            if fd in parked:
                if not self.write(fd, data):
                    refused.append(fd)
                continue
            try:
                written = write(fd, data)
            except BlockingIOError:
                written = 0
            except OSError:
                continue
            if written != size:
                self._start_parking(fd, memoryview(data)[written:])
        return refused

    def finish(self, fd: int, last: bytes) -> None:
        """Send `last` behind what is parked, whatever the bound, then end our direction and wait for the peer's.

        The socket is closed when the peer closes too, or LINGER_TICKS after it last took something. Without this a
        close with unread bytes would reset the connection, and the peer might lose `last`.
        """
        self.handlers[fd] = self
        self._leaving[fd] = self._tick + LINGER_TICKS
        parked = self._parked.get(fd)
        if parked is not None:
            self._park(parked, memoryview(last))
            return
        self.write(fd, last)
        if fd not in self._parked:
            end_sending(fd)

    def turn_away(self, fd: int, last: bytes, parked: bytes = b"") -> None:
        """Take on a descriptor that is on no poller, to send `last` behind what was parked for it, and `finish` it."""
        self.add(fd, self)
        self.park(fd, parked)
        self.finish(fd, last)

    def is_parked(self, fd: int) -> bool:
        """Whether bytes wait for the socket to take them."""
        return fd in self._parked

    def has_left(self, fd: int) -> bool:
        """Whether the peer of a descriptor has closed or cut the connection; the poller need not know it."""
        look = poll()
        look.register(fd, POLLRDHUP)
        return any(events & (POLLRDHUP | POLLHUP | POLLERR) for _, events in look.poll(0))

    def stalled(self, fd: int) -> int:
        """For how many ticks a socket has taken nothing of what is parked for it; 0 where nothing is."""
        parked = self._parked.get(fd)
        return self._tick - parked.moved if parked is not None else 0

    def take_parked(self, fd: int) -> bytes:
        """Return what is parked for a descriptor, and forget it: who is given the descriptor writes it on."""
        parked = self._parked.pop(fd, None)
        if parked is None:
            return b""
        self._row[PARKED_BYTES] -= parked.size
        return b"".join(parked.chunks)

    def park(self, fd: int, data: bytes) -> None:
        """Go on with what somebody else had parked for a descriptor, before anything else is written to it."""
        if data:
            self._start_parking(fd, memoryview(data))

    def release(self, fd: int) -> None:
        """Stop watching a descriptor and give it back to the caller; nothing may be parked for it."""
        self.handlers[fd] = None
        self._epoll.unregister(fd)

    def close(self, fd: int) -> None:
        """Close a descriptor; its number is not reused before the batch of events is done."""
        self.handlers[fd] = None
        self._leaving.pop(fd, None)
        parked = self._parked.pop(fd, None)
        if parked is not None:
            self._row[PARKED_BYTES] -= parked.size
        if self._doomed is None:
            os.close(fd)
        else:
            self._doomed.append(fd)

    def readable(self, fd: int) -> None:
        """Read and forget what a peer sends after our end (Handler)."""
        if self.read(fd) == 0:
            self.close(fd)

    def fail(self, fd: int) -> None:
        """Close (Handler)."""
        self.close(fd)

    def tick(self) -> None:
        """Count one tick, and close the half-closed sockets whose time is over."""
        self._tick += 1
        while self._leaving:
            fd = next(iter(self._leaving))
            if self._leaving[fd] > self._tick:
                break
            self.close(fd)

    @property
    def leaving(self) -> int:
        """How many sockets wait for their peer to close."""
        return len(self._leaving)

    def stop(self) -> None:
        """Leave the loop; descriptors stay as they are."""
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _handle_batch(self) -> None:
        self._doomed = []
        try:
            for fd, events in self._epoll.poll(0, BATCH):
                handler = self.handlers[fd]
                if handler is not None:
                    self._handle_events(fd, events, handler)
            for callback in self._after_batch:
                callback()
        finally:
            doomed, self._doomed = self._doomed, None
            for fd in doomed:
                os.close(fd)

    def _handle_events(self, fd: int, events: int, handler: Handler) -> None:
        try:
            if events & EPOLLOUT and fd in self._parked:
                self._flush(fd)
                if events == EPOLLOUT:
                    return
            handler.readable(fd)
        except Exception:
            # A fault met with one connection must not reach the others.
            _log.exception("a connection met a fault in the gateway")
            if self.handlers[fd] is handler:
                handler.fail(fd)

    def _start_parking(self, fd: int, rest: memoryview) -> None:
        parked = self._parked[fd] = _Parked(self._tick)
        self._park(parked, rest)
        self._epoll.modify(fd, EPOLLIN | EPOLLOUT)

    def _park(self, parked: _Parked, data: memoryview) -> None:
        parked.chunks.append(data)
        parked.size += len(data)
        self._row[PARKED_BYTES] += len(data)

    def _flush(self, fd: int) -> None:
        parked = self._parked[fd]
        chunks = parked.chunks
        try:
            written = os.writev(fd, [chunks[i] for i in range(min(len(chunks), 64))])
        except BlockingIOError:
            return
        except OSError:
            written = parked.size  # the peer is gone: nothing to keep, its end is read next
        parked.size -= written
        parked.moved = self._tick
        self._row[PARKED_BYTES] -= written
        if fd in self._leaving:
            del self._leaving[fd]  # to the end of the order
            self._leaving[fd] = self._tick + LINGER_TICKS
        while chunks and written >= len(chunks[0]):
            written -= len(chunks.popleft())
        if written:
            chunks[0] = chunks[0][written:]
        if not chunks:
            del self._parked[fd]
            self._epoll.modify(fd, EPOLLIN)
            if fd in self._leaving:
                end_sending(fd)
            else:
                for callback in self.on_drained:
                    callback(fd)


def end_sending(fd: int) -> None:
    """Half-close a descriptor: what was sent still arrives, then the peer reads the end."""
    sock = socket.socket(fileno=fd)
    try:
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # the peer was faster
    finally:
        sock.detach()
