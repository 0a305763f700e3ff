"""Sending, in order: all of one process goes into one queue, one request at a time, in which goes whatever waits.

A broker handles requests side by side, and so only one in flight keeps an order. When the queue's broker is gone, or
refuses, everybody who waits is told, and the next message goes into a queue of another broker, where there is one.

What was sent before such a change may still lie in the old queue, or be on its way there, and reach subscribers later
than what was sent after it. So each message says of which sender it is and after how many changes: subscribers drop
what is older than what they have of a sender, and know that something is missing (see `Turns`).
"""

import asyncio
import random
from collections import deque
from collections.abc import Mapping, Sequence
from functools import partial
from os import urandom

from pushgate.rocketmq.frames import Command
from pushgate.rocketmq.lane import Lane
from pushgate.rocketmq.link import Answer, RocketLink
from pushgate.rocketmq.messages import TAG, encode_message, encode_properties
from pushgate.rocketmq.sending import STORED, send_request

BATCH = 1024 * 1024
"""Bytes of messages in one request; more only where a single message is larger."""
ORIGIN = "ORIGIN"
"""The property that says of which sender a message is, and after how many changes."""

Failure = asyncio.Future[str | None]
"""Why messages are not known to be stored; None when they are."""


class _Group:
    __slots__ = ("future", "left")

    def __init__(self, left: int, future: Failure) -> None:
        self.left = left
        self.future = future


class Publisher:
    """Sends for one process, over whichever of `lanes` takes messages."""

    def __init__(self, topic: str, group: str, lanes: Mapping[str, Lane]) -> None:
        self._topic = topic
        self._group = group
        self._lanes = lanes
        self._name = urandom(6).hex()
        self._turn = -1
        self._lane: Lane | None = None
        self._link: RocketLink | None = None
        self._queue = 0
        self._waiting: deque[bytes] = deque()
        self._groups: deque[_Group] = deque()
        self._scheduled = False
        self._flight: Answer | None = None
        self._properties: dict[str, bytes] = {}

    def send(self, messages: Sequence[tuple[str, bytes]]) -> Failure:
        """Send messages, each a tag and a body, in their order and after those before."""
        future: Failure = asyncio.get_running_loop().create_future()
        if self._link is None or self._link.lost.is_set() or self._lane is None or not self._lane.takes:
            self._change("the bus is away")
            if self._link is None:
                future.set_result("the bus is away")
                return future
        self._groups.append(_Group(len(messages), future))
        for tag, body in messages:
            properties = self._properties.get(tag)
            if properties is None:
                properties = encode_properties({TAG: tag, ORIGIN: f"{self._name}.{self._turn}"})
                self._properties[tag] = properties
            self._waiting.append(encode_message(body, properties))
        if self._flight is None and not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._fly)
        return future

    # Inside

    def _change(self, reason: str) -> None:
        """Tell everybody who waits that it failed, and take another queue, or the same over a new connection."""
        groups, self._groups = self._groups, deque()
        self._waiting.clear()
        self._flight = None
        for group in groups:
            if not group.future.done():
                group.future.set_result(reason)
        ready = [lane for lane in self._lanes.values() if lane.takes]
        others = [lane for lane in ready if lane is not self._lane]
        # the same again only where there is no other: it may be the one that refused
        self._lane = random.choice(others or ready) if ready else None  # noqa: S311
        self._link = self._lane.link if self._lane is not None else None
        if self._lane is not None:
            self._turn += 1
            self._properties.clear()
            self._queue = random.randrange(self._lane.spot.writable)  # noqa: S311

    def _fly(self) -> None:
        """Send what waits, as much as goes into one request."""
        self._scheduled = False
        if not self._waiting or self._link is None or self._flight is not None:
            return
        batch = [self._waiting.popleft()]
        size = len(batch[0])
        while self._waiting and size + len(self._waiting[0]) <= BATCH:
            batch.append(self._waiting.popleft())
            size += len(batch[-1])
        self._flight = self._link.ask(send_request(self._topic, self._group, self._queue, b"".join(batch)))
        self._flight.add_done_callback(partial(self._land, len(batch)))

    def _land(self, count: int, flight: Answer) -> None:
        if flight is not self._flight:
            return  # everybody was told already
        self._flight = None
        answer = flight.result()
        if answer is None or answer.code not in STORED:
            self._change(_why(answer, self._link))
            return
        while count and self._groups:
            group = self._groups[0]
            done = min(count, group.left)
            group.left -= done
            count -= done
            if not group.left:
                self._groups.popleft()
                if not group.future.done():
                    group.future.set_result(None)
        self._fly()


def _why(answer: Command | None, link: RocketLink | None) -> str:
    if answer is not None:
        return f"the broker does not store it ({answer.code}: {answer.remark})"
    return link.reason if link is not None else "the bus is away"


class Turns:
    """Which senders have changed queues, as a subscriber knows it."""

    def __init__(self) -> None:
        self._latest: dict[str, int] = {}

    def is_late(self, origin: str) -> bool:
        """Whether something that was sent after it has come already. Raises ValueError for what is no origin."""
        sender, _, turn = origin.partition(".")
        if turn == "0" and sender not in self._latest:
            return False
        latest = self._latest.get(sender, 0)
        self._latest[sender] = max(latest, int(turn))
        return int(turn) < latest
