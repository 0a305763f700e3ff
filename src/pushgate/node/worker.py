"""A worker: one process, one event loop, the shards that it owns. The only place that builds concrete classes."""

import asyncio
import gc
import os
import random
import signal
import socket
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import uvloop
from litestar import Litestar
from msgspec import DecodeError

from pushgate.api.context import ApiContext
from pushgate.api.server import ApiServer
from pushgate.bus import create_bus
from pushgate.codes import Close
from pushgate.config import Config
from pushgate.delivery.acknowledging import Acknowledging
from pushgate.delivery.answers import Answers
from pushgate.delivery.fanout import FanOut
from pushgate.delivery.questions import Questions
from pushgate.delivery.router import Router
from pushgate.errors import PushgateError
from pushgate.inbox.base import NO_PLACES
from pushgate.log import get_logger, log_loop_error
from pushgate.messages.formats import FORMATS
from pushgate.messages.questions import Node
from pushgate.messages.shard import SHARDS, owner_of, shard_of
from pushgate.metrics.catalogue import BUS_CONNECTED, BUS_GAPS, BUS_RECONNECTS, DRAINING, INBOX_READY, REFUSED
from pushgate.metrics.generations import OtherRows
from pushgate.metrics.rows import Rows
from pushgate.node import control as words
from pushgate.node.control import Channels, Said, hear, say
from pushgate.node.departures import Departures
from pushgate.node.devices import Devices
from pushgate.node.giving import Giving
from pushgate.node.reload import read_settings
from pushgate.node.routing import DIRECTORY, Routing, home_of
from pushgate.node.servers import NONE, Servers
from pushgate.node.taking import Predecessor, Taking
from pushgate.node.vitals import Vitals
from pushgate.sessions.admission import Admission
from pushgate.sessions.arrival import Arrival, decode_arrival, encode_arrival
from pushgate.sessions.door import Door
from pushgate.sessions.heartbeat import Heartbeat
from pushgate.sessions.inbound import Inbound
from pushgate.sessions.lobby import Lobby
from pushgate.sessions.manager import SessionManager
from pushgate.sessions.replacing import Replacing
from pushgate.sessions.session import ChannelSession
from pushgate.sessions.streams import Streams
from pushgate.sessions.terms import Terms
from pushgate.sockets.addresses import AddressCounts
from pushgate.sockets.certificates import Tls
from pushgate.sockets.handoff import HandOffs
from pushgate.sockets.listener import Listener
from pushgate.sockets.poller import TICK, Poller
from pushgate.sockets.tls import TlsClients
from pushgate.tenants.registry import Tenants

BUS_PATIENCE = 5.0
"""Seconds that clients wait at the door for the bus when a worker starts."""
GC_THRESHOLDS = (50_000, 20, 50)
"""Sessions live long and make no cycles: collections are rare, and a full one is rarer."""
WALK_SLICE = 256
"""Descriptors looked at in one turn of the loop when all sessions are gone through."""
LEAVE_PATIENCE = 60.0
"""Seconds that callers have to take leave of a worker that has handed over its sessions."""
RECONNECT_SPREAD = 3.0
"""Seconds over which the clients of a stopping worker are told to come back."""


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """What the supervisor gives a worker when it forks: settings, and the sockets that it shares or owns."""

    index: int
    workers: int
    node: Node
    home: int
    config: Config
    servers: Servers
    lineage: str
    rows: Rows
    app: Litestar
    tenants: Tenants
    terms: Terms
    addresses: AddressCounts
    clients: socket.socket
    management: socket.socket
    tls: Tls
    receiving: socket.socket
    sending: Sequence[socket.socket]
    drained_until: float | None
    predecessor: Predecessor | None = None


class Worker:
    """One worker, inside its running event loop."""

    def __init__(self, plan: WorkerPlan, control: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        config, row = plan.config, plan.rows.row(plan.index)
        self._plan = plan
        self._control = control
        self._loop = loop
        self._row = row
        self._log = get_logger("worker")
        self._stopping = asyncio.Event()
        self._emptied = asyncio.Event()
        self._sent_away = False
        self._retiring = False
        self._expulsion: asyncio.Task[None] | None = None
        self._opening: asyncio.Task[None] | None = None
        self._vitals = Vitals(row)
        self._reconnects = 0  # of the bus, in the row already
        self._next_tick = loop.time() + TICK
        self._poller = Poller(loop, config.clients.write_bound, row)
        addresses, patience = plan.addresses.worker(plan.index), config.clients.handshake_timeout
        self._sessions = SessionManager(self._poller, plan.tenants, config.clients, addresses, plan.rows, row)
        self._inbound = Inbound(self._poller, self._sessions, plan.tenants, plan.terms, config.clients, row)
        self._sessions.handler = self._inbound
        self._sessions.streams = Streams(self._poller, self._sessions, plan.terms, row)
        self._heartbeat = Heartbeat(self._poller, self._sessions, config.clients, row)
        directed = config.bus.routing == DIRECTORY
        self._bus = create_bus(plan.servers.bus, config.bus.prefix, plan.home if directed else None)
        url, node_row = plan.servers.inbox, plan.rows.row(plan.workers)
        self._answers = Answers(self._sessions, plan.rows, plan.tenants.numbers, self._why_not_ready, url != NONE)
        replace = Replacing(self._sessions).replace
        self._questions = Questions(
            plan.node,
            plan.index,
            self._bus,
            self._answers.reply,
            row,
            replace,
            lambda: home_of(plan.home, plan.rows, plan.workers) if directed else 0,
        )
        admission = Admission(plan.terms, addresses, plan.rows, row)
        self._acknowledging = Acknowledging(self._questions, self._poller, row)
        self._lobby = Lobby(
            self._poller,
            plan.tenants,
            plan.terms,
            admission,
            config.clients,
            row,
            self._deliver,
            self._acknowledging.take,
        )
        self._tls = TlsClients(self._poller, plan.tls.clients, patience, addresses, row, self._lobby.admit)
        self._door = Door(self._poller, plan.terms, admission, plan.tls.clients, patience, row, self._let_in)
        self._handoffs = HandOffs(plan.receiving, plan.sending, self._poller, row, self._take_over, loop.call_later)
        self._sessions.on_device = self._questions.tell_taken
        presence = self._questions.presence
        self._routing = (
            Routing(plan.servers.bus, config, plan.home, plan.index, self._sessions, presence, self._greet, row)
            if directed
            else None
        )
        self._devices = (
            Devices(url, config, plan.lineage, self._poller, self._sessions, self._welcome, row, node_row, loop)
            if url != NONE
            else None
        )
        reliable = self._devices.reliable if self._devices is not None else None
        unread = self._devices.unread if self._devices is not None else None
        fanout = FanOut(self._sessions, row, loop.call_soon, loop.call_later, reliable)
        self._router = Router(self._sessions, fanout, row, self._questions.hear, reliable, unread)
        inbox = self._devices.inbox if self._devices is not None else None
        self._api = ApiServer(
            plan.app,
            ApiContext(
                config,
                plan.tenants,
                self._bus,
                inbox,
                self._questions,
                plan.rows,
                row,
                self._why_not_ready,
                self._routing.addressing if self._routing is not None else None,
            ),
            loop,
            plan.tls.management,
        )
        self._shards = [shard for shard in range(SHARDS) if owner_of(shard, plan.workers) == plan.index]
        self._giving = Giving(
            plan.index, self._shards, self._sessions, self._lobby, self._router, fanout, self._bus, inbox, self._take
        )
        self._questions.knows = self._giving.knows
        self._given = Channels()
        self._taking: Taking | None = None
        if plan.predecessor is not None:
            self._questions.be_silent()
            self._taking = Taking(
                plan.predecessor,
                self._shards,
                self._poller,
                self._sessions,
                self._router,
                fanout,
                self._take,
                self._api.serve,
                loop.call_later,
                self._accept,
                row,
            )
        self._clients = Listener(plan.clients, self._poller, row, self._door.knock, loop.call_later)
        self._management = Listener(plan.management, self._poller, row, self._serve, loop.call_later)
        self._departures = Departures(self._sessions, row, plan.index / plan.workers, loop.call_soon)
        if plan.drained_until is not None:
            self._drain(plan.drained_until)

    async def run(self) -> None:
        """Serve until the supervisor says stop; clients are told, and given `node.stop_grace` to take it."""
        self._loop.add_reader(self._control.fileno(), self._hear_supervisor)
        self._loop.add_signal_handler(signal.SIGTERM, self._stopping.set)
        if self._taking is None:
            self._management.start()
        self._loop.call_at(self._next_tick, self._tick)
        start = self._loop.create_task(self._start())
        stop = self._loop.create_task(self._stopping.wait())
        # Clients come in once pushes would reach them. A bus that stays away must not lock them out for good, though.
        await asyncio.wait((start, stop), timeout=BUS_PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        early = not start.done()
        self._handoffs.start()
        if self._taking is not None:
            self._taking.start()
        elif not self._departures.under_way:
            self._clients.start()
        await asyncio.wait((start, stop), return_when=asyncio.FIRST_COMPLETED)
        if start.done():
            start.result()
            if early:
                self._note_gap()
            say(self._control, words.READY)
            await stop
        else:
            start.cancel()
        await self._stop()

    async def _start(self) -> None:
        """Wait until what is pushed from now on reaches this worker."""
        plan, shards = self._plan, self._shards
        starts = [self._bus.start(shards, self._router.receive, self._note_gap)]
        if self._devices is not None:
            places = plan.predecessor.places if plan.predecessor is not None else NO_PLACES
            starts.append(self._devices.start(shards, self._router.bring, plan.config.tenants, places))
        if self._routing is not None:
            starts.append(self._routing.start(known=plan.predecessor is not None))
        await asyncio.gather(*starts)
        if self._devices is not None and plan.index == 0:  # an inbox is the same for all workers
            self._devices.watch_room(plan.tenants.numbers)

    def _accept(self) -> None:
        """All sessions of the generation before are here: let clients and callers in."""
        self._management.start()
        if not self._departures.under_way:
            self._clients.start()
        say(self._control, words.TAKEN)

    async def _stop(self) -> None:
        grace = self._plan.config.node.stop_grace
        self._management.stop()
        if self._retiring:
            self._questions.be_silent()
            await self._giving.give_callers(self._api.detach_idle())
            await self._api.leave(LEAVE_PATIENCE)
        self._let_nobody_in()
        self._handoffs.stop()
        answering = self._loop.create_task(self._api.stop(grace))
        async for session in self._walk_sessions():
            self._sessions.send_away(session, round(random.uniform(0, RECONNECT_SPREAD), 3))  # noqa: S311
        self._sent_away = True
        try:
            await asyncio.wait_for(self._emptied.wait(), grace)
        except TimeoutError:
            self._log.info("some clients did not take their last bytes", clients=self._poller.leaving)
        await answering
        await self._questions.stop()
        if self._devices is not None:
            await self._devices.stop(grace)
        if self._routing is not None:
            await self._routing.directory.stop()
        await self._bus.stop()

    def _drain(self, until: float) -> None:
        """Let nobody in any more, and have all clients gone at this moment (monotonic seconds)."""
        self._departures.begin(until, time.monotonic())
        self._let_nobody_in()

    def _let_nobody_in(self) -> None:
        """Stop accepting clients, and turn away who is in its handshake."""
        self._clients.stop()
        self._door.empty()
        self._tls.cut_handshakes()
        self._lobby.empty()
        if self._devices is not None:
            self._devices.empty()
        if self._routing is not None:
            self._routing.directory.let_in()

    def _let_in(self, connection: socket.socket, address: bytes) -> None:
        if self._tls.active:
            self._tls.admit(connection, address)
        else:
            self._lobby.admit(connection.detach(), address)

    def _serve(self, connection: socket.socket, address: Any) -> None:
        self._api.serve(connection)

    def _deliver(self, fd: int, arrival: Arrival) -> None:
        """Take a connection that the lobby knows, or pass it to the worker that owns its user's shard."""
        owner = owner_of(shard_of(arrival.tenant, arrival.uid), self._plan.workers)
        if owner == self._plan.index:
            self._take(fd, arrival)
        elif not self._handoffs.send(owner, fd, encode_arrival(arrival)):
            self._row[REFUSED["overloaded"]] += 1
            self._poller.turn_away(fd, arrival.greeting + FORMATS[arrival.format].close(Close.OVERLOADED))

    def _take_over(self, fd: int, record: bytes) -> None:
        """Take a connection from another worker's lobby."""
        self._take(fd, decode_arrival(record))

    def _take(self, fd: int, arrival: Arrival) -> None:
        if self._taking is not None and self._taking.hold(fd, arrival):
            return
        if self._devices is not None and arrival.device is not None:
            self._devices.take(fd, arrival)
        else:
            self._welcome(fd, arrival)

    def _welcome(self, fd: int, arrival: Arrival) -> None:
        if self._routing is not None:
            self._routing.admit(fd, arrival)
        else:
            self._greet(fd, arrival)

    def _greet(self, fd: int, arrival: Arrival) -> None:
        if not self._giving.divert(fd, arrival):
            self._inbound.take(fd, arrival)

    def _tick(self) -> None:
        now = self._loop.time()
        self._vitals.tick(now - self._next_tick)
        self._next_tick = max(self._next_tick + TICK, now)
        self._loop.call_at(self._next_tick, self._tick)
        self._poller.tick()
        self._door.tick()
        self._tls.tick()
        self._lobby.tick()
        self._heartbeat.tick(time.time())
        self._departures.tick(time.monotonic())
        self._questions.tick()
        if self._routing is not None:
            self._routing.tick()
        if self._devices is not None:
            self._devices.tick()
            self._row[INBOX_READY] = int(not self._devices.why_not_ready())
        self._answers.tick(time.monotonic())
        self._row[BUS_CONNECTED] = int(self._bus.connected)
        self._row[BUS_RECONNECTS] += self._bus.reconnects - self._reconnects
        self._reconnects = self._bus.reconnects
        # Sessions of this worker's TLS clients may be in other workers, which send them away just as well.
        if self._sent_away and self._tls.empty and not self._poller.leaving:
            self._emptied.set()

    def _hear_supervisor(self) -> None:
        try:
            said = hear(self._control)
        except BlockingIOError:
            return
        if said is None:
            os._exit(1)  # the supervisor is gone: nobody may be served by an orphan
        match said.word:
            case words.RELOAD:
                self._reload(said.files[0])
            case words.DRAIN:
                self._drain(float(said.body))
            case words.STOP:
                self._stopping.set()
            case words.NOTE:
                say(self._control, words.NOTED, self._giving.note())
            case words.FORGET:
                self._giving.forget()
                self._plan.rows.successor = None
                if self._routing is not None:
                    self._routing.directory.thaw()
                self._clients.start()
                self._management.start()
            case words.HAND_OVER:
                self._hand_over(said)
            case words.RETIRE:
                self._retiring = True
                self._stopping.set()
            case words.LOST if self._taking is not None:
                self._taking.lose(int(said.body))
            case words.SPEAK:
                self._questions.speak()

    def _hand_over(self, said: Said) -> None:
        """Let nobody in any more, and hand all sessions over once every channel is here."""
        channels = self._given.gather(said)
        if channels is not None:
            self._count_with(self._given.rows)
            self._given = Channels()
            self._clients.stop()
            self._management.stop()
            if self._routing is not None:
                self._routing.directory.freeze()
            self._giving.give(channels, lambda: say(self._control, words.GIVEN))

    def _count_with(self, rows: tuple[int, bytes] | None) -> None:
        """Whoever asks this worker from now on is told what the new generation counts, too."""
        if rows is None:
            return
        file, description = rows
        try:
            self._plan.rows.successor = OtherRows(file, description, self._plan.tenants.numbers)
        except (OSError, ValueError) as error:
            self._log.warning("the new generation's counters cannot be added to ours", reason=str(error))
        finally:
            os.close(file)

    def _reload(self, file: int) -> None:
        """Take on settings that the supervisor has checked."""
        try:
            settings = read_settings(file)
            self._plan.tenants.load(settings.tenants)
            self._plan.terms.load(settings.clients, settings.limits)
        except (PushgateError, DecodeError) as error:
            # A key file changed again since the supervisor read it: begin anew with what it has.
            self._log.error("the worker cannot take on the new settings", reason=str(error))
            os._exit(1)
        try:
            self._plan.tls.load(settings.certificates)
        except OSError as error:
            self._log.error("the worker keeps the certificates it has", reason=str(error))
        self._expulsion = self._loop.create_task(self._expel_strangers())
        if self._devices is not None:
            self._opening = self._loop.create_task(self._devices.load(settings.tenants))

    async def _expel_strangers(self) -> None:
        """Close the sessions of tenants that are gone."""
        async for session in self._walk_sessions():
            if self._plan.tenants.quota_of(session.user.tenant) is None:
                self._sessions.close(session, Close.TOKEN_INVALID, "the tenant is gone")

    async def _walk_sessions(self) -> AsyncIterator[ChannelSession]:
        """Go through all sessions, in slices between which the loop does other things."""
        by_fd = self._sessions.by_fd
        for start in range(0, len(by_fd), WALK_SLICE):
            for session in by_fd[start : start + WALK_SLICE]:
                if session is not None:
                    yield session
            await asyncio.sleep(0)

    def _note_gap(self) -> None:
        self._row[BUS_GAPS] += 1
        self._questions.presence.unsettle()

    def _why_not_ready(self) -> list[str]:
        reasons = []
        if not self._bus.connected:
            reasons.append("the bus is away")
        if self._devices is not None:
            reasons += self._devices.why_not_ready()
        if self._plan.rows.total(DRAINING):
            reasons.append("the node is drained")
        if self._stopping.is_set():
            reasons.append("the node stops")
        return reasons


def run_worker(plan: WorkerPlan, control: socket.socket) -> int:
    """Run a worker in this process, which was forked for it; returns its exit status.

    `control` is the worker's end of the socket to its supervisor.
    """
    gc.set_threshold(*GC_THRESHOLDS)
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.set_exception_handler(log_loop_error)
    try:
        loop.run_until_complete(Worker(plan, control, loop).run())
    except PushgateError as error:
        get_logger("worker").error("the worker cannot go on", reason=str(error))
        return 1
    return 0
