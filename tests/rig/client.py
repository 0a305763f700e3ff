"""A WebSocket client for tests, written from RFC 6455 and RFC 7692 and not from the product's code."""

import asyncio
import base64
import json
import os
import socket
import ssl
import zlib
from typing import Any, ClassVar

from msgspec import msgpack

MASK = b"\x21\x43\x65\x87"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Refused(Exception):
    """The server answered the upgrade with another status than 101."""

    def __init__(self, status: int, head: bytes, body: bytes) -> None:
        super().__init__(f"{status}: {body!r}")
        self.status = status
        self.head = head.decode("latin-1")
        self.body = body.decode()


def deflate(payload: bytes) -> bytes:
    """Compress a message on its own (RFC 7692 section 7.2.1)."""
    packer = zlib.compressobj(wbits=-15)
    return (packer.compress(payload) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


def mask_frame(opcode: int, payload: bytes = b"", fin: bool = True, rsv1: bool = False) -> bytes:
    """Return a client's frame."""
    size = len(payload)
    head = bytes([fin << 7 | rsv1 << 6 | opcode])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 65536:
        head += b"\xfe" + size.to_bytes(2, "big")
    else:
        head += b"\xff" + size.to_bytes(8, "big")
    key = (MASK * (size // 4 + 1))[:size]
    return head + MASK + bytes(a ^ b for a, b in zip(payload, key, strict=True))


class WsClient:
    """One connection. Every wait is bounded by `patience` seconds.

    What it speaks is what the server answered: MessagePack with that subprotocol, compressed messages with that
    extension. `compressed` counts those that came.
    """

    _open: ClassVar[list["WsClient"]] = []

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str) -> None:
        self.reader = reader
        self.writer = writer
        self.head = head
        self.patience = 10.0
        self.msgpack = "pushgate.v1.msgpack" in head
        self.deflate = "permessage-deflate" in head
        self.compressed = 0
        self.welcome: dict[str, Any] = {}
        self._open.append(self)

    @classmethod
    async def open(
        cls,
        port: int,
        path: str = "/ws",
        headers: dict[str, str] | None = None,
        behind: bytes = b"",
        host: str = "127.0.0.1",
        protocol: str = "",
        offer: str = "",
        tls: ssl.SSLContext | None = None,
        sock: socket.socket | None = None,
    ) -> "WsClient":
        """Upgrade, with what is offered; `behind` is sent in one piece with the request. Raises Refused.

        `sock` is one that is connected already.
        """
        where: dict[str, Any] = {"sock": sock} if sock is not None else {"host": host, "port": port, "ssl": tls}
        reader, writer = await asyncio.open_connection(**where)
        lines = {
            "Host": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
            "Sec-WebSocket-Version": "13",
            **({"Sec-WebSocket-Protocol": protocol} if protocol else {}),
            **({"Sec-WebSocket-Extensions": offer} if offer else {}),
            **(headers or {}),
        }
        request = f"GET {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items()) + "\r\n"
        writer.write(request.encode() + behind)
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        except BaseException:
            writer.close()
            raise
        status = int(head.split()[1])
        if status != 101:
            body = await asyncio.wait_for(reader.read(), 10)
            writer.close()
            raise Refused(status, head, body)
        return cls(reader, writer, head.decode("latin-1"))

    @classmethod
    async def join(cls, port: int, path: str, **options: Any) -> "WsClient":
        """Upgrade and take the welcome."""
        client = await cls.open(port, path, **options)
        client.welcome = await client.receive()
        assert client.welcome["type"] == "welcome", client.welcome
        return client

    def send_frame(self, opcode: int, payload: bytes = b"", fin: bool = True, rsv1: bool = False) -> None:
        self.writer.write(mask_frame(opcode, payload, fin, rsv1))

    def send(self, message: Any, compress: bool = False) -> None:
        payload = msgpack.encode(message) if self.msgpack else json.dumps(message).encode()
        self.send_frame(BINARY if self.msgpack else TEXT, deflate(payload) if compress else payload, rsv1=compress)

    async def receive_frame(self) -> tuple[int, bytes]:
        """Return (opcode, payload) of the next frame, which the server never fragments or masks, inflated."""
        async with asyncio.timeout(self.patience):
            first, second = await self.reader.readexactly(2)
            packed = self.deflate and first & 15 in (TEXT, BINARY) and bool(first & 0x40)
            assert first & 0xF0 == (0xC0 if packed else 0x80), "a server's frame is final, without other reserved bits"
            assert second < 128, "a server's frame is not masked"
            size = second
            if size == 126:
                size = int.from_bytes(await self.reader.readexactly(2), "big")
            elif size == 127:
                size = int.from_bytes(await self.reader.readexactly(8), "big")
            payload = await self.reader.readexactly(size)
        if packed:
            self.compressed += 1
            window = 9 if "server_max_window_bits=9" in self.head else 15
            payload = zlib.decompressobj(wbits=-window).decompress(payload + b"\0\0\xff\xff")
        return first & 15, payload

    async def receive(self) -> dict[str, Any]:
        """Return the next message; pings on the way are answered."""
        while True:
            opcode, payload = await self.receive_frame()
            if opcode == PING:
                self.send_frame(PONG, payload)
                continue
            assert opcode == (BINARY if self.msgpack else TEXT), (opcode, payload)
            message: dict[str, Any] = msgpack.decode(payload) if self.msgpack else json.loads(payload)
            return message

    async def receive_close(self) -> tuple[int, str]:
        """Read up to the close frame and the end; returns its code (1005: none, 1006: no frame) and reason."""
        while True:
            try:
                opcode, payload = await self.receive_frame()
            except (asyncio.IncompleteReadError, ConnectionResetError):
                return 1006, ""
            if opcode == CLOSE:
                break
        async with asyncio.timeout(self.patience):
            try:
                rest = await self.reader.read()
            except ConnectionResetError:
                rest = b""
        assert rest == b"", "nothing comes behind a close frame"
        if not payload:
            return 1005, ""
        return int.from_bytes(payload[:2], "big"), payload[2:].decode()

    async def is_quiet(self) -> bool:
        """Read up to the answer of a ping; returns whether the server sent nothing else before it."""
        marker = os.urandom(8)
        self.send_frame(PING, marker)
        quiet = True
        while await self.receive_frame() != (PONG, marker):
            quiet = False
        return quiet

    @classmethod
    async def close_all(cls) -> None:
        """Close every client of the test."""
        while cls._open:
            await cls._open.pop().close()

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except OSError:
            pass
