"""One connection to a NATS server, with nats-py for connecting and parsing, and its queues left out.

- All commands handed in within one iteration of the event loop go out as one write and one PING. The server
  works through a connection in order, so the PONG says that it has them all.
- Nothing is kept for later: when the connection is lost before the PONG, or before the answer to a request, every
  caller is told at once.
- Each message is a plain call of its subscription's taker, in the order of arrival over all subscriptions.
- A lost connection is not mended: Connection makes another.

What this uses of nats-py's inside was read in 2.16.0. The public way would not do: a publish is buffered
while the server is away and sent later; `flush` overtakes what is pending; each subscription has a queue and
a task, so that two arrive out of order; `close` waits for a silent server; reconnecting ends for good at any
error a server reports; a request costs five times as much.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from secrets import token_hex
from typing import Any

from nats.aio.client import Client, Srv
from nats.protocol.parser import Parser

from pushgate.log import get_logger
from pushgate.nats.replies import Replies, Reply

TICK = 0.25
"""Seconds between looks at a connection."""
PATIENCE = 8
"""Ticks until a PONG is overdue (2 s). Ticks and not time: a stall of our own loop is one tick, however long."""
PARKED = 64 * 1024 * 1024
"""Bytes that may wait for a server that does not read; then commands are refused."""

log = get_logger("nats")

Answer = asyncio.Future[str | None]
"""None when the server has it; else why that is not known."""

Take = Callable[[bytes, bytes, bytes, bytes], None]
"""Takes a message of a subscription: subject, reply subject, headers and payload; b"" where there is none."""


class _Group:
    """What goes out in one write, and those who wait for its PONG. It stands among nats-py's `_pongs` like a
    future.

    A future for each caller: one that many await would pass on one caller's cancellation to all, and is no
    faster.
    """

    __slots__ = ("answers", "born", "commands")

    def __init__(self, born: int) -> None:
        self.born = born
        self.commands: list[bytes] = []
        self.answers: list[Answer] = []

    def set_result(self, pong: bool) -> None:
        """Take nats-py's word that the PONG came."""
        self.settle(None)

    def settle(self, failure: str | None) -> None:
        for answer in self.answers:
            if not answer.done():
                answer.set_result(failure)
        self.answers = []


class _Parser(Parser):
    """Notes that the server gave a sign of life, once a read."""

    nc: "NatsLink"

    async def parse(self, data: bytes = b"") -> None:
        self.nc.silent = 0
        await super().parse(data)


class NatsLink(Client):
    """One connection, from `open` until `lost` is set; then `reason` says why. It must be closed either way.

    `part` is what it is the connection of, for people: the bus, say.
    """

    _transport: Any
    _current_server: Any
    _pongs: list[Any]

    def __init__(self, pool: Sequence[Srv], part: str) -> None:
        super().__init__()
        self._ps = _Parser(self)
        self._pool = pool
        self._part = part
        self._takers: dict[int, Take] = {}
        self._last_sid = 0
        self._replies: Replies | None = None
        self._group: _Group | None = None
        self._now = 0
        self.silent = 0
        self.lost = asyncio.Event()
        self.reason = ""

    async def open(self, patience: float, pause: float, **credentials: Any) -> None:
        """Connect to a server of the pool, any one, each tried twice at most; raises whatever nats-py does.

        `patience` is seconds for each step, `pause` seconds between two attempts at one server.
        """
        options: dict[str, Any] = {"connect_timeout": patience, "reconnect_time_wait": pause, **credentials}
        await self.connect(allow_reconnect=False, max_reconnect_attempts=1, error_cb=self._note, **options)

    @property
    def server(self) -> str:
        """The server's host and port, without credentials."""
        return str(self._current_server.uri.netloc)

    @property
    def limit(self) -> int:
        """The largest payload that the server takes, headers included, in bytes."""
        return self._max_payload

    @property
    def pool(self) -> list[Srv]:
        """The servers now known: a server of a cluster names the others."""
        return list(self._server_pool)

    def listen(self, subject: str, take: Take) -> int:
        """Subscribe with the group of this iteration; returns the number to `leave` it with."""
        self._last_sid += 1
        self._takers[self._last_sid] = take
        self.write((f"SUB {subject} {self._last_sid}\r\n".encode(),))
        return self._last_sid

    def leave(self, sid: int) -> None:
        """Take nothing more of a subscription, from now on."""
        if self._takers.pop(sid, None):
            self.write((b"UNSUB %d\r\n" % sid,))

    def write(self, commands: Iterable[bytes]) -> _Group:
        """Add commands to the group of this iteration, whatever becomes of them."""
        group = self._group
        if group is None:
            group = self._group = _Group(self._now)
            asyncio.get_running_loop().call_soon(self._write, group)
        group.commands += commands
        return group

    def send(self, commands: Iterable[bytes]) -> Answer:
        """Add commands to the group of this iteration. Raises nothing; the answer says what became of them."""
        answer: Answer = asyncio.get_running_loop().create_future()
        self.write(commands).answers.append(answer)
        return answer

    def expect(self, *, many: bool = False) -> tuple[bytes, asyncio.Future[list[Reply]]]:
        """Return a subject for a reply, and what will come to it: nothing where that is not known; see Replies."""
        if self._replies is None:
            self._replies = Replies(f"_INBOX.{token_hex(8)}.")
            self.listen(f"{self._replies.prefix}*", self._replies.take)
        if self.lost.is_set():
            self._replies.lose()  # whoever asks a lost connection is told at once, like those who asked before
        return self._replies.expect(self._now, many)

    def ask(self, subject: str, payload: bytes, *, many: bool = False) -> asyncio.Future[list[Reply]]:
        """Publish a request, and return what will come of it; see `expect`."""
        reply, replies = self.expect(many=many)
        self.write((b"PUB %b %b %d\r\n%b\r\n" % (subject.encode(), reply, len(payload), payload),))
        return replies

    def _write(self, group: _Group) -> None:
        self._group = None
        if self.lost.is_set():
            group.settle(self.reason)
            return
        transport = self._transport._io_writer.transport
        if transport.get_write_buffer_size() > PARKED:
            group.settle(f"the {self._part} does not keep up")
            return
        self._pongs.append(group)
        group.commands.append(b"PING\r\n")
        transport.write(b"".join(group.commands))
        group.commands = []

    def drop(self, reason: str) -> None:
        """End the connection now, and every wait for it."""
        if self.lost.is_set():
            return
        self.reason = reason
        self.lost.set()
        if self._transport and self._transport._io_writer:
            self._transport._io_writer.transport.abort()
        for group in self._pongs:
            group.settle(reason)
        self._pongs = []
        if self._replies is not None:
            self._replies.lose()

    async def close(self) -> None:
        """Drop the connection and end nats-py's tasks; no slower with a server that is gone."""
        self.drop(f"the {self._part} is stopped")
        self._status = Client.CLOSED
        tasks = [task for task in (self._reading_task, self._ping_interval_task, self._flusher_task) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._transport and self._transport._io_writer:
            with suppress(Exception):
                await asyncio.wait_for(self._transport.wait_closed(), 1)

    # What follows takes the place of nats-py's own.

    def _setup_server_pool(self, connect_url: object) -> None:
        self._server_pool = [replace(server, reconnects=0, last_attempt=None) for server in self._pool]

    def _connect_command(self) -> bytes:
        # nats-py would go on in the clear, credentials and all, where a server offers no TLS
        if self._current_server.uri.scheme == "tls" and not self._server_info.get("tls_required"):
            raise ConnectionError("the server offers no TLS")
        return super()._connect_command()

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        take = self._takers.get(sid)
        if take is None:
            return
        try:
            take(subject, reply, headers or b"", data)
        except Exception:
            log.exception("receiver failed")  # raised here it would silently end nats-py's reading

    async def _process_err(self, err_msg: str) -> None:
        self.drop(err_msg.strip("'"))  # also for a refused publish: the PONG after it would confirm it

    async def _process_op_err(self, e: Exception) -> None:
        self.drop(str(e) or type(e).__name__)

    async def _note(self, error: Exception) -> None:
        self.reason = str(error) or type(error).__name__

    async def _ping_interval(self) -> None:
        """Tell those whose PONG or answer is overdue; ping a silent server, and drop it when it stays silent."""
        while True:
            await asyncio.sleep(TICK)
            self._now += 1
            self.silent += 1
            overdue = [group for group in self._pongs if self._now - group.born >= PATIENCE]
            for group in overdue:
                group.settle(f"the {self._part} did not confirm in time")
            if self._replies is not None:
                self._replies.give_up(self._now)
            if overdue and self.silent >= PATIENCE:
                self.drop(f"the {self._part} is silent")
            elif self.silent == PATIENCE and not self._pongs:
                self.write(())
