"""Questions between nodes: a worker asks all nodes over the bus, and says which of them did not answer.

A question about a user goes to the user's shard, so that on each node the worker hears it that owns the user; one
about nodes goes to everyone, and worker 0 of each other node speaks for it; one about all workers is answered by each,
and a node has answered when all of its workers have. Answers go to a shard that the asking worker owns; the owners of
that shard on other nodes drop them, since they know of no such question.

Worker 0 says once a second that its node is there; should it be stuck, another one does. It also notes which other
nodes come and go.
"""

import asyncio
from collections.abc import Callable
from random import getrandbits
from typing import Generic, NamedTuple, TypeVar

from pushgate.bus.base import Bus, Parcel
from pushgate.delivery.presence import EVERY, Presence
from pushgate.errors import BusUnavailable, Problem
from pushgate.log import get_logger
from pushgate.messages.questions import (
    Acknowledged,
    Answer,
    Ask,
    Closed,
    Counted,
    Here,
    Node,
    OfNodes,
    Question,
    Reach,
    Reached,
    Recalled,
    Reply,
    Sessions,
    Took,
    Word,
    decode_word,
    encode_word,
)
from pushgate.messages.shard import shard_of
from pushgate.metrics.catalogue import DROPPED, QUESTIONS, UNANSWERED
from pushgate.metrics.rows import Row

DEADLINE = 1.0
"""Seconds that a question waits for its answers."""
STUCK = 4 * EVERY
"""Ticks that a node was not heard after which another worker than worker 0 says that it is there."""
MAX_ASKED = 1000
"""Questions of one worker that may be under way."""
MAX_OUTBOX = 1000
"""Words that may wait for the bus to take those before them; beyond that they are lost, as the bus may lose any."""

R = TypeVar("R", Sessions, Closed, Counted, Recalled, Reached, Acknowledged)

_log = get_logger("questions")
_life_log = get_logger("questions", lifecycle=True)


class Gathered(NamedTuple, Generic[R]):
    """What the nodes said, by name, and who did not answer; `whole` when at least our own node did."""

    replies: list[tuple[str, R]]
    missing: list[str]
    whole: bool


class _Asked:
    """A question under way: who has answered it."""

    __slots__ = ("complete", "parts", "replies")

    def __init__(self) -> None:
        self.replies: dict[Node, Reply] = {}
        self.parts: dict[Node, dict[int, Reached]] = {}
        self.complete = asyncio.Event()

    def take(self, answer: Answer) -> None:
        """Note what a node says, or a worker of it."""
        reply: Reply = answer.reply
        if isinstance(reply, Reached):
            parts = self.parts.setdefault(answer.node, {})
            parts[answer.worker] = reply
            if len(parts) < reply.workers:
                return
            devices = sum(part.devices for part in parts.values())
            reply = Reached(reply.workers, devices, sum(part.acknowledged for part in parts.values()))
        self.replies[answer.node] = reply
        if isinstance(reply, Acknowledged) and reply.found:
            self.complete.set()  # a session is in one place: the others have nothing to add


class Questions:
    """The questions of one worker, and its answers to those of others. `hear` is given what is no push.

    `index` is the worker's on its node, `reply` what it says to a question about its own node. `replace` is told of the
    devices that other nodes have taken. `home` is what the node says of itself (`Here`).
    """

    def __init__(
        self,
        node: Node,
        index: int,
        bus: Bus,
        reply: Callable[[Question], Reply],
        row: Row,
        replace: Callable[[Took], None] = lambda word: None,
        home: Callable[[], int] = lambda: 0,
    ) -> None:
        self.presence = Presence(node)
        self._node = node
        self._speaks = index == 0
        self._patience = STUCK + min(index, EVERY)
        self._shard = index  # of any number of workers, the one of this index owns it
        self._bus = bus
        self._reply = reply
        self._replace = replace
        self._row = row
        self._asked: dict[int, _Asked] = {}
        self._outbox: list[Parcel] = []
        self._sender: asyncio.Task[None] | None = None
        self._ticks = 0
        self._home = home
        self._said_home = 0
        self._silent = False
        self._others: set[str] = set()
        self._leaving: set[str] = set()
        self.knows: Callable[[Question], bool] = lambda question: True
        """Whether the worker can answer a question about users: it cannot for those that it has handed over."""

    def be_silent(self) -> None:
        """Let another process speak for this node: only what this one asks itself it answers."""
        if self._speaks and not self._silent and self._bus.connected:
            self._post(None, Here(self._node, leaving=True))
        self._silent = True

    def speak(self) -> None:
        """Speak for this node from now on."""
        self._silent = False
        if self._speaks and self._bus.connected:
            self._say_here()

    def tell_taken(self, tenant: str, uid: str, device: str, since: int, serial: int) -> None:
        """Tell other nodes, if there are any, that a device has a new session here."""
        if len(self.presence.nodes) > 1 or not self.presence.settled:
            self._post(shard_of(tenant, uid), Took(self._node, tenant, uid, device, since, serial))

    async def ask(self, question: Question, kind: type[R]) -> Gathered[R]:
        """Return what the nodes answer within DEADLINE; `kind` is the kind of reply that the question has.

        Whoever has the session that an `Acknowledge` is about is the last one waited for.

        Raises BusUnavailable when the question may not have reached anybody, and Problem 503 for one too many.
        """
        if len(self._asked) >= MAX_ASKED:
            raise Problem("unavailable", "too many questions are under way")
        asked = _Asked()
        shard = None
        if isinstance(question, OfNodes):
            asked.replies[self._node] = self._reply(question)
        elif not isinstance(question, Reach):
            shard = shard_of(question.tenant, question.uid)
        number = getrandbits(64)
        self._asked[number] = asked
        self._row[QUESTIONS] += 1
        published = False
        try:
            async with asyncio.timeout(DEADLINE):
                word = Ask(number, self._node, self._shard, question)
                await self._bus.publish([Parcel(shard, encode_word(word))])
                published = True
                self._look(asked)
                await asked.complete.wait()
        except TimeoutError:
            if not published:
                raise BusUnavailable("the bus did not confirm in time") from None
        finally:
            del self._asked[number]
        replies = [(node.name, reply) for node, reply in asked.replies.items() if isinstance(reply, kind)]
        missing = set() if asked.complete.is_set() else self.presence.nodes - asked.replies.keys()
        self._row[UNANSWERED] += len(missing)
        return Gathered(sorted(replies, key=_name), sorted(node.name for node in missing), self._node not in missing)

    def hear(self, payload: bytes) -> None:
        """Take what a node asks or tells. Never raises."""
        try:
            word = decode_word(payload)
        except ValueError as error:
            self._row[DROPPED["undecodable"]] += 1
            _log.error("the bus brought something unknown", error=str(error))
            return
        if isinstance(word, Here):
            self.presence.hear(word)
            if word.leaving:
                self._leaving.add(word.node.name)
        elif isinstance(word, Ask):
            self._answer(word)
        elif isinstance(word, Took):
            if word.node != self._node:
                self._replace(word)
        else:
            asked = self._asked.get(word.id)
            if asked is not None:
                asked.take(word)
                self._look(asked)

    def tick(self) -> None:
        """Count one tick of the worker; says now and then that this node is there."""
        if not self._bus.connected:
            return
        known = self.presence.twin
        self.presence.tick()
        if self._speaks and self.presence.twin and not known:
            _life_log.error("another running node has the name of this one: set node.name", name=self._node.name)
        if self._speaks and self._ticks % EVERY == 0 and self.presence.settled:
            self._note_others()
        speaks = not self._silent and (self._speaks or self.presence.own_silence >= self._patience)
        if speaks and (self._ticks % EVERY == 0 or self._home() != self._said_home):
            self._say_here()
        self._ticks += 1

    async def stop(self) -> None:
        """Say that this node leaves, and wait until the bus has what was said; when it is away, not for long."""
        self.be_silent()
        if self._sender is not None:
            await asyncio.wait((self._sender,), timeout=DEADLINE)

    def _say_here(self) -> None:
        self._said_home = self._home()
        self._post(None, Here(self._node, home=self._said_home))

    def _note_others(self) -> None:
        """Log which other nodes came and went since the last time."""
        others = {node.name for node in self.presence.nodes} - {self._node.name}
        for name in sorted(others - self._others):
            _life_log.info("another node is there", other=name)
        for name in sorted(self._others - others):
            if name in self._leaving:
                _life_log.info("another node has left", other=name)
            else:
                _life_log.warning("another node is gone without a word", other=name)
        self._others = others
        self._leaving.clear()

    def _look(self, asked: _Asked) -> None:
        """See whether everybody has answered; who may not be known yet is waited for."""
        if self.presence.settled and self.presence.nodes <= asked.replies.keys():
            asked.complete.set()

    def _answer(self, ask: Ask) -> None:
        if self._silent and ask.node != self._node:
            return
        if isinstance(ask.question, OfNodes) and (not self._speaks or ask.node == self._node):
            return
        if not self.knows(ask.question):
            return  # the asker says that we did not answer, which is better than a smaller number
        try:
            reply = self._reply(ask.question)
        except Exception:
            _log.exception("a question met a fault in the gateway")
            return
        self._post(ask.shard, Answer(ask.id, self._node, reply, self._shard))

    def _post(self, shard: int | None, word: Word) -> None:
        """Send a word from where nobody can wait: what is said while the bus takes a group goes in the next one."""
        if len(self._outbox) >= MAX_OUTBOX:
            return
        self._outbox.append(Parcel(shard, encode_word(word)))
        if self._sender is None:
            self._sender = asyncio.get_running_loop().create_task(self._send())

    async def _send(self) -> None:
        while self._outbox:
            parcels, self._outbox = self._outbox, []
            try:
                await self._bus.publish(parcels)
            except BusUnavailable as error:
                _log.debug("words to other nodes are lost", words=len(parcels), reason=str(error))
            except Problem as error:
                _log.warning("words to other nodes are too long for the bus", words=len(parcels), reason=str(error))
            except Exception:
                _log.exception("words to other nodes met a fault in the gateway")
        self._sender = None


def _name(reply: tuple[str, Reply]) -> str:
    return reply[0]
