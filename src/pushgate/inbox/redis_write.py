"""Writing to Redis until it is answered, for as long as somebody waits.

There is no group to form here: what callers hand in within one turn of the loop goes out as one write, and Redis syncs
its file once for all that it has read.
"""

import asyncio
from collections.abc import Iterator, Sequence

from hiredis import ReplyError

from pushgate.brokers.keeper import Keeper
from pushgate.errors import InboxUnavailable
from pushgate.inbox.base import Appended, Draft, Limits, Outcome, Refused, Unknown
from pushgate.inbox.redis_entry import pack_draft, root_key, tenant_key
from pushgate.inbox.redis_scripts import APPEND
from pushgate.inbox.redis_server import InboxLink, judge
from pushgate.metrics.catalogue import INBOX_BATCH, INBOX_RETRIES
from pushgate.metrics.rows import Row, observe
from pushgate.redis.link import Command

PATIENCE, RESIGNED = 10.0, 1.0
"""Seconds that a call is tried, and while the server takes nothing."""
PAUSE = 0.1
"""Seconds between two tries."""
TOGETHER, TOGETHER_BYTES = 200, 1024 * 1024
"""Entries that one script appends, and their bytes, give or take one: while it runs Redis does nothing else."""
PARKED = 64 * 1024 * 1024
"""Bytes that may wait for a server; what comes then is not taken on."""
LARGEST = 8 * 1024 * 1024 - 1024
"""Bytes of a payload: what is longer keeps Redis, and all others, waiting."""

NO_MORE = "the inbox is stopped"

_VERDICTS = {
    b"inbox_full": Refused("inbox_full", "the tenant's inbox has as many bytes as it may have"),
    b"user_full": Refused("user_full", "the log has as many entries as it may have"),
}


class _Full(Exception):
    """The server has no memory for more, and has not done what it was asked for."""


class Writer:
    """Writes over the connection that a keeper keeps."""

    def __init__(self, keeper: Keeper[InboxLink], prefix: str, window: int, row: Row) -> None:
        """`window` is how many seconds ids are remembered."""
        self._keeper = keeper
        self._prefix = prefix
        self._window = 1000 * window
        self._row = row
        self._parked = 0
        self._stopped = False
        self.resigned = False
        """Whether a call was tried in vain for all of PATIENCE, and none succeeded since."""

    async def append(self, tenant: str, limits: Limits, drafts: Sequence[Draft]) -> list[Outcome]:
        """Return what becomes of drafts, in order; see Inbox."""
        size = sum(len(draft.payload) for draft in drafts)
        if self._parked + size > PARKED:
            return [Unknown("the inbox does not keep up")] * len(drafts)
        self._parked += size
        try:
            return await self._append(tenant, limits, drafts)
        finally:
            self._parked -= size

    async def _append(self, tenant: str, limits: Limits, drafts: Sequence[Draft]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        deadline = self.deadline()
        for some in _parts(drafts):
            if len(some[0].payload) > LARGEST:  # then it is one alone
                outcomes.append(Refused("too_large", f"the inbox takes {LARGEST} bytes at most"))
                continue
            observe(self._row, INBOX_BATCH, len(some))
            try:
                said, doubtful = await self.write(self._command(tenant, limits, some), deadline)
            except _Full as error:
                outcomes += [Refused("inbox_full", str(error))] * len(some)
                continue
            except InboxUnavailable as error:
                # those behind are not tried: each log has the order of its call
                return outcomes + [Unknown(str(error))] * (len(drafts) - len(outcomes))
            outcomes += [_outcome(each, doubtful) for each in said]
        return outcomes

    def _command(self, tenant: str, limits: Limits, drafts: Sequence[Draft]) -> Command:
        arguments = [part for draft in drafts for part in pack_draft(draft)]
        return APPEND.call(
            tenant_key(self._prefix, tenant), root_key(self._prefix), tenant, self._window, *limits, *arguments
        )

    def deadline(self) -> float:
        """Return until when a call that begins now is tried."""
        return asyncio.get_running_loop().time() + (RESIGNED if self.resigned else PATIENCE)

    async def write(self, command: Command, deadline: float) -> tuple[list[object], bool]:
        """Return what the server answers, and whether it may have done it once before. Raises InboxUnavailable after
        the deadline, _Full before; awaits plain futures only."""
        loop = asyncio.get_running_loop()
        reason, doubtful = "the inbox is away", False
        while not self._stopped:
            link = self._keeper.link
            if link is not None and not link.lost.is_set():
                answers = await link.ask(command)
                if answers is None:
                    doubtful, reason = True, link.reason
                elif isinstance(answers[0], ReplyError):
                    reason = str(answers[0])
                    judge(link, reason)
                    if reason.startswith("OOM") and not doubtful:
                        self.resigned = False
                        raise _Full(reason)
                elif answers[0] == b"gone":
                    reason = "the inbox was wiped"
                    link.drop(reason)  # the next one begins with opening all tenants
                else:
                    self.resigned = False
                    return answers[0], doubtful
                self._row[INBOX_RETRIES] += 1
            if loop.time() >= deadline:
                self.resigned = True
                raise InboxUnavailable(reason)
            await asyncio.sleep(PAUSE)
        raise InboxUnavailable(NO_MORE)

    async def prod(self, tenant: str) -> None:
        """See whether the server takes entries of some tenant, when it took nothing."""
        if self.resigned:
            try:
                await self.write(self._command(tenant, Limits(0, 0), ()), 0)
            except (InboxUnavailable, _Full):
                pass  # the one changes nothing, the other is an answer

    def stop(self) -> None:
        """Try nothing any more; whoever waits is told so within PAUSE once the connection is lost."""
        self._stopped = True


def _parts(drafts: Sequence[Draft]) -> Iterator[list[Draft]]:
    """Cut drafts into what one script appends."""
    some: list[Draft] = []
    size = 0
    for draft in drafts:
        if some and (len(some) == TOGETHER or size + len(draft.payload) > TOGETHER_BYTES):
            yield some
            some, size = [], 0
        some.append(draft)
        size += len(draft.payload)
    if some:
        yield some


def _outcome(said: object, doubtful: bool) -> Outcome:
    """Return an outcome from what APPEND says of one entry."""
    if isinstance(said, int):
        # after an unanswered attempt a duplicate is most likely our own
        return Appended(abs(said), said < 0 and not doubtful)
    assert isinstance(said, bytes)
    return _VERDICTS[said]
