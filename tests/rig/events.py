"""A client of Server-Sent Events for tests, written from the HTML standard and not from the product's code."""

import asyncio
import json
import socket
import ssl
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from tests.rig.client import Refused


class Event(NamedTuple):
    """One event as a page is told of it."""

    type: str
    data: str
    id: str


class Parser:
    """The standard's section 9.2.6, for bytes that come in any pieces."""

    def __init__(self) -> None:
        self.last_id = ""
        self.retry: int | None = None
        self.comments = 0
        self._rest = b""
        self._after_cr = False
        self._type = ""
        self._data: list[str] = []

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that end in these bytes."""
        if self._after_cr and data[:1] == b"\n":
            data = data[1:]
        self._after_cr = data.endswith(b"\r") or (self._after_cr and not data)
        *lines, self._rest = (self._rest + data).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        return [event for line in lines if (event := self._take(line.decode())) is not None]

    @property
    def idle(self) -> bool:
        """Whether nothing of an event that has not ended is there."""
        return not (self._rest or self._data or self._type)

    def _take(self, line: str) -> Event | None:
        if not line:
            event = Event(self._type or "message", "\n".join(self._data), self.last_id) if self._data else None
            self._type, self._data = "", []
            return event
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "":
                self.comments += 1
            case "event":
                self._type = value
            case "data":
                self._data.append(value)
            case "id" if "\0" not in value:
                self.last_id = value
            case "retry" if value.isascii() and value.isdigit():
                self.retry = int(value)
        return None


@dataclass
class Answer:
    """An answer to a request."""

    status: int
    headers: dict[str, str]
    body: str


async def ask(
    port: int, method: str, path: str, headers: dict[str, str] | None = None, body: str = "", host: str = "127.0.0.1"
) -> Answer:
    """Ask, and read to the end of the connection."""
    reader, writer = await asyncio.open_connection(host, port)
    lines = {"Host": f"{host}:{port}", **({"Content-Length": str(len(body))} if body else {}), **(headers or {})}
    head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    writer.write(f"{head}\r\n{body}".encode())
    async with asyncio.timeout(10):
        raw = await reader.read()
    writer.close()
    answer_head, _, rest = raw.decode().partition("\r\n\r\n")
    status, *named = answer_head.split("\r\n")
    pairs = (line.partition(": ") for line in named)
    return Answer(int(status.split()[1]), {name.lower(): value for name, _, value in pairs}, rest)


async def acknowledge(port: int, token: str, session: str, offset: object, host: str = "127.0.0.1") -> Answer:
    """Acknowledge on a session."""
    body = json.dumps({"session": session, "offset": offset})
    return await ask(port, "POST", "/ack", {"Authorization": f"Bearer {token}"}, body, host)


class EventStream:
    """One stream. Every wait is bounded by `patience` seconds."""

    _open: ClassVar[list["EventStream"]] = []

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str) -> None:
        self.reader = reader
        self.writer = writer
        self.head = head
        self.patience = 10.0
        self.parser = Parser()
        self.welcome: dict[str, Any] = {}
        self._events: list[Event] = []
        self._open.append(self)

    @classmethod
    async def open(
        cls,
        port: int,
        path: str,
        headers: dict[str, str] | None = None,
        host: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
        sock: socket.socket | None = None,
    ) -> "EventStream":
        """Ask for a stream. Raises Refused. `sock` is one that is connected already."""
        where: dict[str, Any] = {"sock": sock} if sock is not None else {"host": host, "port": port, "ssl": tls}
        reader, writer = await asyncio.open_connection(**where)
        lines = {"Host": f"{host}:{port}", "Accept": "text/event-stream", **(headers or {})}
        request = f"GET {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items()) + "\r\n"
        writer.write(request.encode())
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        except BaseException:
            writer.close()
            raise
        status = int(head.split()[1])
        if status != 200:
            body = await asyncio.wait_for(reader.read(), 10)
            writer.close()
            raise Refused(status, head, body)
        assert b"content-type: text/event-stream\r\n" in head.lower()
        return cls(reader, writer, head.decode("latin-1"))

    @classmethod
    async def join(cls, port: int, path: str, **options: Any) -> "EventStream":
        """Ask for a stream and take the welcome."""
        stream = await cls.open(port, path, **options)
        stream.welcome = await stream.receive()
        assert stream.welcome["type"] == "welcome", stream.welcome
        return stream

    @property
    def session(self) -> str:
        """The session's id."""
        return str(self.welcome["session"])

    async def next(self) -> Event | None:
        """Return the next event, None at the end."""
        async with asyncio.timeout(self.patience):
            while not self._events:
                if not (data := await self.reader.read(65536)):
                    return None
                self._events = self.parser.feed(data)
        return self._events.pop(0)

    async def receive(self) -> dict[str, Any]:
        """Return the next message."""
        event = await self.next()
        assert event is not None, "the stream has ended"
        assert event.type == "message", event
        message: dict[str, Any] = json.loads(event.data)
        offset = message.get("offset", message.get("cursor"))
        assert offset is None or event.id == str(offset)
        return message

    async def receive_end(self) -> tuple[int, str]:
        """Read up to the event `close` and the end; returns code and reason, 1006 where none came."""
        while (event := await self.next()) is not None and event.type != "close":
            pass
        if event is None:
            return 1006, ""
        assert await self.next() is None, "nothing comes behind `close`"
        said = json.loads(event.data)
        return said["code"], said["reason"]

    async def beat(self) -> int:
        """Wait for one more comment; returns how many came until then."""
        before = self.parser.comments
        async with asyncio.timeout(self.patience):
            while self.parser.comments == before:
                data = await self.reader.read(65536)
                assert data, "the stream has ended"
                self._events += self.parser.feed(data)
        return self.parser.comments

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except OSError:
            pass

    @classmethod
    async def close_all(cls) -> None:
        """Close every stream of the test."""
        while cls._open:
            await cls._open.pop().close()
