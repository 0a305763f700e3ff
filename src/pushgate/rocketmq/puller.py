"""Following one queue: pulls from a place on, and after a lost connection the proof that nothing is missing.

The broker keeps no place for us. A queue is followed from its end as it is when following begins; the message before
that, and later the last one seen, is remembered by where it lies in the broker's log and when it was stored. After a
reconnect it is looked at again: the same message in the same place means that nothing was lost. Another one, or none,
means that the store was wiped or has been cleared beyond our place, however long it has become since: then the queue
is followed from its end, and `lost` is called.
"""

import asyncio
from collections.abc import Callable

from pushgate.brokers.line import PATIENCE, TICK
from pushgate.log import get_logger
from pushgate.rocketmq.frames import Command
from pushgate.rocketmq.link import Request, RocketLink
from pushgate.rocketmq.messages import TAG, Message, decode_messages, encode_message, encode_properties
from pushgate.rocketmq.sending import STORED, send_request

PULL, MAX_OFFSET, MIN_OFFSET, OFFSET_AT = 11, 30, 31, 29
FOUND, NOTHING_NEW, RETRY, MOVED = 0, 19, 20, 21
HELD = 10
"""Seconds that the broker may hold a pull for which there is nothing. It looks at held pulls every 5 s."""
OVERDUE = round((HELD + 5) / TICK) + PATIENCE
"""Ticks until a pull is overdue."""
MANY = 1024
"""Messages asked for in one pull. Brokers give 32 at most unless told otherwise (maxTransferCountOnMessageInMemory)."""
SUSPEND, SUBSCRIPTION = 2, 4
MARK = "mark"
"""The tag of messages that only mark a place."""
CATCHING_UP = 10
"""Looks, a tick apart, at a queue that is shorter than it was: a broker just started may not have indexed all yet."""

log = get_logger("bus")


class Puller:
    """One queue of a topic, on one broker. `take` is called with each message; it must not raise."""

    def __init__(
        self, topic: str, group: str, number: int, take: Callable[[Message], None], lost: Callable[[], None]
    ) -> None:
        self._queue = {"topic": topic, "queueId": number}
        self._number = number
        self._group = group
        self._take = take
        self._lost = lost
        self._next = -1
        self._last: tuple[int, int] | None = None
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []

    async def begin(self, link: RocketLink, since: int | None) -> None:
        """Fix the place to go on from: where it was, or for the first time at the end; or, when `since` is given,
        at the first message stored since then (milliseconds). Raises ConnectionError.
        """
        if self._next >= 0:
            await self._resume(link)
        elif since is None:
            await self._go_to_end(link)
        else:
            self._next = (await self._ask(link, OFFSET_AT, timestamp=since)).number("offset")

    async def follow(self, link: RocketLink) -> None:
        """Take what comes, until the link is lost."""
        try:
            while (answer := await link.ask(self._pull(self._next, MANY, HELD), OVERDUE)) is not None:
                await self._digest(link, answer)
        except (ConnectionError, ValueError) as error:
            link.drop(str(error))
        finally:
            self._tell(ConnectionError(link.reason))

    async def mark_end(self, link: RocketLink) -> int:
        """Return the offset behind everything stored by now, of a message put there. Raises ConnectionError.

        The broker's own word for its end lags behind what it has confirmed: it is of what it has indexed.
        """
        mark = encode_message(b"", encode_properties({TAG: MARK}))
        answer = await link.ask(send_request(str(self._queue["topic"]), self._group, self._number, mark))
        if answer is None:
            raise ConnectionError(link.reason)
        return answer.number("queueOffset") + 1 if answer.code in STORED else await self._end_of(link)

    def passed(self, offset: int) -> asyncio.Future[None]:
        """Return what is done once everything before an offset has been taken; ConnectionError when that fails."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((offset, future))
        self._tell()
        return future

    # Inside

    async def _digest(self, link: RocketLink, answer: Command) -> None:
        if answer.code == MOVED:
            await self._lose(link)
            return
        _check(link, answer)
        if answer.code == FOUND:
            for message in decode_messages(answer.body):
                self._last = message.place
                try:
                    self._take(message)
                except Exception:
                    log.exception("receiver failed")
        following = answer.number("nextBeginOffset")
        if answer.code == RETRY and following == self._next:
            await asyncio.sleep(TICK)  # it is clearing its store, or in need of memory
        self._next = following
        self._tell()

    async def _end_of(self, link: RocketLink) -> int:
        return (await self._ask(link, MAX_OFFSET)).number("offset")

    async def _resume(self, link: RocketLink) -> None:
        for _ in range(CATCHING_UP):
            if await self._end_of(link) >= self._next:
                break
            await asyncio.sleep(TICK)
        if self._last is not None:
            intact = await self._place_of(link, self._next - 1) == self._last
        else:
            intact = (await self._ask(link, MIN_OFFSET)).number("offset") <= self._next <= await self._end_of(link)
        if not intact:
            await self._lose(link)

    async def _lose(self, link: RocketLink) -> None:
        await self._go_to_end(link)
        self._lost()
        self._tell()

    async def _go_to_end(self, link: RocketLink) -> None:
        end = await self._end_of(link)
        self._last = await self._place_of(link, end - 1) if end else None
        self._next = end

    async def _place_of(self, link: RocketLink, offset: int) -> tuple[int, int] | None:
        answer = await link.ask(self._pull(offset, 1, 0))
        if answer is None:
            raise ConnectionError(link.reason)
        _check(link, answer)
        if answer.code != FOUND:
            return None
        message = next(decode_messages(answer.body))
        return message.place if message.offset == offset else None

    async def _ask(self, link: RocketLink, code: int, **fields: object) -> Command:
        answer = await link.ask(Request(code, self._queue | fields))
        if answer is None:
            raise ConnectionError(link.reason)
        if answer.code != 0:
            raise ConnectionError(f"the broker at {link.server} says {answer.code}: {answer.remark}")
        return answer

    def _pull(self, offset: int, count: int, held: int) -> Request:
        fields = {
            "consumerGroup": self._group,
            "queueOffset": offset,
            "maxMsgNums": count,
            "sysFlag": SUBSCRIPTION | (SUSPEND if held else 0),
            "commitOffset": 0,
            "suspendTimeoutMillis": held * 1000,
            "subscription": "*",
            "subVersion": 0,
            "expressionType": "TAG",
        }
        return Request(PULL, self._queue | fields)

    def _tell(self, failure: ConnectionError | None = None) -> None:
        for offset, future in self._waiting:
            if future.done():
                continue
            if offset <= self._next:
                future.set_result(None)
            elif failure is not None:
                future.set_exception(failure)
        self._waiting = [each for each in self._waiting if not each[1].done()]


def _check(link: RocketLink, answer: Command) -> None:
    """Raise ConnectionError for an answer to a pull that says that nothing may be pulled at all."""
    if answer.code not in (FOUND, NOTHING_NEW, RETRY, MOVED):
        raise ConnectionError(f"the broker at {link.server} lets nothing be pulled ({answer.code}: {answer.remark})")
