"""Publishing with group commit: what waits while one batch is on its way forms the next.

A stream that syncs to the disk takes about 4,000 publishes a second, but 20,000 in atomic batches of 100. A batch is
taken whole or not at all; one that is rejected (for a duplicate, a full log) is split until those to blame stand alone.
Groups go one after another, so that what was given in order is stored in order.

What is not answered is published again with the same ids, and what was stored then shows as a duplicate. That holds for
the one case, too, where the server (2.15) stores a part of a batch and is silent: when it crosses the limit of all its
storage, not the stream's own.
"""

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import count
from secrets import token_hex
from typing import NamedTuple

from msgspec import DecodeError, Struct, json

from pushgate.inbox.base import Appended, Outcome, Refused, Unknown
from pushgate.inbox.nats_errors import TRANSIENT, WRONG_LAST, Error, verdict
from pushgate.inbox.nats_stream import Stream
from pushgate.log import get_logger
from pushgate.metrics.catalogue import INBOX_BATCH, INBOX_RETRIES
from pushgate.metrics.rows import Row, observe
from pushgate.nats.connection import Connection
from pushgate.nats.link import NatsLink
from pushgate.nats.replies import Reply

PATIENCE, RESIGNED = 10.0, 1.0
"""Seconds that a call is tried (an election in a cluster takes 5 to 7), and while the stream takes nothing."""
PAUSE = 0.1
"""Seconds between two tries."""
BATCH = 1000
"""Messages in a batch: what the server takes."""
BATCH_BYTES = 4 * 1024 * 1024
PARKED = 64 * 1024 * 1024
"""Bytes that may wait for a server; what comes then is not taken on."""
APART = 8
"""Messages up to which each is published for itself, all in one write: an atomic batch costs the server 2 ms more."""
BATCH_HEADERS = 200
"""Bytes, at most, that a batch adds to the headers of a message."""

NO_MORE = "the inbox is stopped"

_log = get_logger("inbox")


class Message(NamedTuple):
    """A message to publish: what its line begins with, its headers as far as they are its own, and its payload.
    Two messages with the same `alone`, where there is one, never go together."""

    head: bytes
    headers: bytes
    payload: bytes
    alone: bytes = b""

    @property
    def size(self) -> int:
        """What it counts toward the server's limit."""
        return len(self.headers) + len(self.payload) + BATCH_HEADERS


class _Call:
    __slots__ = ("deadline", "future", "left", "outcomes")

    def __init__(self, deadline: float, future: asyncio.Future[list[Outcome]], left: int) -> None:
        self.deadline = deadline
        self.future = future
        self.left = left
        self.outcomes: list[Outcome] = [Unknown("")] * left


class _Waiting:
    """A message of a call. It is `doubtful` once an attempt was not answered: it may be there."""

    __slots__ = ("_call", "_place", "deadline", "doubtful", "message", "settled", "size", "stored")

    def __init__(self, call: _Call, place: int, message: Message) -> None:
        self._call = call
        self._place = place
        self.deadline = call.deadline
        self.doubtful = False
        self.message = message
        self.settled = self.stored = False
        self.size = message.size

    def settle(self, outcome: Outcome) -> None:
        """Say what became of it, once."""
        if self.settled:
            return
        self.settled = True
        self.stored = isinstance(outcome, Appended) and not outcome.duplicate
        call = self._call
        call.outcomes[self._place] = outcome
        call.left -= 1
        if not call.left and not call.future.done():
            call.future.set_result(call.outcomes)


class _PubAck(Struct):
    seq: int = 0
    duplicate: bool = False
    error: Error | None = None


_decoder = json.Decoder(_PubAck)


class GroupCommit:
    """Publishes to one stream. `submit` it, or `stop` it."""

    def __init__(self, connection: Connection, stream: Stream, row: Row) -> None:
        self._connection = connection
        self._stream = stream
        self._row = row
        self._queue: deque[_Waiting] = deque()
        self._bytes = 0
        # not at import: workers are forked, and the server would take two batches of one name for one
        self._names = map(f"{token_hex(6)}-{{}}".format, count())
        self._runner: asyncio.Task[None] | None = None
        self._stopped = False
        self.resigned = False
        """Whether a call was tried in vain for all of PATIENCE, and none succeeded since."""

    def prod(self) -> None:
        """See whether the stream takes its marker, when it took nothing."""
        if self.resigned and self._runner is None:
            self.submit([Message(b"HPUB %b" % self._stream.root.encode(), b"NATS/1.0\r\nNats-Rollup: sub\r\n", b"")])

    def submit(self, messages: Sequence[Message]) -> asyncio.Future[list[Outcome]]:
        """Return what becomes of messages, in order, within PATIENCE and what one last attempt takes."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Outcome]] = loop.create_future()
        call = _Call(loop.time() + (RESIGNED if self.resigned else PATIENCE), future, len(messages))
        waiting = [_Waiting(call, place, message) for place, message in enumerate(messages)]
        size = sum(each.size for each in waiting)
        if self._stopped or self._bytes + size > PARKED or not messages:
            reason = NO_MORE if self._stopped else "the inbox does not keep up"
            future.set_result([Unknown(reason)] * len(messages))
            return future
        self._queue += waiting
        self._bytes += size
        if self._runner is None:
            self._runner = loop.create_task(self._run())
        return future

    async def stop(self) -> None:
        """End it; whoever waits is told Unknown."""
        self._stopped = True
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.wait([self._runner])
        for waiting in self._queue:
            waiting.settle(Unknown(NO_MORE))
        self._queue.clear()

    async def _run(self) -> None:
        try:
            while self._queue:
                group = self._take_group()
                reason = NO_MORE
                try:
                    await self._commit(group)
                except Exception as error:
                    reason = f"a fault in the gateway: {type(error).__name__}"
                    _log.exception("publishing failed")
                finally:
                    for waiting in group:
                        waiting.settle(Unknown(reason))
                        self._bytes -= waiting.size
        finally:
            self._runner = None

    def _take_group(self) -> list[_Waiting]:
        """Take from the queue what goes together."""
        queue, group = self._queue, [self._queue.popleft()]
        size, alone = group[0].size, {group[0].message.alone}
        while queue and len(group) < BATCH:
            message = queue[0].message
            size += queue[0].size
            if size > BATCH_BYTES or (message.alone and message.alone in alone):
                break
            alone.add(message.alone)
            group.append(queue.popleft())
        return group

    async def _commit(self, group: Sequence[_Waiting], *, apart: bool = False) -> None:
        """Publish messages, together or each for itself; returns when each has its outcome."""
        loop = asyncio.get_running_loop()
        reason = "the inbox is away"
        tried = False  # and not just kept waiting by those before
        while True:
            now = loop.time()
            for waiting in group:
                if waiting.deadline <= now:
                    self.resigned |= tried
                    waiting.settle(Unknown(reason))
            link = self._connection.link
            if link is not None:
                for waiting in group:
                    if waiting.size > link.limit:
                        waiting.settle(Refused("too_large", f"the inbox takes {link.limit} bytes at most"))
            group = [waiting for waiting in group if not waiting.settled]
            if not group:
                return
            if link is not None:
                error = await self._attempt(link, group, apart or len(group) <= APART)
                if error is None:
                    self.resigned = False
                    return
                if error.err_code and error.err_code not in TRANSIENT:
                    break
                reason = error.description
                self._row[INBOX_RETRIES] += 1
            tried = True
            await asyncio.sleep(PAUSE)
        first, rest = group[:APART], group[APART:]
        await self._commit(first, apart=True)
        if 2 * sum(waiting.stored for waiting in first) < len(first):
            await self._commit(rest, apart=True)  # most are not to be stored, so they do not cost a sync each
        else:
            half = len(rest) // 2
            await self._commit(rest[:half])
            await self._commit(rest[half:])

    async def _attempt(self, link: NatsLink, group: Sequence[_Waiting], apart: bool) -> Error | None:
        """Publish messages, once; returns what went wrong with some of them, without a code when it is not known."""
        parts = [[waiting] for waiting in group] if apart else [group]
        answers = []
        for part in parts:
            observe(self._row, INBOX_BATCH, len(part))
            reply, answer = link.expect()
            link.write(_compose(part, reply, self._names))
            answers.append(answer)
        failure = None
        for part, answer in zip(parts, answers, strict=True):
            failure = self._take(link, part, await answer) or failure
        return failure

    def _take(self, link: NatsLink, group: Sequence[_Waiting], replies: Sequence[Reply]) -> Error | None:
        """Settle what an answer settles; returns what went wrong with the others."""
        if not replies:
            for waiting in group:
                waiting.doubtful = True
            return Error(description=link.reason or "the inbox did not answer in time")
        if replies[0].status:  # nobody takes the subject: no leader, or no stream
            self._stream.revive(link)
            return Error(description="the inbox is not ready")
        try:
            ack = _decoder.decode(replies[0].payload)
        except DecodeError:
            return Error(description="the inbox answered nonsense")
        error = ack.error
        if error is not None:
            if error.err_code in WRONG_LAST:
                for waiting in group:
                    waiting.settle(verdict(error))
                return None
            if len(group) > 1 or not error.err_code or error.err_code in TRANSIENT:
                return error
            group[0].settle(verdict(error))
            return None
        self._stream.note_stored(ack.seq)
        for offset, waiting in enumerate(group, ack.seq - len(group) + 1):
            # after an unanswered attempt a duplicate is most likely our own
            waiting.settle(Appended(offset, ack.duplicate and not waiting.doubtful))
        return None


def _compose(group: Sequence[_Waiting], reply: bytes, names: Iterator[str]) -> list[bytes]:
    """Return the commands that publish messages: one as it is, several as an atomic batch with the next of `names`."""
    if len(group) == 1:
        head, headers, payload, _ = group[0].message
        size = len(headers) + 2
        return [b"%b %b %d %d\r\n%b\r\n%b\r\n" % (head, reply, size, size + len(payload), headers, payload)]
    name = next(names).encode()
    commands = []
    for number, waiting in enumerate(group, 1):
        head, headers, payload, _ = waiting.message
        last = b"" if number < len(group) else b"Nats-Batch-Commit: 1\r\n"
        headers = b"%bNats-Batch-Id: %b\r\nNats-Batch-Sequence: %d\r\n%b\r\n" % (headers, name, number, last)
        size, to = len(headers), b" " + reply if last else b""
        commands.append(b"%b%b %d %d\r\n%b%b\r\n" % (head, to, size, size + len(payload), headers, payload))
    return commands
