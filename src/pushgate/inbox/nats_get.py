"""Direct gets, on a connection of their own: the server answers them in the connection's own turn.

In a cluster any server that has a copy answers, and one may be behind what this process has seen: then it asks again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, TypeVar

from msgspec import json

from pushgate.errors import InboxUnavailable
from pushgate.inbox.nats_stream import Stream
from pushgate.nats.connection import Connection
from pushgate.nats.link import NatsLink
from pushgate.nats.replies import Reply, header

SINGLES = 8
"""Messages of a subject that are read one by one; a batch is quicker from there on, but slow to begin."""
BATCH, BATCH_BYTES = 256, 1024 * 1024
ATTEMPTS, PAUSE = 20, 0.05
"""How often a cluster is asked again, and after how many seconds."""
BEHIND = "a server of the inbox is behind the others"
ANY = 2**53
"""Stands for no limit."""

T = TypeVar("T")


class Found(NamedTuple):
    """A message of a stream."""

    sequence: int
    subject: bytes
    headers: bytes
    payload: bytes


class NotYet(Exception):
    """What passes: a server that is behind another one, a stream that is being made or has no leader."""


class TooMany(Exception):
    """More subjects than the server looks at together."""


class Gets:
    """Asks for messages of one stream. `attempt` calls of `look` and `walk`; everything raises InboxUnavailable."""

    def __init__(self, connection: Connection, stream: Stream) -> None:
        self._connection = connection
        self._stream = stream

    async def attempt(self, call: Callable[[NatsLink], Awaitable[T]]) -> T:
        """Return what a call returns with the link; what is NotYet is tried again, for a second or so."""
        for pause in (*[PAUSE] * ATTEMPTS, 0):
            link = self._connection.link
            if link is None:
                raise InboxUnavailable("the inbox is away")
            try:
                return await call(link)
            except NotYet as error:
                reason = str(error)
                await asyncio.sleep(pause)
        raise InboxUnavailable(reason)

    async def newest(self, *, confirmed: bool = False) -> int:
        """Return the last sequence of the stream; `confirmed` by its leader, whose copies may be behind."""
        if confirmed and self._stream.replicated:
            return await self.attempt(self._stream.confirmed)
        _, newest = await self.attempt(lambda link: self.look(link, (), ANY, ANY))
        return newest

    async def latest(self, subjects: Sequence[str]) -> list[Found]:
        """Return the last messages of subjects, at most 1,000 of them; one with a wildcard stands for many."""
        return await self.attempt(lambda link: self._latest(link, subjects))

    async def _latest(self, link: NatsLink, subjects: Sequence[str]) -> list[Found]:
        try:
            return (await self.look(link, subjects, 0, ANY))[0]
        except TooMany:
            chains = [await self.walk(link, subject, 0, ANY, ANY) for subject in subjects]
            return [found for chain in chains for found in chain]

    async def look(self, link: NatsLink, subjects: Sequence[str], after: int, limit: int) -> tuple[list[Found], int]:
        """Return the last messages of subjects as far as they are above a sequence, the first `limit` of them and maybe
        more, and up to which sequence that holds. Raises NotYet and TooMany."""
        stream, looked, up_to, at = self._stream, list[Found](), 0, after + 1
        while True:
            asked = {"multi_last": [stream.root, *subjects], "seq": at, "batch": limit + 1}
            *messages, end = await self._ask(link, asked, many=True)
            if end.status == 404:  # not even the marker
                await stream.mark(link)
                raise NotYet("the stream of the inbox is not marked")
            if end.status == 413:
                raise TooMany
            reached = int(header(end.headers, b"Nats-UpTo-Sequence"))
            if reached < max(up_to, stream.seen):
                raise NotYet(BEHIND)
            up_to = up_to or reached
            looked += map(_found, messages)
            if not messages or len(looked) > limit or header(end.headers, b"Nats-Num-Pending") == b"0":
                break
            at = looked[-1].sequence + 1  # the answer was cut for its size
        root = stream.root.encode()
        return [found for found in looked if found.subject != root and found.sequence > after], up_to

    async def walk(self, link: NatsLink, subject: str, after: int, up_to: int, limit: int) -> list[Found]:
        """Return the messages of a subject above `after` and not above `up_to`: the first `limit` of them. Raises
        NotYet."""
        walked: list[Found] = []
        at = after + 1
        while len(walked) < limit and at <= up_to:
            asked: dict[str, object] = {"next_by_subj": subject, "seq": at}
            many = len(walked) >= SINGLES
            if many:
                asked |= {"batch": min(limit - len(walked), BATCH), "max_bytes": BATCH_BYTES}
            messages = await self._ask(link, asked, many=many)
            new = [_found(message) for message in messages if not message.status]
            walked += new
            if not new or (many and header(messages[-1].headers, b"Nats-Num-Pending") == b"0"):
                break
            at = new[-1].sequence + 1
        return [found for found in walked if found.sequence <= up_to]

    async def _ask(self, link: NatsLink, asked: dict[str, object], *, many: bool) -> list[Reply]:
        replies = await link.ask(f"$JS.API.DIRECT.GET.{self._stream.name}", json.encode(asked), many=many)
        if not replies:
            raise InboxUnavailable(link.reason or "the inbox does not answer")
        status = replies[-1].status
        if status == 503:
            self._stream.revive(link)
            raise NotYet("the inbox is not ready")
        if status not in (0, 204, 404, 413):
            raise InboxUnavailable(f"the inbox answered {status}")
        return replies


def _found(reply: Reply) -> Found:
    headers = reply.headers
    return Found(int(header(headers, b"Nats-Sequence")), header(headers, b"Nats-Subject"), headers, reply.payload)
