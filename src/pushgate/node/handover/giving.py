"""Handing a worker's sessions over to the workers of another generation, shard by shard.

A shard goes in one turn of the loop as far as this process is concerned: what is under way to its sessions is written,
they are let go of, and what was noted and followed until then goes along (delivery.holding has the argument why nothing
is lost or doubled). Sending takes as long as the other side takes; sessions of other shards are served meanwhile.

A session whose client speaks TLS with a worker of ours stays here: its descriptor is one end of a socket pair, and the
TLS state cannot move.
"""

import asyncio
import os
import socket
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from msgspec import msgpack

from pushgate.bus import Bus
from pushgate.delivery.fanout import FanOut
from pushgate.delivery.notes import DIGEST, Notes
from pushgate.delivery.router import Router
from pushgate.errors import BusUnavailable
from pushgate.inbox import FollowedTo, Inbox
from pushgate.log import get_logger
from pushgate.messages.questions import OfNodes, Question, Reach
from pushgate.messages.shard import shard_of
from pushgate.node.handover.passing import (
    NOTES_BYTES,
    PACKET_SESSIONS,
    RECORD_BYTES,
    Arrived,
    Callers,
    Given,
    Noted,
    Sender,
    Sessions,
)
from pushgate.sessions.arrival import Arrival, encode_arrival
from pushgate.sessions.lobby import Lobby
from pushgate.sessions.manager import SessionManager
from pushgate.sessions.session import UserSession
from pushgate.sessions.state import SessionState, encode_state

LOBBY_PATIENCE = 1.0
"""Seconds that handshakes under way have to come to their end."""
LOOK = 0.02
"""Seconds between two looks at them."""
SETTLE = 0.1
"""Seconds in which new subscriptions are known to every server of a bus."""

_log = get_logger("worker", lifecycle=True)
_encode = msgpack.Encoder().encode


class Delivery(Protocol):
    """What brings messages to the sessions."""

    @property
    def router(self) -> Router:
        """Who takes what comes."""

    @property
    def fanout(self) -> FanOut:
        """Who writes what is for everyone."""

    @property
    def bus(self) -> Bus:
        """Where live messages come from."""

    @property
    def inbox(self) -> Inbox | None:
        """Where reliable ones come from; None on a node without an inbox."""


class Giving:
    """One worker's part in handing over its `shards`. `note`, then `give`; `forget` goes back, as far as that is.

    `admit` takes a connection in that was to go to the new workers, and stays.
    """

    def __init__(
        self,
        index: int,
        shards: Sequence[int],
        sessions: SessionManager,
        lobby: Lobby,
        delivery: Delivery,
        admit: Callable[[int, Arrival], None],
    ) -> None:
        self._index = index
        self._shards = shards
        self._sessions = sessions
        self._lobby = lobby
        self._router = delivery.router
        self._fanout = delivery.fanout
        self._bus = delivery.bus
        self._inbox = delivery.inbox
        self._admit = admit
        self._notes = Notes()
        self._senders: list[Sender] = []
        self._gone: set[int] = set()
        self._arrivals: defaultdict[int, list[tuple[int, Arrival]]] = defaultdict(list)
        self._tasks: set[asyncio.Task[None]] = set()

    def note(self) -> bytes:
        """Note from now on what is delivered; returns up to where the logs are followed, for `Taking`."""
        self._notes = Notes()
        self._router.notes = self._notes
        return _encode(self._inbox.places() if self._inbox is not None else {})

    def forget(self) -> None:
        """Go on with what is still here: the new generation is no more."""
        self._router.notes = None
        for task in self._tasks:
            task.cancel()
        for sender in self._senders:
            sender.close()
        self._senders = []
        self._gone.clear()
        arrivals, self._arrivals = self._arrivals, defaultdict(list)
        for waiting in arrivals.values():
            for fd, arrival in waiting:
                self._admit(fd, arrival)

    def give(self, channels: Sequence[socket.socket], done: Callable[[], None]) -> None:
        """Hand all sessions over to the workers at the other ends of channels, in their order, then call `done`.

        `done` is not called when they break: `forget` is to be expected then.
        """
        self._senders = [Sender(channel) for channel in channels]
        self._spawn(self._give(done))

    def divert(self, fd: int, arrival: Arrival) -> bool:
        """Send a connection to the worker that has its shard now; returns False when that is still this one."""
        if not self._senders:
            return False
        shard = shard_of(arrival.tenant, arrival.uid)
        self._arrivals[shard].append((fd, arrival))
        if shard in self._gone:
            self._spawn(self._forward(shard))
        return True

    def knows(self, question: Question) -> bool:
        """Whether all sessions are here that a question is about, or none were ever."""
        if isinstance(question, OfNodes):
            return True  # the rows of both generations are added up, and the journal is one
        if isinstance(question, Reach):
            return not self._gone
        return shard_of(question.tenant, question.uid) not in self._gone

    async def give_callers(self, connections: Sequence[int]) -> None:
        """Hand connections of callers over, to all new workers in turn."""
        for turn, start in enumerate(range(0, len(connections), PACKET_SESSIONS)):
            sender = self._senders[(self._index + turn) % len(self._senders)]
            try:
                await sender.send(Callers(), connections[start : start + PACKET_SESSIONS])
            except OSError as error:
                _log.error("callers could not be handed over", reason=error.strerror)
                for file in connections[start:]:
                    os.close(file)
                return

    async def _give(self, done: Callable[[], None]) -> None:
        waits = LOBBY_PATIENCE
        while self._lobby.guests and waits > 0:
            await asyncio.sleep(LOOK)
            waits -= LOOK
        self._lobby.empty()
        await self._take_all()
        by_shard: defaultdict[int, list[UserSession]] = defaultdict(list)
        for user in self._sessions.table.users():
            by_shard[shard_of(user.tenant, user.uid)].append(user)
        for shard in self._shards:
            await self._give_shard(shard, by_shard.pop(shard, []))
            await asyncio.sleep(0)
        done()

    async def _take_all(self) -> None:
        """Take what the bus had for this worker when the new ones were ready: they may not have heard it."""
        await asyncio.sleep(SETTLE)
        try:
            await self._bus.publish([])
        except BusUnavailable:
            pass  # what is lost with it is lost to the new ones too

    async def _give_shard(self, shard: int, users: Iterable[UserSession]) -> None:
        sender = self._senders[shard % len(self._senders)]
        leaving = self._let_go(users)
        notes = len(self._notes)
        places = self._inbox.places() if self._inbox is not None else {}
        self._gone.add(shard)
        # From here on nothing that comes is for these sessions.
        try:
            await self._send_sessions(sender, shard, leaving)
            await self._send_notes(sender, notes)
            await sender.send(Given(shard, self._index, notes, {name: place.offset for name, place in places.items()}))
        except BaseException:
            self._take_back(leaving)
            raise
        await self._forward(shard)

    def _let_go(self, users: Iterable[UserSession]) -> list[tuple[int, SessionState]]:
        """Write what is under way to sessions and let go of them, each user's in their order."""
        by_fd = self._sessions.by_fd
        leaving: list[tuple[int, SessionState]] = []
        for user in users:
            for session in user.channels:
                if _is_bridged(session.fd):
                    continue
                self._fanout.finish(session)
                if by_fd[session.fd] is session:  # it was not closed over that
                    leaving.append((session.fd, self._sessions.hand_over(session)))
        return leaving

    async def _send_sessions(self, sender: Sender, shard: int, leaving: list[tuple[int, SessionState]]) -> None:
        """Send sessions, and take those that were sent out of the list."""
        while leaving:
            records: list[bytes] = []
            fds: list[int] = []
            files: list[int] = []
            try:
                for fd, state in leaving[:PACKET_SESSIONS]:
                    record = encode_state(state)
                    fds.append(fd)
                    if len(record) > RECORD_BYTES:
                        files.append(_file_of(record))
                        fds.append(files[-1])
                        record = b""
                    records.append(record)
                await sender.send(Sessions(shard, records), fds)
            except BaseException:
                for file in files:
                    os.close(file)
                raise
            del leaving[: len(records)]

    async def _send_notes(self, sender: Sender, notes: int) -> None:
        step = NOTES_BYTES // DIGEST
        while sender.notes < notes:
            stop = min(notes, sender.notes + step)
            await sender.send(Noted(self._index, self._notes.between(sender.notes, stop)))
            sender.notes = stop

    async def _forward(self, shard: int) -> None:
        """Send the connections that came for a shard; those that cannot be sent wait for `forget`."""
        while self._arrivals[shard]:
            fd, arrival = self._arrivals[shard].pop(0)
            try:
                await self._senders[shard % len(self._senders)].send(Arrived(encode_arrival(arrival)), [fd])
            except BaseException:
                if self._senders:
                    self._arrivals[shard].append((fd, arrival))
                else:
                    self._admit(fd, arrival)
                raise

    def _take_back(self, leaving: Sequence[tuple[int, SessionState]]) -> None:
        """Go on with sessions that could not be sent; what came meanwhile their devices read from the inbox."""
        for fd, state in leaving:
            if state.place is not None:
                epoch, _, unstored, track = state.place
                state.place = epoch, True, unstored, track
            self._sessions.take_over(fd, state)

    def _spawn(self, coroutine: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            if isinstance(error, OSError):
                _log.error("the new workers take nothing more", reason=error.strerror)
            else:
                _log.error("the hand-over met a fault in the gateway", exc_info=error)


def _is_bridged(fd: int) -> bool:
    """Whether a descriptor is one end of a socket pair, with TLS behind the other."""
    sock = socket.socket(fileno=fd)
    try:
        return sock.family == socket.AF_UNIX
    finally:
        sock.detach()


def _file_of(record: bytes) -> int:
    file = os.memfd_create("pushgate-session", os.MFD_CLOEXEC)
    os.pwrite(file, record, 0)
    return file


def read_places(body: bytes) -> dict[str, FollowedTo]:
    """Return what `note` said."""
    return msgpack.decode(body, type=dict[str, FollowedTo])
