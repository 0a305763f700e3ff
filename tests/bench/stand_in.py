"""A gateway of the simplest kind, to prove the generator's numbers: run as a program, it prints its two ports.

stand_in.py [lose=N] [double=N] [kick=N] [refuse=N] [limit=N] [reject=N] [ping=1] [stall=SECONDS]

Reliable pushes are kept for ever, and sent to a device that comes back from what it acknowledged.
Every N-th message is lost or sent twice, every N-th handshake refused with 4500 or 429, every N-th push with 503;
with `ping` a client that does not answer a ping is closed; with `stall` it stops once, after 50 pushes. Behind every
N-th message a client is kicked. One that does not read is closed with 4001.
"""

import asyncio
import base64
import json
import socket
import sys
import time

OPTIONS = {name: float(value) for name, value in (word.split("=") for word in sys.argv[1:])}
MOST_UNREAD = 100_000
UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
users: dict[str, list[asyncio.Transport]] = {}
logs: dict[str, list[bytes]] = {}  # the offset of a text is its place, from 1
cursors: dict[str, int] = {}
counts = {"lose": 0, "double": 0, "kick": 0, "refuse": 0, "limit": 0, "reject": 0, "pushes": 0}


def frame(opcode: int, payload: bytes) -> bytes:
    size = len(payload)
    head = bytes((0x80 | opcode, size)) if size < 126 else bytes((0x80 | opcode, 126)) + size.to_bytes(2, "big")
    return head + payload


def close(transport: asyncio.Transport, code: int) -> None:
    if not transport.is_closing():
        transport.write(frame(8, code.to_bytes(2, "big")))
        transport.close()


def due(name: str) -> bool:
    counts[name] += 1
    return bool(OPTIONS.get(name)) and counts[name] % OPTIONS[name] == 0


class Client(asyncio.Protocol):
    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        self.user = ""
        self.device = ""
        self.pongs = 0

    def data_received(self, data: bytes) -> None:
        if self.user:
            self.pongs += data == b"\x8a\x82\0\0\0\0hi"
            if b'"ack"' in data:
                cursors[self.device] = int(data.rpartition(b":")[2].rstrip(b"}"))
            return
        if b"&device=" in data:
            self.device = data.split(b"&device=")[1].split(b"&")[0].decode()
        claims = data.split(b"token=")[1].split(b" ")[0].split(b".")[1]
        user = json.loads(base64.urlsafe_b64decode(claims + b"=="))["sub"]
        if due("refuse"):
            self.transport.write(UPGRADED + frame(8, (4500).to_bytes(2, "big")))
            self.transport.close()
            return
        if due("limit"):
            self.transport.write(b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n")
            self.transport.close()
            return
        self.user = user
        # In two pieces, cut inside a frame, so that the reader has to put them together.
        answer = UPGRADED + frame(1, json.dumps({"type": "welcome", "session": "s", "user": user}).encode())
        self.transport.write(answer[:-5])
        asyncio.get_running_loop().call_later(0.01, self.finish, answer[-5:])

    def finish(self, rest: bytes) -> None:
        self.transport.write(rest)
        users.setdefault(self.user, []).append(self.transport)
        if self.device:
            kept = logs.setdefault(self.user, [])
            for text in kept[cursors.setdefault(self.device, len(kept)) :]:
                self.transport.write(frame(1, text))
        if "ping" in OPTIONS:
            self.transport.write(frame(9, b"hi"))
            asyncio.get_running_loop().call_later(0.3, self.check)

    def check(self) -> None:
        if not self.pongs:
            self.transport.write(frame(8, (4002).to_bytes(2, "big")))
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.transport in users.get(self.user, []):
            users[self.user].remove(self.transport)


class Caller(asyncio.Protocol):
    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.held = b""

    def data_received(self, data: bytes) -> None:
        self.held += data
        head, _, content = self.held.partition(b"\r\n\r\n")
        if len(content) < int(head.partition(b"Content-Length: ")[2].split()[0]):
            return
        self.held = b""
        body = json.loads(content)
        if due("reject"):
            self.transport.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\n{}")
            return
        due("pushes")
        if "stall" in OPTIONS and counts["pushes"] == 50:
            time.sleep(OPTIONS["stall"])
        names = list(users) if body.get("everyone") else body.get("users", [body.get("user")])
        for name in names:
            message = {"type": "message", "id": body["id"], "event": body["event"], "data": body["data"]}
            message["time"] = time.time_ns() // 1_000_000
            if body.get("qos") == "reliable":
                message["offset"] = len(logs.setdefault(name, [])) + 1
            text = json.dumps(message, separators=(",", ":")).encode()
            if "offset" in message:
                logs[name].append(text)
            for transport in users.get(name, []):
                if transport.is_closing():
                    continue
                if not due("lose"):
                    transport.write(frame(1, text) * (2 if due("double") else 1))
                if due("kick"):
                    close(transport, 4503)
                elif transport.get_write_buffer_size() > MOST_UNREAD:
                    close(transport, 4001)
        self.transport.write(b"HTTP/1.1 202 Accepted\r\ncontent-length: 10\r\n\r\n" + b'{"id":"b"}')


async def main() -> None:
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(kind, "127.0.0.1", 0, backlog=4096) for kind in (Client, Caller)]
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
