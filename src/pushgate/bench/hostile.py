"""`bench hostile`: handshakes that lead nowhere, at a fixed rate and from few addresses, beside another bench.

Of four one each has a token of a wrong key, is garbage, is half a request whose sender goes away, and is a plain GET.
"""

import os
import select
import time
from collections import Counter

from pushgate.bench.figures import BUSY, per
from pushgate.bench.histogram import Histogram
from pushgate.bench.options import Address, Result
from pushgate.bench.payload import upgrade_request
from pushgate.bench.sources import dial, name_error
from pushgate.bench.tokens import sign
from pushgate.errors import ConfigError

WRONG_TOKEN, GARBAGE, HALF, GET = KINDS = ("wrong token", "garbage", "half a request", "GET")
_HOLD_NS = 1_000_000_000  # after so long half a request is dropped
_PATIENCE_NS = 5_000_000_000  # and the wait for an answer given up
_DROPPED = "dropped by us"


def bench_hostile(address: Address, rate: float, seconds: float, sources: int) -> Result:
    """Begin `rate` handshakes a second from so many addresses of this machine; the gateway must answer all of them.

    Raises ConfigError when the gateway is on another machine: strangers are not sent over a network.
    """
    if not address.ip.startswith("127."):
        raise ConfigError(f"{address.host}: expected a gateway on this machine, by its loopback address")
    strangers = _Strangers(address, sources)
    start, cpu = time.monotonic_ns(), time.process_time()
    total, period = round(rate * seconds), 1e9 / rate
    number = 0
    while number < total or strangers.flying:
        now = time.monotonic_ns()
        while number < total and start + number * period <= now:
            strangers.begin(number)
            number += 1
        strangers.step(0.001)
    took = (strangers.last_ns - start) / 1e9
    busy = (time.process_time() - cpu) / took
    answers: dict[str, dict[str, int]] = {kind: {} for kind in KINDS}
    for (kind, answer), count in sorted(strangers.answers.items()):
        answers[kind][answer] = count
    figures: dict[str, object] = {
        "bench": "hostile",
        "sources": sources,
        "handshakes": total,
        "handshakes_per_s": per(total, took),
        "answers": answers,
        "answer_ms": strangers.latencies.summary(),
        "generator": {"cpu_s": round(busy * took, 2), "busiest": round(busy, 2)},
    }
    warnings = [f"the generator was the bottleneck ({busy:.0%} of a CPU)"] if busy >= BUSY else []
    answered = all(answer.startswith(("HTTP ", "close ", _DROPPED)) for _, answer in strangers.answers)
    return Result(figures, answered and took < 1.1 * seconds + 1, warnings)


class _Knock:
    """One handshake on its way, begun at `since` and given up at `until`, in ns of the monotonic clock."""

    __slots__ = ("answer", "kind", "since", "until")

    def __init__(self, kind: str, since: int, until: int) -> None:
        self.kind = kind
        self.since = since
        self.until = until
        self.answer = b""


class _Strangers:
    """Begins handshakes and takes what comes back; `answers` counts it by kind and answer."""

    def __init__(self, address: Address, sources: int) -> None:
        self.flying: dict[int, _Knock] = {}
        self.answers: Counter[tuple[str, str]] = Counter()
        self.latencies = Histogram()
        self.last_ns = 0
        """When the last handshake was begun."""
        self._address = address
        self._sources = sources
        self._epoll = select.epoll()
        self._looked = 0
        host = address.host.encode()
        token = sign(os.urandom(32), "mallory", "default", int(time.time()) + 3600)
        self._requests = {
            WRONG_TOKEN: upgrade_request(address, token),
            GARBAGE: b"\xff" + os.urandom(255),
            HALF: b"GET /ws HTTP/1.1\r\nHost: %b\r\nUser-Agent: " % host,
            GET: b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % host,
        }

    def begin(self, number: int) -> None:
        """Begin one handshake."""
        kind = KINDS[number % len(KINDS)]
        self.last_ns = now = time.monotonic_ns()
        try:
            with dial(self._address, number // len(KINDS) % self._sources) as new:
                new.send(self._requests[kind])  # fails where the backlog is full
                self._epoll.register(new, select.EPOLLIN)
                self.flying[new.detach()] = _Knock(kind, now, now + (_HOLD_NS if kind == HALF else _PATIENCE_NS))
        except OSError as error:
            self.answers[kind, name_error(error)] += 1

    def step(self, timeout: float) -> None:
        """Take answers, waiting at most `timeout` seconds for one."""
        for fd, _ in self._epoll.poll(timeout):
            knock = self.flying[fd]
            try:
                data = os.read(fd, 4096)
            except OSError as error:
                self._end(fd, _read(knock.answer) or name_error(error))
                continue
            if not knock.answer:
                self.latencies.add((time.monotonic_ns() - knock.since) // 1000)
            knock.answer += data
            if not data:
                self._end(fd, _read(knock.answer) or "closed")
        now = time.monotonic_ns()
        if now - self._looked > _HOLD_NS // 20:
            self._looked = now
            for fd, knock in list(self.flying.items()):
                if knock.until <= now:
                    self._end(fd, _DROPPED if knock.kind == HALF and not knock.answer else "no answer")

    def _end(self, fd: int, answer: str) -> None:
        self.answers[self.flying.pop(fd).kind, answer] += 1
        os.close(fd)


def _read(answer: bytes) -> str:
    """Say in a word what was answered; nothing for nothing."""
    if not answer:
        return ""
    head, _, rest = answer.partition(b"\r\n\r\n")
    status = head[9:12].decode("latin-1")
    if status == "101" and rest[:1] == b"\x88":
        return f"close {int.from_bytes(rest[2:4], 'big')}"
    return f"HTTP {status}"
