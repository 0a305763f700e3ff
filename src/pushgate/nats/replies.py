"""Answers to requests over one connection: one subscription for all, and a token in each reply's subject."""

import asyncio
from typing import NamedTuple

OVERDUE = 16
"""Ticks of the link after which an answer is not waited for any longer (4 s)."""


class Reply(NamedTuple):
    """A message that answers. `status` is 0 for an ordinary one; else the server itself says so: 204 is the end of
    many, 404 nothing found, 503 nobody there to answer."""

    status: int
    headers: bytes
    payload: bytes


class _Asked:
    __slots__ = ("born", "future", "many", "parts")

    def __init__(self, born: int, future: asyncio.Future[list[Reply]], many: bool) -> None:
        self.born = born
        self.future = future
        self.many = many
        self.parts: list[Reply] = []


class Replies:
    """Those who wait for answers, by token. What they get is a list of what came: one reply, or with `many` all up to
    one with a status. Nothing comes of it when the connection is lost, or it takes too long: then it is not known what
    became of the request.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self._prefix = prefix.encode()
        self._asked: dict[bytes, _Asked] = {}
        self._count = 0
        self._lost = False

    def expect(self, now: int, many: bool) -> tuple[bytes, asyncio.Future[list[Reply]]]:
        """Return a subject to be answered to, and the answer. `now` is the tick."""
        future: asyncio.Future[list[Reply]] = asyncio.get_running_loop().create_future()
        self._count += 1
        subject = b"%b%d" % (self._prefix, self._count)
        if self._lost:
            future.set_result([])
        else:
            self._asked[subject] = _Asked(now, future, many)
        return subject, future

    def take(self, subject: bytes, _reply: bytes, headers: bytes, payload: bytes) -> None:
        """Take a message that came; late ones are for nobody."""
        asked = self._asked.get(subject)
        if asked is None:
            return
        status = int(headers[9:12]) if headers[8:9] == b" " else 0
        asked.parts.append(Reply(status, headers, payload))
        if status or not asked.many:
            del self._asked[subject]
            if not asked.future.done():
                asked.future.set_result(asked.parts)

    def give_up(self, now: int) -> None:
        """Tell those who have waited too long. With many parts it counts from the first."""
        while self._asked:
            subject, asked = next(iter(self._asked.items()))
            if now - asked.born < OVERDUE:
                break
            del self._asked[subject]
            if not asked.future.done():
                asked.future.set_result([])

    def lose(self) -> None:
        """Tell everyone, and whoever asks from now on, that no answer will come."""
        self._lost = True
        asked, self._asked = self._asked, {}
        for each in asked.values():
            if not each.future.done():
                each.future.set_result([])


def header(headers: bytes, name: bytes) -> bytes:
    """Return the value of a header, b"" where there is none; `name` as the server writes it."""
    start = headers.find(b"\r\n%b:" % name)
    if start < 0:
        return b""
    start += len(name) + 3
    return headers[start : headers.index(b"\r\n", start)].strip()
