"""An echo server on the wire room alone: what Autobahn's cases are run against."""

import asyncio

from pushgate.errors import UpgradeRefused, WireError
from pushgate.wire.deflate import Deflate, deflate, negotiate
from pushgate.wire.frames import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    RSV1,
    TEXT,
    encode_close,
    encode_frame,
    parse_close,
    read_single,
)
from pushgate.wire.reader import FrameReader
from pushgate.wire.upgrade import check_upgrade, encode_answer, encode_switching, find_head, parse_request

MAX_MESSAGE = 32 * 1024 * 1024


class Echo(asyncio.Protocol):
    """One connection; like a session it holds a reader only while one is needed."""

    def __init__(self) -> None:
        self.head: bytearray | None = bytearray()
        self.reader: FrameReader | None = None
        self.deflate: Deflate | None = None
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def pause_writing(self) -> None:
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self.head is not None:
            data = self.upgrade(self.head, data)
        if data and not self.closed:
            self.read(data)

    def upgrade(self, head: bytearray, data: bytes) -> bytes:
        seen = len(head)
        head += data
        try:
            end = find_head(head, seen)
            if end < 0:
                return b""
            accepted = check_upgrade(parse_request(bytes(head[:end])))
            self.deflate = negotiate(accepted.extensions)
        except UpgradeRefused as refused:
            self.finish(encode_answer(refused.status, refused.reason, refused.headers))
            return b""
        self.head = None
        self.transport.write(encode_switching(accepted.accept, None, self.deflate.answer if self.deflate else ""))
        return bytes(head[end:])

    def read(self, data: bytes) -> None:
        if self.reader is None:
            if len(data) < 132 and (event := read_single(bytearray(data), len(data))):
                self.answer(*event)
                return
            self.reader = FrameReader(MAX_MESSAGE, self.deflate is not None)
        try:
            for event in self.reader.feed(data):
                self.answer(*event)
        except WireError as error:
            self.finish(encode_close(error.close, error.reason))
        if self.reader.idle:
            self.reader = None

    def answer(self, opcode: int, payload: bytes) -> None:
        if opcode in (TEXT, BINARY):
            if self.deflate is not None:
                # Everything, however short: kosoku's cases 12.* and 13.* trip over text that is not compressed.
                opcode, payload = opcode | RSV1, deflate(payload, self.deflate.window)
            self.transport.write(encode_frame(opcode, payload))
        elif opcode == PING:
            self.transport.write(encode_frame(PONG, payload))
        elif opcode == CLOSE:
            self.finish(encode_close(parse_close(payload)[0]))

    def finish(self, last: bytes) -> None:
        if not self.closed:
            self.closed = True
            self.transport.write(last)
            self.transport.close()


async def serve(port: int = 0) -> asyncio.Server:
    """Listen on loopback; port 0 takes a free one."""
    return await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", port)


if __name__ == "__main__":

    async def main() -> None:
        server = await serve(9001)
        await server.serve_forever()

    asyncio.run(main())
