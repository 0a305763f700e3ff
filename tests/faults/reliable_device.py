"""A device as its contract has it, on raw sockets: it keeps its cursor with its work, acknowledges cumulatively, and
writes down what it received. Nothing here is the product's code."""

import asyncio
import base64
import json
import os
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

from tests.rig.client import CLOSE, PING, PONG, TEXT, mask_frame
from tests.rig.dial import Address, dial

EAGER = 0.2
"""How many of its messages a device acknowledges at once; the rest when `settle` is called."""
COME_BACK = (0.05, 0.5)
"""Seconds until a device connects again."""


REPLACED = 4502
"""What a device is told whose newer connection takes the place of the older."""
RECEIVE_BUFFER = 4096
"""Bytes that a deaf device's system takes for it, or about twice as many."""


class Line(asyncio.Protocol):
    """One connection of a device: its bytes, and the highest offset that came over it."""

    def __init__(self, device: "Device", path: str) -> None:
        self._device = device
        self._path = path
        self._buffer = bytearray()
        self._upgraded = False
        self.transport: asyncio.Transport
        self.highest = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        transport.write(
            f"GET {self._path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._upgraded:
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if not end:
                return
            if b" 101 " not in head[:16]:
                self.transport.abort()  # busy, or going down
                return
            self._upgraded = True
            self._buffer = bytearray(rest)
        while not self.transport.is_closing() and self._take_frame():
            pass

    def _take_frame(self) -> bool:
        """Take one frame (never masked, never in parts); returns whether there was a whole one."""
        buffer = self._buffer
        if len(buffer) < 2:
            return False
        size, start = buffer[1], 2
        if size == 126:
            size, start = int.from_bytes(buffer[2:4], "big"), 4
        elif size == 127:
            size, start = int.from_bytes(buffer[2:10], "big"), 10
        if len(buffer) < start + size:
            return False
        opcode, payload = buffer[0] & 15, bytes(buffer[start : start + size])
        del buffer[: start + size]
        if opcode == TEXT:
            self._device.take(self, json.loads(payload))
        elif opcode == PING:
            self.transport.write(mask_frame(PONG, payload))
        elif opcode == CLOSE:
            self._device.take_close(self, int.from_bytes(payload[:2], "big"))
            self.transport.abort()
        return True

    def send(self, message: dict[str, Any]) -> None:
        self.transport.write(mask_frame(TEXT, json.dumps(message).encode()))

    def connection_lost(self, error: Exception | None) -> None:
        self._device.lose(self)


class Device:
    """One device of a user. `received` has the ids that it handled with the epoch and the offset of each, in order.

    With `keeps_cursor` it says its own cursor when it comes back; without, it relies on the gateway's. A `deaf` one
    reads nothing behind its welcome. What was not as promised goes to `complain`, in words.
    """

    def __init__(
        self,
        address: Callable[[], Address],
        user: str,
        name: str,
        token: str,
        complain: Callable[[str], None],
        dice: random.Random,
        *,
        keeps_cursor: bool = True,
        deaf: bool = False,
    ) -> None:
        self.user = user
        self.name = name
        self.received: list[tuple[str, int, str]] = []
        self.ids: set[str] = set()
        self.cursor = 0
        self.epoch = ""
        self.line: Line | None = None
        self.welcomes: list[dict[str, Any]] = []
        self.closes: Counter[int] = Counter()
        self.duplicates = self.resent = 0
        self._address = address
        self._path = f"/ws?token={token}&device={name}"
        self._complain = complain
        self._dice = dice
        self._keeps_cursor = keeps_cursor
        self.deaf = deaf
        self._tasks: set[asyncio.Task[None]] = set()
        self._owes = False
        self._stopped = False

    @property
    def is_welcome(self) -> bool:
        """Whether it is connected and was told where it stands."""
        return self.line is not None and self.line.highest >= 0 and bool(self.epoch)

    def connect(self) -> None:
        """Connect, and again whenever the connection is lost."""
        task = asyncio.get_running_loop().create_task(self._connect())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self) -> None:
        path = self._path
        if self._keeps_cursor and self.epoch:
            path += f"&cursor={self.cursor}&epoch={self.epoch}"
        loop = asyncio.get_running_loop()
        while not self._stopped:
            try:
                connection = await dial(self._address(), RECEIVE_BUFFER if self.deaf else 0)
                await loop.create_connection(lambda: self._take_line(path), sock=connection)
            except OSError:
                await asyncio.sleep(self._dice.uniform(*COME_BACK))
            else:
                return

    def _take_line(self, path: str) -> Line:
        self.line = Line(self, path)
        self.line.highest = -1
        return self.line

    def lose(self, line: Line) -> None:
        """A connection is gone."""
        if line is self.line:
            self.line = None
            if not self._stopped:
                asyncio.get_running_loop().call_later(self._dice.uniform(*COME_BACK), self.connect)

    def cut(self) -> None:
        """Lose the connection without a word, and whatever was read of it but not acknowledged is still handled."""
        if self.line is not None and hasattr(self.line, "transport"):
            self.line.transport.abort()

    def listen(self) -> None:
        """Read again."""
        self.deaf = False
        if self.line is not None:
            self.line.transport.resume_reading()

    def stop(self) -> None:
        """Go, for good."""
        self._stopped = True
        self.cut()
        for task in self._tasks:
            task.cancel()

    def settle(self) -> None:
        """Acknowledge what is handled and was not acknowledged yet."""
        if self._owes and self.line is not None and self.line.highest >= 0:
            self._owes = False
            # of what came over an earlier connection the gateway may have sent nothing on this one yet
            self.line.send({"type": "ack", "offset": min(self.cursor, self.line.highest)})

    def take_close(self, line: Line, code: int) -> None:
        """Be told to go; for good only as a connection that it has left itself."""
        self.closes[code] += 1
        if code >= 4500 and not (code == REPLACED and line is not self.line):
            self._complain(f"{self.user}/{self.name} was closed with {code}")

    def take(self, line: Line, message: dict[str, Any]) -> None:
        """Handle what the gateway says on the newest connection."""
        if line is not self.line:
            return
        match message["type"]:
            case "welcome":
                self.welcomes.append(message)
                line.highest = message["cursor"]
                if self.deaf:
                    line.transport.pause_reading()
                if message["epoch"] != self.epoch:
                    self.epoch, self.cursor = message["epoch"], message["cursor"]
            case "message" if "offset" in message:
                self._handle(line, message)
            case "error":
                self._complain(f"{self.user}/{self.name} was told: {message}")

    def _handle(self, line: Line, message: dict[str, Any]) -> None:
        offset, resent = message["offset"], message.get("resent", False)
        self.resent += resent
        if resent != (offset <= line.highest):
            self._complain(f"{self.user}/{self.name}: {message['id']} at {offset} after {line.highest}, {resent=}")
        line.highest = max(line.highest, offset)
        self._owes = True
        if offset <= self.cursor:
            self.duplicates += 1
        else:
            self.received.append((self.epoch, offset, message["id"]))
            self.ids.add(message["id"])
            self.cursor = offset
        if self._dice.random() < EAGER:
            self.settle()
