"""Reading logs: a user's together with everyone's, up to one point of the stream.

A look at the collapsed entries comes first: they are the last ones of their subjects, so the server finds them all at
once, and says up to which sequence of the stream that holds. Then the other entries are read one after another up to
there. What is above is not returned, since more may be missing there: it comes by following, or with the next read.
"""

from pushgate.inbox.nats_get import ANY, BEHIND, Found, Gets, NotYet, TooMany
from pushgate.inbox.nats_stream import Stream
from pushgate.inbox.nats_stretch import Stretch
from pushgate.inbox.nats_tail import Tail, Walk
from pushgate.nats.link import NatsLink


class LogReader:
    """Reads a tenant's logs."""

    def __init__(self, gets: Gets, stream: Stream, stretch: Stretch) -> None:
        self._gets = gets
        self._stream = stream
        self._tail = Tail()
        self.stretch = stretch

    async def read(self, own: str, shared: str | None, after: int, limit: int) -> list[Found]:
        """Return the first messages above a sequence of one or two logs (subjects, and those one token below them), in
        order: at most `limit`, fewer only when there are no more. The second one is a log that many read. Raises
        InboxUnavailable."""
        return await self._gets.attempt(lambda link: self._read(link, own, shared, after, limit))

    async def _read(self, link: NatsLink, own: str, shared: str | None, after: int, limit: int) -> list[Found]:
        logs = [own] if shared is None else [own, shared]
        walk = self._gets.walk
        last: dict[bytes, int] = {}
        bound = ANY
        if self._stream.replicated:
            lasts, bound = await self._gets.look(link, logs, after, ANY)
            last = {found.subject: found.sequence for found in lasts}

        def walk_log(subject: str) -> Walk:
            wanted = last.get(subject.encode(), 0)

            async def walk_one(after: int, up_to: int, limit: int) -> list[Found]:
                walked = await walk(link, subject, after, up_to, limit)
                if len(walked) < limit and (walked[-1].sequence if walked else after) < wanted <= up_to:
                    raise NotYet(BEHIND)
                return walked

            return walk_one

        known, reached = await self.stretch.read(link, logs, after, limit)
        collapsed = [f"{log}.*" for log in logs]
        try:
            found, up_to = await self._gets.look(link, collapsed, after, limit)
        except TooMany:
            found, up_to = await self._gets.look(link, (), after, limit)
            for subject in collapsed:
                found += await walk(link, subject, after, up_to, limit)
        if self._stream.replicated and up_to < bound:
            raise NotYet(BEHIND)  # another server answered; what was found last could not be told from what lacks
        up_to = min(up_to, bound)
        if len(known) < limit:
            asked = await walk_log(own)(reached, up_to, limit)
            self.stretch.note_asked(len(asked))
            if shared is not None:
                asked += await self._tail.read(walk_log(shared), self._stream.epoch, reached, up_to, limit)
            known += asked
        return sorted(each for each in known + found if each.sequence <= up_to)[:limit]
