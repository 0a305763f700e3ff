"""Many concurrent HTTP callers in one process: keep-alive sockets with prepared requests, on an epoll of their own.

Closed loop: each caller calls again as soon as it is answered. Open loop (a rate): call k is due at start + k / rate,
whichever caller is free makes it, and its latency counts from when it was due.
"""

import os
import select
import socket
from array import array
from collections import Counter
from time import monotonic_ns

from pushgate.bench.histogram import Histogram
from pushgate.bench.options import Address
from pushgate.bench.payload import Ids, PushRequest
from pushgate.bench.sources import name_error

_BATCH = 512
_BUFFER = 64 * 1024
_GRACE_NS = 1_000_000_000  # calls of an open loop that are due, but were not made so long after the end, never will be


class Callers:
    """Calls the API, counts answers by status, and knows how many pushes to each user were accepted."""

    def __init__(self, address: Address, requests: list[PushRequest], room: int, ids: Ids | None = None) -> None:
        """`requests`: one a user, used in turn; `room`: the highest descriptor plus one; `ids`: of reliable pushes."""
        self.epoll = select.epoll()
        self.accepted = array("Q", bytes(8 * len(requests)))  # by user
        self.answered = 0
        self.waiting = 0  # calls that have no answer yet
        self.errors: Counter[str] = Counter()
        self.latencies = Histogram()
        self.first_ns = 0
        self.last_ns = 0  # the last answer
        self._address = address
        self._requests = requests
        self._ids = ids
        self._turn = 0
        self._user = array("I", bytes(4 * room))  # by descriptor: the user pushed to
        self._since = array("Q", bytes(8 * room))  # by descriptor: when the call was made, or due; 0: no call
        self._held: dict[int, bytes] = {}  # what came of an unfinished answer
        self._free: list[int] = []
        self._missing = 0  # callers whose connection was lost
        self._until = 0
        self._period = 0.0  # nanoseconds between two calls of an open loop; 0: closed loop
        self._total = 0  # calls of the open loop in all
        self._made = 0  # and so far
        self._buffer = bytearray(_BUFFER)
        self._into = (self._buffer,)

    def connect(self, count: int) -> None:
        """Open so many more connections; those that cannot be opened are counted as errors, and missing."""
        for _ in range(count):
            try:
                with socket.create_connection((self._address.ip, self._address.port), timeout=5.0) as new:
                    new.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    new.setblocking(False)
                    fd = new.detach()
            except OSError as error:
                self.errors[name_error(error)] += 1
                self._missing += 1
                continue
            self._since[fd] = 0
            self.epoll.register(fd, select.EPOLLIN)
            self._free.append(fd)

    def start(self, seconds: float, rate: float) -> None:
        """Begin to call, for so many seconds; `rate` in calls a second, 0 for a closed loop."""
        self.first_ns = monotonic_ns()
        self._until = self.first_ns + int(seconds * 1e9)
        self._period = 1e9 / rate if rate else 0.0
        self._total = round(seconds * rate)
        if not rate:
            free, self._free = self._free, []
            for fd in free:
                self._call(fd, monotonic_ns())

    @property
    def calling(self) -> bool:
        """Whether more calls will be made."""
        now = monotonic_ns()
        return now < self._until or (self._made < self._total and now < self._until + _GRACE_NS)

    def pause(self) -> float:
        """Seconds until the next call of an open loop is due; a long time when none is, or nobody is free for it."""
        if self._made >= self._total or not self._free or not self.calling:
            return 3600.0
        return max(0.0, (self.first_ns + self._made * self._period - monotonic_ns()) / 1e9)

    def step(self) -> None:
        """Take the answers that are there and make the calls that are due; never waits."""
        for fd, _ in self.epoll.poll(0, _BATCH):
            try:
                size = os.readv(fd, self._into)
            except BlockingIOError:
                continue
            except OSError as error:
                self._gone(fd, name_error(error))
                continue
            self._answer(fd, size)
        if self._period:
            self._call_due()

    def mend(self) -> None:
        """Open the lost connections anew; called now and then, so that a dead server is not hammered."""
        missing, self._missing = self._missing, 0
        if missing and self.calling:
            self.connect(missing)
            if not self._period:
                free, self._free = self._free, []
                for fd in free:
                    self._call(fd, monotonic_ns())

    def give_up(self) -> None:
        """Count the calls that wait for their answer, or for a caller that is free, as errors; none is made after."""
        if self.waiting:
            self.errors["no answer"] += self.waiting
            self.waiting = 0
            self._since = array("Q", bytes(8 * len(self._since)))
        if self._made < self._total:
            self.errors["no free caller"] += self._total - self._made
            self._made = self._total

    def _call_due(self) -> None:
        while self._free and self._made < self._total and self.calling:
            due = self.first_ns + int(self._made * self._period)
            if due > monotonic_ns():
                return
            self._made += 1
            self._call(self._free.pop(), due)

    def _call(self, fd: int, since: int) -> None:
        user = self._turn
        self._turn = user + 1 if user + 1 < len(self._requests) else 0
        self._user[fd] = user
        self._since[fd] = since
        self.waiting += 1
        push = self._requests[user]
        request = push.at(since) if self._ids is None else push.at(since, self._ids.fresh())
        try:
            sent = os.write(fd, request)
        except OSError as error:
            self._gone(fd, name_error(error))
            return
        if sent != len(request):  # a request is small, and the one before was answered: the server does not read
            self._gone(fd, "short write")

    def _answer(self, fd: int, size: int) -> None:
        buffer: bytearray | bytes = self._buffer
        if not size:
            self._gone(fd, "closed")
            return
        if self._held and (held := self._held.pop(fd, None)) is not None:
            buffer = held + buffer[:size]
            size = len(buffer)
        whole = _answer_size(buffer, size)
        if whole < 0 or not self._since[fd]:
            self._gone(fd, "unreadable answer")
            return
        if not whole or whole > size:
            self._held[fd] = bytes(buffer[:size])
            return
        now = monotonic_ns()
        self.latencies.add((now - self._since[fd]) // 1000)
        self._since[fd] = 0
        self.waiting -= 1
        self.last_ns = now
        self.answered += 1
        if buffer[9] == 0x32:  # 2xx
            self.accepted[self._user[fd]] += 1
        else:
            self.errors[f"HTTP {buffer[9:12].decode('latin-1')}"] += 1
        if buffer.find(b"\r\nconnection: close\r\n", 0, whole) >= 0:
            self._missing += 1  # the server ends it behind this answer: another one is opened
            os.close(fd)
        elif self._period:
            self._free.append(fd)
        elif now < self._until:
            self._call(fd, now)

    def _gone(self, fd: int, why: str) -> None:
        # An idle keep-alive connection may be closed by the server at any time; that is no error.
        if self._since[fd]:
            self.errors[why] += 1
            self._since[fd] = 0
            self.waiting -= 1
        elif fd in self._free:
            self._free.remove(fd)
        self._held.pop(fd, None)
        self._missing += 1
        os.close(fd)


def _answer_size(buffer: bytearray | bytes, size: int) -> int:
    """The bytes of the HTTP answer that begins the buffer: 0 when its head is not whole, -1 when it has no length."""
    end = buffer.find(b"\r\n\r\n", 0, size)
    if end < 0:
        return 0
    at = buffer.find(b"ontent-", 0, end)
    while at >= 0:
        if buffer[at + 7 : at + 15].lower() == b"length: ":
            return end + 4 + int(buffer[at + 15 : buffer.find(b"\r", at, end + 1)])
        at = buffer.find(b"ontent-", at + 7, end)
    return -1
