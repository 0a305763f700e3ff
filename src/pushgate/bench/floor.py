"""`bench floor`: a server that does for the benches the least that there is to do, in one bare loop.

It knows only what the benches send: it checks no token, no frame and no key, keeps nothing, waits for no bus, and
writes the same bytes to the same sockets as a gateway does. So the CPU that it takes is the kernel's for this I/O, and
a little of Python's. What a gateway takes is told as a ratio to that, from the same run on the same machine.
"""

import json
import os
import resource
import select
import socket
from base64 import urlsafe_b64decode

from pushgate.bench.payload import frame_of
from pushgate.wire.frames import TEXT, encode_frame

_BACKLOG = 65535
_UPGRADED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
) + encode_frame(TEXT, b'{"type":"welcome"}')
_ACCEPTED = b'HTTP/1.1 202 Accepted\r\ncontent-length: 10\r\n\r\n{"id":"b"}'


class Floor:
    """Listens on two free ports of loopback from the start, for clients and for callers, and serves while it runs."""

    def __init__(self) -> None:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self._clients, self._callers = (socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG) for _ in range(2))
        self._epoll = select.epoll()
        for listener in (self._clients, self._callers):
            listener.setblocking(False)
            self._epoll.register(listener, select.EPOLLIN)
        self._calling: set[int] = set()
        self._names: dict[int, bytes] = {}  # by descriptor of a client
        self._users: dict[bytes, list[int]] = {}

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"ws://127.0.0.1:{self._clients.getsockname()[1]}/ws"

    @property
    def api(self) -> str:
        """Where callers push."""
        return f"http://127.0.0.1:{self._callers.getsockname()[1]}"

    def run(self) -> None:
        """Serve until the process is ended."""
        clients, callers = self._clients.fileno(), self._callers.fileno()
        while True:
            for fd, _ in self._epoll.poll():
                if fd == clients:
                    self._accept(self._clients)
                elif fd == callers:
                    self._calling.update(self._accept(self._callers))
                else:
                    self._read(fd)

    def _accept(self, listener: socket.socket) -> list[int]:
        """Take everybody who waits."""
        taken: list[int] = []
        while True:
            try:
                new, _ = listener.accept()
            except OSError:
                return taken
            new.setblocking(False)
            new.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            fd = new.detach()
            self._epoll.register(fd, select.EPOLLIN)
            taken.append(fd)

    def _read(self, fd: int) -> None:
        try:
            data = os.read(fd, 4096)
        except OSError:
            data = b""
        if not data:
            self._leave(fd)
        elif fd in self._calling:
            self._push(data.partition(b"\r\n\r\n")[2])
            os.write(fd, _ACCEPTED)
        elif fd not in self._names:
            claims = data.partition(b"token=")[2].split(b".", 2)[1]
            name = json.loads(urlsafe_b64decode(claims + b"=="))["sub"].encode()
            self._names[fd] = name
            self._users.setdefault(name, []).append(fd)
            os.write(fd, _UPGRADED)

    def _push(self, body: bytes) -> None:
        """Write the frame that a gateway makes of a push, of the benches' live ones, to those whom it is to."""
        frame = frame_of(body[body.rindex(b'"data":') + len(b'"data":') : -1])
        everyone = body.startswith(b'{"everyone"')
        for fd in self._names if everyone else self._users.get(body.split(b'"', 4)[3], ()):
            try:
                os.write(fd, frame)
            except OSError:
                pass  # it is gone, which shows when it is read

    def _leave(self, fd: int) -> None:
        self._calling.discard(fd)
        name = self._names.pop(fd, None)
        if name is not None:
            self._users[name].remove(fd)
        os.close(fd)
