"""Many WebSocket connections in one process, for a few microseconds each: opened, read, counted.

One epoll, descriptors that are plain integers, tables indexed by descriptor, one buffer to read into. Nothing is
made per message and no object is kept per connection, because the generator must cost less than the server.
"""

import os
import select
import socket
from array import array
from collections import Counter
from collections.abc import Iterator
from errno import errorcode
from time import monotonic_ns

from pushgate.bench.devices import Devices
from pushgate.bench.histogram import Histogram
from pushgate.bench.options import Address, source_address
from pushgate.bench.payload import DIGITS, MARK

# Where a descriptor is in its life. OPEN promises that nothing of an unfinished frame is kept for it.
NONE, CONNECTING, UPGRADING, GREETED, OPEN, PARTIAL, WATCHED = range(7)

_BATCH = 512  # events taken at once: callers are looked at between two batches, so it bounds how long they wait
_BUFFER = 256 * 1024
_IP_BIND_ADDRESS_NO_PORT = 24  # the kernel picks the port at connect(), when it knows the other end
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
        self.opened = 0
        self.messages = 0
        self.received = 0  # bytes, of marked messages that came as one small frame or more
        self.first_ns = 0  # the first request
        self.ready_ns = 0  # the last welcome
        self.last_ns = 0  # the last message
        self.failures: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self.handshakes = Histogram()
        self.latencies = Histogram()
        self.number = array("i", [-1]) * room  # which connection a descriptor is
        self.got = array("I", bytes(4 * room))  # messages by descriptor
        self._address = address
        self._first = first
        self._sources = sources
        self._window = window
        self._bare = bare
        self._state = bytearray(room)
        self._devices = devices
        self._requests: list[bytes] = []  # by connection
        self._waiting: list[int] = []  # connections to open: the next stands last
        self._persistent = False
        self._refused: list[int] = []  # and to open anew after a pause
        self._flying: dict[int, int] = {}  # descriptor to the time of its first byte, while in the handshake
        self._held: dict[int, bytes] = {}  # an unsent request, or what came of an unfinished frame
        self._buffer = bytearray(_BUFFER)
        self._into = (self._buffer,)

    def open(self, requests: list[bytes]) -> None:
        """Open a connection for each request, in order, as `step` is called."""
        self._requests = requests
        self._waiting = list(range(len(requests) - 1, -1, -1))
        self.first_ns = monotonic_ns()

    def persist(self) -> None:
        """From now on open what is lost at once anew, and what is refused after a pause."""
        self._persistent = True

    def storm(self) -> None:
        """Let go of every connection, and open them all anew; handshakes are counted from here on."""
        self.persist()
        self.handshakes = Histogram()
        self.opened = 0
        self.cut()
        self.lost.clear()
        self.first_ns = monotonic_ns()

    def forget_messages(self) -> None:
        """Count messages from 0 on, each connection's and all."""
        self.got = array("I", bytes(4 * self.room))
        self.messages = self.received = 0
        self.latencies = Histogram()

    def cut(self) -> None:
        """Let go of every connection that is open."""
        for fd in list(self.live()):
            self._gone(fd, "cut")

    @property
    def settled(self) -> bool:
        """Whether every connection asked for has opened or failed."""
        return not (self._waiting or self._flying or self._refused)

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
        while self._waiting and len(self._flying) < self._window:
            self._connect(self._waiting.pop())
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
                self._gone(fd, _name(error))
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
        self._waiting += self._refused
        self._refused.clear()
        before = monotonic_ns() - int(timeout * 1e9)
        for fd in [fd for fd, start in self._flying.items() if start < before]:
            self._gone(fd, "timeout")

    def close(self) -> None:
        """Close every connection."""
        for fd in range(self.room):
            if self._state[fd] not in (NONE, WATCHED):
                os.close(fd)
                self._state[fd] = NONE
        self.epoll.close()

    def _connect(self, number: int) -> None:
        request = self._requests[number]
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as new:
                if self._address.ip.startswith("127."):
                    new.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
                    new.bind((source_address((self._first + number) % self._sources), 0))
                try:
                    new.connect((self._address.ip, self._address.port))
                except BlockingIOError:
                    pass
                fd = new.detach()
        except OSError as error:
            self.failures[_name(error)] += 1
            if self._persistent:
                self._refused.append(number)
            return
        self.number[fd] = number
        self.got[fd] = 0
        # On loopback the connection stands already; elsewhere this waits for EPOLLOUT.
        self._state[fd] = UPGRADING
        self._flying[fd] = monotonic_ns()
        try:
            os.write(fd, request)
            self.epoll.register(fd, select.EPOLLIN)
        except BlockingIOError:
            self._state[fd] = CONNECTING
            self._held[fd] = request
            self.epoll.register(fd, select.EPOLLOUT)
        except OSError as error:
            self._gone(fd, _name(error))

    def _send_request(self, fd: int, request: bytes) -> None:
        self._state[fd] = UPGRADING
        self._flying[fd] = monotonic_ns()
        try:
            os.write(fd, request)
            self.epoll.modify(fd, select.EPOLLIN)
        except OSError as error:
            self._gone(fd, _name(error))

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
        self.opened += 1
        self.ready_ns = monotonic_ns()
        self.handshakes.add((self.ready_ns - self._flying.pop(fd)) // 1000)

    def _send(self, fd: int, frame: bytes) -> None:
        try:
            os.write(fd, frame)
        except OSError:
            pass  # the next read says what is the matter, if anything is

    def _gone(self, fd: int, why: str) -> None:
        was_open = self._state[fd] in (OPEN, PARTIAL)
        if was_open:
            self.lost[why] += 1
        else:
            self.failures[why] += 1
            self._flying.pop(fd, None)
        if self._persistent:
            (self._waiting if was_open else self._refused).append(self.number[fd])
        if self._devices is not None:
            self._devices.leave(fd)
        self._held.pop(fd, None)
        self._state[fd] = NONE
        self.number[fd] = -1
        os.close(fd)


def _name(error: OSError) -> str:
    return errorcode.get(error.errno or 0, str(error))
