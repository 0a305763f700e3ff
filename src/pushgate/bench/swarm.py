"""Many WebSocket connections in one process, for a few microseconds each: opened, read, counted.

One epoll, descriptors that are plain integers, tables indexed by descriptor, one buffer to read into. Nothing is
made per message and no object is kept per connection, because the generator must cost less than the server.
"""

import os
import select
from array import array
from collections import Counter
from collections.abc import Iterator
from time import monotonic_ns

from pushgate.bench.devices import Devices
from pushgate.bench.histogram import Histogram
from pushgate.bench.opening import Opening
from pushgate.bench.options import Address
from pushgate.bench.payload import DIGITS, MARK
from pushgate.bench.sources import dial, name_error

# Where a descriptor is in its life. OPEN promises that nothing of an unfinished frame is kept for it.
NONE, CONNECTING, UPGRADING, GREETED, OPEN, PARTIAL, WATCHED = range(7)

_BATCH = 512  # events taken at once: callers are looked at between two batches, so it bounds how long they wait
_BUFFER = 256 * 1024
_TEXT, _BINARY, _CLOSE, _PING = 0x81, 0x82, 0x88, 0x89
_EMPTY_PONG = bytes((0x8A, 0x80, 0, 0, 0, 0))


class Swarm:
    """Opens connections with prepared requests, answers pings, and counts every marked message that arrives."""

    def __init__(
        self,
        address: Address,
        room: int,
        first: int,
        sources: int,
        window: int,
        bare: bool,
        devices: Devices | None = None,
    ) -> None:
        """`room`: the highest descriptor plus one; `first`: number of the first connection, for source addresses.
        With `devices` every connection stands for one."""
        self.epoll = select.epoll()
        self.room = room
        self.opening = Opening(window)
        self.messages = 0
        self.received = 0  # bytes, of marked messages that came as one small frame or more
        self.last_ns = 0  # the last message
        self.pings = 0
        self.lost: Counter[str] = Counter()
        self.well_behaved = 1 << 31  # connections of this number and above may be closed for what they do
        self.dismissed: Counter[str] = Counter()  # and so they were
        self.deaf: dict[int, int] = {}  # descriptors that are not read from, and since when
        self.latencies = Histogram()
        self.number = array("i", [-1]) * room  # which connection a descriptor is
        self.got = array("I", bytes(4 * room))  # messages by descriptor
        self._address = address
        self._first = first
        self._sources = sources
        self._bare = bare
        self._state = bytearray(room)
        self._devices = devices
        self._held: dict[int, bytes] = {}  # an unsent request, or what came of an unfinished frame
        self._buffer = bytearray(_BUFFER)
        self._into = (self._buffer,)

    def storm(self) -> None:
        """Let go of every connection, and open them all anew; handshakes are counted from here on."""
        self.opening.persist()
        self.opening.forget()
        self.cut()
        self.lost.clear()

    def forget_messages(self) -> None:
        """Count messages from 0 on, each connection's and all."""
        self.got = array("I", bytes(4 * self.room))
        self.messages = self.received = 0
        self.latencies = Histogram()

    def cut(self) -> None:
        """Let go of every connection that is open."""
        for fd in list(self.live()):
            self._gone(fd, "cut")

    def leave(self, fd: int, farewell: bytes) -> None:
        """Say `farewell`, close a connection, and open it anew."""
        self._send(fd, farewell)
        self.opening.opened -= 1
        self.opening.lose(self.number[fd])
        self._forget(fd)

    def deafen(self, fd: int, now: int) -> None:
        """Read no more from a connection."""
        self.deaf[fd] = now
        self.epoll.modify(fd, 0)

    def hear(self, fd: int) -> None:
        """Read from it again."""
        del self.deaf[fd]
        self.epoll.modify(fd, select.EPOLLIN)

    def watch(self, fd: int) -> None:
        """Let `step` return early, and say so, when this descriptor can be read."""
        self._state[fd] = WATCHED
        self.epoll.register(fd, select.EPOLLIN)

    def live(self) -> Iterator[int]:
        """The descriptors of the connections that are open."""
        return (fd for fd in range(self.room) if self._state[fd] in (OPEN, PARTIAL))

    def step(self, timeout: float) -> bool:
        """Open what the window allows, then take one batch of events, waiting at most `timeout` seconds.

        Returns whether a watched descriptor can be read.
        """
        while (following := self.opening.take()) >= 0:
            self._connect(following)
        watched = False
        state, got, buffer, into = self._state, self.got, self._buffer, self._into
        devices, number = self._devices, self.number
        find, readv, clock, note = buffer.find, os.readv, monotonic_ns, self.latencies.add
        messages = received = 0
        for fd, _ in self.epoll.poll(timeout, _BATCH):
            if state[fd] == WATCHED:
                watched = True
                continue
            if state[fd] == CONNECTING:
                self._send_request(fd, self._held.pop(fd))
                continue
            try:
                size = readv(fd, into)
            except BlockingIOError:
                continue
            except OSError as error:
                self._gone(fd, name_error(error))
                continue
            # The usual case: one small whole text frame with our mark.
            if state[fd] == OPEN and size == buffer[1] + 2 < 128 and buffer[0] == _TEXT:
                at = find(MARK, 2, size) + 2
                if at > 2:
                    if devices is not None and not devices.take(fd, number[fd], buffer, at, size):
                        continue
                    now = clock()
                    note((now - int(buffer[at : at + DIGITS])) // 1000)
                    messages += 1
                    received += size
                    got[fd] += 1
                    continue
            if state[fd] == OPEN and size == 2 and buffer[0] == _PING:
                self.pings += 1
                self._send(fd, _EMPTY_PONG)
                continue
            self._take(fd, bytes(buffer[:size]))
        if messages:
            self.messages += messages
            self.received += received
            self.last_ns = now
        return watched

    def expire(self, timeout: float) -> None:
        """Give up the handshakes that have taken more than `timeout` seconds; called a few times a second."""
        self.opening.come_again()
        for fd in self.opening.overdue(timeout):
            self._gone(fd, "timeout")

    def close(self) -> None:
        """Close every connection."""
        for fd in range(self.room):
            if self._state[fd] not in (NONE, WATCHED):
                os.close(fd)
                self._state[fd] = NONE
        self.epoll.close()

    def _connect(self, number: int) -> None:
        request = self.opening.request(number)
        try:
            fd = dial(self._address, (self._first + number) % self._sources).detach()
        except OSError as error:
            self.opening.fail(number, name_error(error))
            return
        self.number[fd] = number
        self.got[fd] = 0
        # On loopback the connection stands already; elsewhere this waits for EPOLLOUT.
        self._state[fd] = UPGRADING
        self.opening.begin(fd)
        try:
            os.write(fd, request)
            self.epoll.register(fd, select.EPOLLIN)
        except BlockingIOError:
            self._state[fd] = CONNECTING
            self._held[fd] = request
            self.epoll.register(fd, select.EPOLLOUT)
        except OSError as error:
            self._gone(fd, name_error(error))

    def _send_request(self, fd: int, request: bytes) -> None:
        self._state[fd] = UPGRADING
        self.opening.begin(fd)
        try:
            os.write(fd, request)
            self.epoll.modify(fd, select.EPOLLIN)
        except OSError as error:
            self._gone(fd, name_error(error))

    def _take(self, fd: int, data: bytes) -> None:
        """Take what was read from a connection, whatever it is."""
        if not data:
            self._gone(fd, "closed")
            return
        held = self._held.pop(fd, None)
        if held:
            data = held + data
        if self._state[fd] == UPGRADING:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._held[fd] = data
                return
            if not data.startswith(b"HTTP/1.1 101"):
                self._gone(fd, f"HTTP {data[9:12].decode('latin-1')}")
                return
            self._state[fd] = GREETED
            data = data[end + 4 :]
            if self._bare:
                self._welcome(fd)
        left = self._frames(fd, data)
        if left:
            self._held[fd] = left
        if self._state[fd] in (OPEN, PARTIAL):
            self._state[fd] = PARTIAL if left else OPEN

    def _frames(self, fd: int, data: bytes) -> bytes:
        """Take every whole frame in `data` and return the rest; the connection may be gone after it."""
        position, end = 0, len(data)
        while position + 2 <= end:
            start, size = position + 2, data[position + 1]
            if size == 126:
                start, size = position + 4, int.from_bytes(data[position + 2 : position + 4], "big")
            elif size == 127:
                start, size = position + 10, int.from_bytes(data[position + 2 : position + 10], "big")
            if start + size > end:
                break
            first = data[position]
            if first in (_TEXT, _BINARY):
                self._message(fd, data, start, start + size, start + size - position)
            elif first == _PING:
                self.pings += 1
                self._send(fd, bytes((0x8A, 0x80 | size, 0, 0, 0, 0)) + data[start : start + size])
            elif first == _CLOSE:
                self._gone(fd, f"close {int.from_bytes(data[start : start + 2], 'big') or 1005}")
                return b""
            position = start + size
        return data[position:]

    def _message(self, fd: int, data: bytes, start: int, end: int, size: int) -> None:
        if self._state[fd] == GREETED:
            if b'"welcome"' in data[start:end]:
                self._welcome(fd)
            return
        at = data.find(MARK, start, end) + 2
        devices = self._devices
        if at > 2 and (devices is None or devices.take(fd, self.number[fd], data, at, end)):
            now = monotonic_ns()
            self.latencies.add((now - int(data[at : at + DIGITS])) // 1000)
            self.messages += 1
            self.received += size
            self.got[fd] += 1
            self.last_ns = now

    def _welcome(self, fd: int) -> None:
        self._state[fd] = OPEN
        self.opening.welcome(fd)

    def _send(self, fd: int, frame: bytes) -> None:
        try:
            os.write(fd, frame)
        except OSError:
            pass  # the next read says what is the matter, if anything is

    def _gone(self, fd: int, why: str) -> None:
        number = self.number[fd]
        if self._state[fd] not in (OPEN, PARTIAL):
            self.opening.fail(number, why, fd)
        else:
            if number < self.well_behaved:
                self.lost[why] += 1
            else:
                self.dismissed[why] += 1
                self.opening.opened -= 1
            self.opening.lose(number)
        self._forget(fd)

    def _forget(self, fd: int) -> None:
        if self._devices is not None:
            self._devices.leave(fd)
        self._held.pop(fd, None)
        self.deaf.pop(fd, None)
        self._state[fd] = NONE
        self.number[fd] = -1
        os.close(fd)
