"""A NatsLink and its Connection that answer as the test says, without a server."""

import asyncio
import re
from collections.abc import Callable, Iterable

from pushgate.nats.connection import Connection
from pushgate.nats.replies import Reply

Answer = list[Reply] | None
"""What comes to a reply subject: None stands for an answer that does not come until the link is lost."""


def said(payload: bytes) -> list[Reply]:
    """Return an ordinary answer."""
    return [Reply(0, b"", payload)]


def status(code: int) -> list[Reply]:
    """Return what the server says by itself."""
    return [Reply(code, b"NATS/1.0 %d\r\n\r\n" % code, b"")]


class FakeLink:
    """Keeps what is written, one entry a publish that wants an answer, with what was published without before it."""

    def __init__(self, answer: Callable[[bytes], Answer]) -> None:
        self.answer = answer
        self.asked: list[bytes] = []
        self.limit = 1_000_000
        self.reason = ""
        self.lost = asyncio.Event()
        self._waiting: dict[bytes, asyncio.Future[list[Reply]]] = {}
        self._count = 0
        self._written = b""

    def expect(self, *, many: bool = False) -> tuple[bytes, asyncio.Future[list[Reply]]]:
        self._count += 1
        subject = b"reply.%d" % self._count
        self._waiting[subject] = asyncio.get_running_loop().create_future()
        return subject, self._waiting[subject]

    def write(self, commands: Iterable[bytes]) -> None:
        self._written += b"".join(commands)
        for subject in re.findall(rb"(reply\.\d+) ", self._written):
            asked, self._written = self._written, b""
            self.asked.append(asked)
            answer = self.answer(asked)
            future = self._waiting.pop(subject)
            if answer is not None:
                future.set_result(answer)

    def ask(self, subject: str, payload: bytes, *, many: bool = False) -> asyncio.Future[list[Reply]]:
        reply, future = self.expect(many=many)
        self.write([b"PUB %b %b %d\r\n%b\r\n" % (subject.encode(), reply, len(payload), payload)])
        return future


def connected(link: FakeLink) -> Connection:
    """Return a connection that has this link."""
    connection = Connection("nats://nowhere", "inbox")
    connection.link = link  # type: ignore[assignment]
    return connection
