"""One connection to a NATS server, with nats-py for connecting and parsing, and its queues left out.

- All commands handed in within one iteration of the event loop go out as one write and one PING. The server
  works through a connection in order, so the PONG says that it has them all.
- Nothing is kept for later: when the connection is lost before the PONG, every caller is told at once.
- Each MSG is a plain call of `receive`, in the order of arrival over all subscriptions.
- A lost connection is not mended: NatsBus makes another.

What this uses of nats-py's inside was read in 2.16.0. The public way would not do: a publish is buffered
while the server is away and sent later; `flush` overtakes what is pending; each subscription has a queue and
a task, so that two arrive out of order; `close` waits for a silent server; reconnecting ends for good at any
error a server reports.
"""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from nats.aio.client import Client, Srv
from nats.protocol.parser import Parser

from pushgate.bus.base import Receive
from pushgate.log import get_logger

TICK = 0.25
"""Seconds between looks at a connection."""
PATIENCE = 8
"""Ticks until a PONG is overdue (2 s). Ticks and not time: a stall of our own loop is one tick, however long."""
PARKED = 64 * 1024 * 1024
"""Bytes that may wait for a server that does not read; then commands are refused."""

log = get_logger("bus")

Answer = asyncio.Future[str | None]
"""None when the server has it; else why that is not known."""


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
    """One connection, from `open` until `lost` is set; then `reason` says why. It must be closed either way."""

    _transport: Any
    _current_server: Any
    _pongs: list[Any]

    def __init__(self, pool: Sequence[Srv], receive: Receive) -> None:
        super().__init__()
        self._ps = _Parser(self)
        self._pool = pool
        self._receive = receive
        self._group: _Group | None = None
        self._now = 0
        self.silent = 0
        self.lost = asyncio.Event()
        self.reason = ""

    async def open(self, patience: float, pause: float, **credentials: str) -> None:
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
        """The largest payload that the server takes, in bytes."""
        return self._max_payload

    @property
    def pool(self) -> list[Srv]:
        """The servers now known: a server of a cluster names the others."""
        return list(self._server_pool)

    def send(self, commands: Iterable[bytes]) -> Answer:
        """Add commands to the group of this iteration. Raises nothing; the answer says what became of them."""
        loop = asyncio.get_running_loop()
        group = self._group
        if group is None:
            group = self._group = _Group(self._now)
            loop.call_soon(self._write, group)
        group.commands += commands
        answer: Answer = loop.create_future()
        group.answers.append(answer)
        return answer

    def _write(self, group: _Group) -> None:
        self._group = None
        if self.lost.is_set():
            group.settle(self.reason)
            return
        transport = self._transport._io_writer.transport
        if transport.get_write_buffer_size() > PARKED:
            group.settle("the bus does not keep up")
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

    async def close(self) -> None:
        """Drop the connection and end nats-py's tasks; no slower with a server that is gone."""
        self.drop("the bus is stopped")
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
        try:
            self._receive(data)
        except Exception:
            log.exception("receiver failed")  # raised here it would silently end nats-py's reading

    async def _process_err(self, err_msg: str) -> None:
        self.drop(err_msg.strip("'"))  # also for a refused publish: the PONG after it would confirm it

    async def _process_op_err(self, e: Exception) -> None:
        self.drop(str(e) or type(e).__name__)

    async def _note(self, error: Exception) -> None:
        self.reason = str(error) or type(error).__name__

    async def _ping_interval(self) -> None:
        """Tell those whose PONG is overdue; ping a silent server, and drop it when it stays silent."""
        while True:
            await asyncio.sleep(TICK)
            self._now += 1
            self.silent += 1
            overdue = [group for group in self._pongs if self._now - group.born >= PATIENCE]
            for group in overdue:
                group.settle("the bus did not confirm in time")
            if overdue and self.silent >= PATIENCE:
                self.drop("the bus is silent")
            elif self.silent == PATIENCE and not self._pongs:
                self.send(())
