"""A worker: one process, one event loop, the shards that it owns. It builds what it is made of."""

import asyncio
import gc
import os
import random
import signal
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import uvloop
from msgspec import DecodeError

from pushgate.api.context import ApiContext
from pushgate.api.produced import ProducedPushes
from pushgate.api.push import PushRoute
from pushgate.api.server import ApiServer
from pushgate.codes import Close
from pushgate.delivery.acknowledging import Acknowledging
from pushgate.errors import PushgateError
from pushgate.log import get_logger, log_loop_error
from pushgate.metrics.catalogue import DRAINING
from pushgate.node import control as words
from pushgate.node.backbone import Backbone
from pushgate.node.control import hear, say
from pushgate.node.departures import Departures
from pushgate.node.entrance import Entrance
from pushgate.node.handover.tenure import Tenure
from pushgate.node.plan import WorkerPlan
from pushgate.node.reload import read_settings
from pushgate.node.vitals import Vitals
from pushgate.sessions.arrival import Arrival
from pushgate.sessions.heartbeat import Heartbeat
from pushgate.sessions.inbound import Inbound
from pushgate.sessions.manager import SessionManager
from pushgate.sessions.session import ChannelSession
from pushgate.sessions.spread import Spread
from pushgate.sessions.streams import Streams
from pushgate.sockets.listener import Listener
from pushgate.sockets.poller import TICK, Poller
from pushgate.tracing import create_tracer

BUS_PATIENCE = 5.0
"""Seconds that clients wait at the door for the bus when a worker starts."""
GC_THRESHOLDS = (50_000, 20, 50)
"""Sessions live long and make no cycles: collections are rare, and a full one is rarer."""
WALK_SLICE = 256
"""Descriptors looked at in one turn of the loop when all sessions are gone through."""
LEAVE_PATIENCE = 60.0
"""Seconds that callers have to take leave of a worker that has handed over its sessions."""
LAST_SPANS = 2.0
"""Seconds that a stopping worker has to send the last spans of traces."""


class Worker:
    """One worker, inside its running event loop."""

    def __init__(self, plan: WorkerPlan, control: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        config, row = plan.config, plan.row
        self._plan = plan
        self._control = control
        self._loop = loop
        self._log = get_logger("worker", lifecycle=True)
        self._stopping = asyncio.Event()
        self._emptied = asyncio.Event()
        self._sent_away = False
        self._retiring = False
        self._expulsion: asyncio.Task[None] | None = None
        self._opening: asyncio.Task[None] | None = None
        self._vitals = Vitals(row)
        self._next_tick = loop.time() + TICK
        self._poller = Poller(loop, config.clients.write_bound, row)
        addresses = plan.addresses.worker(plan.index)
        self._spread = Spread(plan.terms, plan.rows)
        self._sessions = SessionManager(
            self._poller, plan.tenants, config.clients, addresses, plan.rows, row, self._spread
        )
        self._inbound = Inbound(self._poller, self._sessions, plan.tenants, plan.terms, config.clients, row)
        self._sessions.handler = self._inbound
        self._sessions.streams = Streams(self._poller, self._sessions, plan.terms, row)
        self._heartbeat = Heartbeat(self._poller, self._sessions, config.clients, row)
        facts = {"service.instance.id": f"{plan.node.name}/{plan.index}", "pushgate.node": plan.node.name}
        self._tracer = create_tracer(config.tracing, facts | {"pushgate.worker": str(plan.index)}, row)
        self._backbone = backbone = Backbone(
            plan, self._poller, self._sessions, loop, self._greet, self._why_not_ready, self._tracer
        )
        acknowledging = Acknowledging(backbone.questions, self._poller, row)
        self._entrance = Entrance(plan, self._poller, loop, self.admit, acknowledging.take)
        context = ApiContext(
            config,
            plan.tenants,
            backbone.bus,
            backbone.inbox,
            backbone.questions,
            plan.rows,
            row,
            self._why_not_ready,
            backbone.addressing,
            self._tracer,
        )
        self._api = ApiServer(plan.app, context, loop, plan.tls.management)
        counts = plan.index == 0  # every worker takes every produced push
        self._produced = ProducedPushes(PushRoute(context), plan.tenants, row, counts, backbone.router.receive)
        self._tenure = Tenure(plan, self._poller, self._sessions, self._entrance.lobby, backbone, loop, self)
        self._management = Listener(plan.management, self._poller, row, self._accept, loop.call_later)
        self._departures = Departures(self._sessions, row, plan.index / plan.workers, loop.call_soon)
        if plan.drained_until is not None:
            self._drain(plan.drained_until)

    async def run(self) -> None:
        """Serve until the supervisor says stop; clients are told, and given `node.stop_grace` to take it."""
        self._loop.add_reader(self._control.fileno(), self._hear_supervisor)
        self._loop.add_signal_handler(signal.SIGTERM, self._stopping.set)
        if not self._tenure.has_predecessor:
            self._management.start()
        self._loop.call_at(self._next_tick, self._tick)
        start = self._loop.create_task(self._backbone.start(self._produced.take))
        stop = self._loop.create_task(self._stopping.wait())
        # Clients come in once pushes would reach them. A bus that stays away must not lock them out for good, though.
        await asyncio.wait((start, stop), timeout=BUS_PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        early = not start.done()
        self._entrance.start()
        if self._tenure.has_predecessor:
            self._tenure.start()
        elif not self._departures.under_way:
            self._entrance.open()
        await asyncio.wait((start, stop), return_when=asyncio.FIRST_COMPLETED)
        if start.done():
            start.result()
            if early:
                self._backbone.note_gap()
            say(self._control, words.READY)
            await stop
        else:
            start.cancel()
        await self._stop()

    def complete(self) -> None:
        """All sessions of the generation before are here: let clients and callers in (Receiver)."""
        self._management.start()
        if not self._departures.under_way:
            self._entrance.open()
        say(self._control, words.TAKEN)

    async def _stop(self) -> None:
        grace = self._plan.config.node.stop_grace
        self._management.stop()
        if self._retiring:
            self._backbone.questions.be_silent()
            await self._tenure.give_callers(self._api.detach_idle())
            await self._api.leave(LEAVE_PATIENCE)
        self._let_nobody_in()
        self._entrance.stop()
        answering = self._loop.create_task(self._api.stop(grace))
        spread = self._spread.seconds
        async for session in self._walk_sessions():
            self._sessions.send_away(session, round(random.uniform(0, spread), 3))  # noqa: S311
        self._sent_away = True
        try:
            await asyncio.wait_for(self._emptied.wait(), grace)
        except TimeoutError:
            self._log.info("some clients did not take their last bytes", clients=self._poller.leaving)
        await answering
        await self._backbone.stop(grace)
        if self._tracer is not None:
            await self._tracer.stop(LAST_SPANS)

    def _drain(self, until: float) -> None:
        """Let nobody in any more, and have all clients gone at this moment (monotonic seconds)."""
        self._departures.begin(until, time.monotonic())
        self._let_nobody_in()

    def _let_nobody_in(self) -> None:
        """Stop accepting clients, and turn away who is in its handshake."""
        self._entrance.turn_away()
        self._backbone.turn_away()

    def serve(self, caller: socket.socket) -> None:
        """Take in a caller's connection (Receiver)."""
        self._api.serve(caller)

    def _accept(self, caller: socket.socket, address: Any) -> None:
        self.serve(caller)

    def admit(self, fd: int, arrival: Arrival) -> None:
        """Take in a client's connection whose user is this worker's (Receiver)."""
        if not self._tenure.hold(fd, arrival):
            self._backbone.admit(fd, arrival)

    def _greet(self, fd: int, arrival: Arrival) -> None:
        if not self._tenure.divert(fd, arrival):
            self._inbound.take(fd, arrival)

    def _tick(self) -> None:
        now = self._loop.time()
        self._vitals.tick(now - self._next_tick)
        self._next_tick = max(self._next_tick + TICK, now)
        self._loop.call_at(self._next_tick, self._tick)
        self._poller.tick()
        self._spread.tick()
        self._entrance.tick()
        self._heartbeat.tick(time.time(), self._backbone.fanout.busy)
        self._departures.tick(time.monotonic())
        self._backbone.tick()
        if self._sent_away and not (self._entrance.bridged or self._poller.leaving):
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
                say(self._control, words.NOTED, self._tenure.note())
            case words.FORGET:
                self._tenure.forget()
                self._backbone.thaw()
                self._entrance.open()
                self._management.start()
            case words.HAND_OVER:
                if self._tenure.gather(said):
                    self._hand_over()
            case words.RETIRE:
                self._retiring = True
                self._stopping.set()
            case words.LOST:
                self._tenure.lose(int(said.body))
            case words.SPEAK:
                self._backbone.questions.speak()

    def _hand_over(self) -> None:
        """Let nobody in any more, and hand all sessions over."""
        self._entrance.close()
        self._management.stop()
        self._backbone.freeze()
        self._tenure.give(lambda: say(self._control, words.GIVEN))

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
        self._opening = self._loop.create_task(self._backbone.load(settings.tenants))

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

    def _why_not_ready(self) -> list[str]:
        reasons = self._backbone.why_not_ready()
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
        get_logger("worker", lifecycle=True).error("the worker cannot go on", reason=str(error))
        return 1
    return 0
