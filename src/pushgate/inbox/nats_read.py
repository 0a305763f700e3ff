"""Reading a stream with direct gets, on a connection of its own: the server answers them in the connection's own turn.

A look at the collapsed entries comes first: they are the last ones of their subjects, so the server finds them all at
once, and says up to which sequence of the stream that holds. Then the other entries are read one after another up to
there. What is above is not returned, since more may be missing there: it comes by following, or with the next read.

In a cluster any server that has a copy answers, and one may be behind what this process has seen: then it asks again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from msgspec import json

from pushgate.errors import InboxUnavailable
from pushgate.inbox.nats_stream import Stream
from pushgate.inbox.nats_tail import Found, Tail, Walk
from pushgate.nats.connection import Connection
from pushgate.nats.link import NatsLink
from pushgate.nats.replies import Reply, header

SINGLES = 8
"""Entries of a log that are read one by one; a batch is quicker from there on, but slow to begin."""
BATCH, BATCH_BYTES = 256, 1024 * 1024
ATTEMPTS, PAUSE = 20, 0.05
"""How often a cluster is asked again, and after how many seconds."""
BEHIND = "a server of the inbox is behind the others"
ANY = 2**53
"""Stands for no limit."""


T = TypeVar("T")


class _NotYet(Exception):
    """What passes: a server that is behind another one, a stream that is being made or has no leader."""


class _TooMany(Exception):
    """More subjects than the server looks at together."""


class Reader:
    """Reads one stream. Everything raises InboxUnavailable."""

    def __init__(self, connection: Connection, stream: Stream) -> None:
        self._connection = connection
        self._stream = stream
        self._tail = Tail()

    async def read(self, own: str, shared: str | None, after: int, limit: int) -> list[Found]:
        """Return the first messages above a sequence of one or two logs (subjects, and those one token below them), in
        order: at most `limit`, fewer only when there are no more. The second one is a log that many read."""
        return await self._try(lambda link: self._read(link, own, shared, after, limit))

    async def latest(self, subjects: Sequence[str]) -> list[Found]:
        """Return the last messages of subjects, at most 1,000 of them; one with a wildcard stands for many."""
        return await self._try(lambda link: self._latest(link, subjects))

    async def newest(self) -> int:
        """Return the last sequence of the stream."""
        _, newest = await self._try(lambda link: self._look(link, (), ANY, ANY))
        return newest

    async def _try(self, attempt: Callable[[NatsLink], Awaitable[T]]) -> T:
        for pause in (*[PAUSE] * ATTEMPTS, 0):
            link = self._connection.link
            if link is None:
                raise InboxUnavailable("the inbox is away")
            try:
                return await attempt(link)
            except _NotYet as error:
                reason = str(error)
                await asyncio.sleep(pause)
        raise InboxUnavailable(reason)

    async def _latest(self, link: NatsLink, subjects: Sequence[str]) -> list[Found]:
        try:
            return (await self._look(link, subjects, 0, ANY))[0]
        except _TooMany:
            chains = [await self._walk(link, subject, 0, ANY, ANY) for subject in subjects]
            return [found for chain in chains for found in chain]

    async def _read(self, link: NatsLink, own: str, shared: str | None, after: int, limit: int) -> list[Found]:
        logs = [own] if shared is None else [own, shared]
        last: dict[bytes, int] = {}
        bound = ANY
        if self._stream.replicated:
            lasts, bound = await self._look(link, logs, after, ANY)
            last = {found.subject: found.sequence for found in lasts}

        def walk(subject: str) -> Walk:
            wanted = last.get(subject.encode(), 0)

            async def walk_log(after: int, up_to: int, limit: int) -> list[Found]:
                chain = await self._walk(link, subject, after, up_to, limit)
                if len(chain) < limit and (chain[-1].sequence if chain else after) < wanted <= up_to:
                    raise _NotYet(BEHIND)
                return chain

            return walk_log

        collapsed = [f"{log}.*" for log in logs]
        try:
            found, up_to = await self._look(link, collapsed, after, limit)
        except _TooMany:
            found, up_to = await self._look(link, (), after, limit)
            for subject in collapsed:
                found += await self._walk(link, subject, after, up_to, limit)
        up_to = min(up_to, bound)
        found += await walk(own)(after, up_to, limit)
        if shared is not None:
            found += await self._tail.read(walk(shared), self._stream.epoch, after, up_to, limit)
        return sorted(each for each in found if each.sequence <= up_to)[:limit]

    async def _look(self, link: NatsLink, subjects: Sequence[str], after: int, limit: int) -> tuple[list[Found], int]:
        """Return the last messages of subjects as far as they are above a sequence, the first `limit` of them and maybe
        more, and up to which sequence that holds."""
        stream, looked, up_to = self._stream, list[Found](), 0
        while True:
            asked = {"multi_last": [stream.root, *subjects], "seq": after + 1, "batch": limit + 1}
            *messages, end = await self._ask(link, asked, many=True)
            if end.status == 404:  # not even the marker
                await stream.mark(link)
                raise _NotYet(BEHIND)
            if end.status == 413:
                raise _TooMany
            up_to = up_to or int(header(end.headers, b"Nats-UpTo-Sequence"))
            if up_to < stream.seen:
                raise _NotYet(BEHIND)
            looked += map(_found, messages)
            if len(looked) > limit or int(header(end.headers, b"Nats-Num-Pending")) == 0:
                break
            after = looked[-1].sequence  # the answer was cut for its size
        root = stream.root.encode()
        return [found for found in looked if found.subject != root], up_to

    async def _walk(self, link: NatsLink, subject: str, after: int, up_to: int, limit: int) -> list[Found]:
        """Return the messages of one subject above `after` and not above `up_to`: the first `limit` of them."""
        chain: list[Found] = []
        at = after + 1
        while len(chain) < limit and at <= up_to:
            asked: dict[str, object] = {"next_by_subj": subject, "seq": at}
            many = len(chain) >= SINGLES
            if many:
                asked |= {"batch": min(limit - len(chain), BATCH), "max_bytes": BATCH_BYTES}
            messages = await self._ask(link, asked, many=many)
            new = [_found(message) for message in messages if not message.status]
            chain += new
            if not new or (many and header(messages[-1].headers, b"Nats-Num-Pending") == b"0"):
                break
            at = new[-1].sequence + 1
        return [found for found in chain if found.sequence <= up_to]

    async def _ask(self, link: NatsLink, asked: dict[str, object], *, many: bool) -> list[Reply]:
        replies = await link.ask(f"$JS.API.DIRECT.GET.{self._stream.name}", json.encode(asked), many=many)
        if not replies:
            raise InboxUnavailable(link.reason or "the inbox does not answer")
        status = replies[-1].status
        if status == 503:
            self._stream.revive(link)
            raise _NotYet("the inbox is not ready")
        if status not in (0, 204, 404, 413):
            raise InboxUnavailable(f"the inbox answered {status}")
        return replies


def _found(reply: Reply) -> Found:
    headers = reply.headers
    return Found(int(header(headers, b"Nats-Sequence")), header(headers, b"Nats-Subject"), headers, reply.payload)
