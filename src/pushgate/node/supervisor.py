"""The supervisor: opens the sockets, starts the embedded NATS, forks the workers and keeps them alive.

It runs no event loop library and no thread, so that it can fork at any time: a plain selector loop. Everything is
imported and built before the first fork, and the garbage collector frozen, so that workers share what never changes.
"""

import gc
import os
import resource
import secrets
import signal
import time
from collections.abc import Callable, Sequence

from litestar.types import ControllerRouterHandler

from pushgate.api.app import build_app
from pushgate.config import Config
from pushgate.journal import Journal
from pushgate.log import get_logger
from pushgate.messages.questions import Node
from pushgate.metrics.catalogue import CONNECTIONS, NODE_START
from pushgate.node.check import Checked, check_config
from pushgate.node.commands import Commands, Refusal
from pushgate.node.control import SPEAK
from pushgate.node.data_dir import DataDir
from pushgate.node.draining import Drain, drain_time
from pushgate.node.embedded.growing import Mover
from pushgate.node.embedded.keeper import NatsKeeper
from pushgate.node.embedded.server import NatsServer
from pushgate.node.handover.heritage import Yours
from pushgate.node.handover.succession import Succession
from pushgate.node.handover.turnover import Turnover
from pushgate.node.holdings import Holdings
from pushgate.node.loop import Loop
from pushgate.node.memory import watch_memory
from pushgate.node.plan import WorkerPlan
from pushgate.node.reload import Reload
from pushgate.node.servers import EMBEDDED, inbox_copies
from pushgate.node.signals import Signals, has_terminal
from pushgate.node.systemd import Systemd
from pushgate.node.watchdog import Watchdog
from pushgate.node.workers import Workers
from pushgate.sockets.addresses import AddressCounts
from pushgate.sockets.certificates import Tls, note_expiry
from pushgate.sockets.handoff import open_channel

RETIRE_PATIENCE = 90.0
"""Seconds after which workers whose sessions were handed over are killed, should callers still hold them up."""
STOP_MARGIN = 3.0
"""Seconds beyond the graces of a stop after which a worker is killed."""

Announce = Callable[[tuple[str, int], tuple[str, int]], None]
"""Is told the addresses of the client port and the management port, once, when every worker is ready."""

_log = get_logger("supervisor", lifecycle=True)


class Supervisor:
    """One node. The constructor raises PushgateError for whatever keeps it from starting."""

    def __init__(
        self,
        config: Config,
        reread: Callable[[], Config],
        data_dir: DataDir,
        journal: Journal,
        extra_routes: Callable[[int], Sequence[ControllerRouterHandler]],
        announce: Announce,
        succession: Succession | None = None,
        demo_key: str = "",
    ) -> None:
        """`extra_routes` is given the client port and returns what the API serves beside its own.

        `reread` returns the configuration as it stands now, for a reload; it raises PushgateError. With a `succession`
        the node is taken over from the process that has it.
        """
        self._config = config
        self._announce: Announce | None = announce
        checked = check_config(config)
        for warning in checked.warnings:
            _log.warning(warning)
        self._tenants = checked.tenants
        self._terms = checked.terms
        self._servers = checked.servers
        self._tls = Tls(checked.certificates)
        self._systemd = Systemd()
        self._node = Node(config.node.full_name, secrets.randbits(64))
        self._succession = succession
        self._holdings = Holdings(config, data_dir, journal, checked.workers, self._tenants, succession, demo_key)
        self._rows = self._holdings.rows
        self._row = self._rows.row(checked.workers)
        self._app = build_app(extra_routes(self._holdings.clients.getsockname()[1]))
        self._channels = [open_channel() for _ in range(checked.workers)]
        note_expiry(checked.certificates, self._row)
        self._addresses = AddressCounts(checked.workers)
        self._reload = Reload(reread, self._tenants, self._terms, self._tls, self._row)
        self._loop = Loop()
        self._workers = Workers(checked.workers, self._plan, self._rows, self._addresses, self._loop, self._note_ready)
        self._nats = self._plan_nats(checked, data_dir)
        self._watchdog = Watchdog(self._workers.children, self._rows, self._loop, config.node.watchdog)
        self._commands = Commands(self._loop, self._start_drain, self._start_upgrade)
        self._drain = Drain(
            self._rows, self._row, self._holdings.clients, self._workers, self._loop, self._commands.tell, self._stop
        )
        self._turnover = Turnover(
            self._holdings,
            checked.servers,
            succession,
            self._workers,
            self._systemd,
            self._loop,
            self._row,
            self._commands.tell,
        )
        self._told_to_stop = False
        self._stopping = False
        self._has_terminal = has_terminal()

    def _plan_nats(self, checked: Checked, data_dir: DataDir) -> NatsKeeper | None:
        """Return the keeper of the embedded server, None where nothing needs one."""
        if not checked.nats_server:
            return None
        config, program, member = self._config, checked.nats_server, checked.member
        size, mover = 0, None
        if member is not None:
            size, mover = member.size, Mover(data_dir.path, program, inbox_copies(config), config.log, self._loop)
        nats = NatsServer(data_dir, program, config.inbox.sync, member=member)
        return NatsKeeper(nats, self._loop, self._row, lambda: self._workers.kill(signal.SIGTERM), size, mover)

    def run(self) -> int:
        """Start everything and serve until told to stop; returns the exit status. Raises StartError."""
        Signals(
            self._loop,
            {
                signal.SIGTERM: self._terminate,
                signal.SIGINT: self._stop,
                signal.SIGHUP: self._hang_up,
                signal.SIGUSR2: self._start_upgrade,
                signal.SIGCHLD: self._workers.bury,
            },
        )
        try:
            if self._nats is not None:
                self._nats.start()
            gc.collect()
            gc.freeze()
            self._row[NODE_START] = int(time.time())
            watch_memory(self._row, self._loop)
            self._turnover.begin(self._take_charge, self._succeed)
            while not (self._stopping or self._turnover.handed_over) or self._workers.running:
                self._loop.turn()
        finally:
            if self._nats is not None:
                self._nats.let_go()
            if not self._turnover.complete:
                self._workers.kill(signal.SIGKILL)  # the node is not ours, and its nats-server neither
            elif self._nats is not None and not self._turnover.handed_over:
                self._nats.stop(self._config.node.stop_grace)
        _log.info("handed over" if self._turnover.handed_over else "stopped")
        return 0

    def _take_charge(self) -> None:
        """The node is ours: look after it, and speak for it."""
        self._holdings.data_dir.sign()
        self._workers.say(SPEAK)
        self._watchdog.start()
        self._commands.open(self._holdings.data_dir.path)
        if self._systemd.present:
            self._report()

    def _succeed(self, yours: Yours) -> None:
        """The workers have everything that those of the supervisor before us had, and accept."""
        self._announce_ready()
        if yours.stop:
            self._terminate()
        elif yours.reload:
            self._hang_up()

    def _start_upgrade(self) -> Refusal | None:
        """Do what `pushgate upgrade` asks."""
        return self._turnover.leave(self._stopping or self._drain.until is not None, self._retire)

    def _retire(self) -> None:
        """The node is another supervisor's: end when our workers have."""
        if self._nats is not None:
            self._nats.let_go()
        self._workers.retire()
        self._loop.after(RETIRE_PATIENCE, self._kill_rest)

    def _terminate(self) -> None:
        """Be empty within `node.drain`, and then stop; told again, stop now."""
        if self._turnover.stop():
            return
        seconds = drain_time(self._config)
        if self._stopping or self._told_to_stop or not seconds:
            self._stop()
        else:
            self._told_to_stop = True
            self._drain.hurry(seconds)

    def _start_drain(self, seconds: float) -> Refusal | None:
        """Do what `pushgate drain` asks."""
        if self._stopping:
            return Refusal("it stops already")
        if self._turnover.under_way:
            return Refusal("it is being upgraded")
        self._drain.begin(seconds)
        return None

    def _stop(self) -> None:
        if self._turnover.stop():
            return
        self._turnover.give_up()
        if self._stopping:
            _log.warning("told to stop again: stopping at once")
            self._kill_rest()
            return
        self._stopping = True
        self._drain.end()
        grace = self._config.node.stop_grace
        _log.info("stopping", grace=grace)
        self._systemd.stopping()
        if self._nats is not None:
            self._nats.let_go()
        self._workers.stop()
        self._holdings.refuse_all()
        self._loop.after(2 * grace + STOP_MARGIN, self._kill_rest)

    def _kill_rest(self) -> None:
        self._workers.kill(signal.SIGKILL)

    def _hang_up(self) -> None:
        """Take on what may change of the configuration as it stands now; where it is wrong, keep the old one."""
        if self._has_terminal and not has_terminal():
            self._stop()  # it was closed, which sends the same signal as whoever wants a reload
        elif not self._turnover.reload() and not self._stopping:
            self._systemd.reloading()
            if reloaded := self._reload.reload(self._config):
                self._config, settings = reloaded
                self._workers.reload(settings)
            self._systemd.reloaded()

    def _plan(self, index: int) -> WorkerPlan:
        """Return what a worker is started with."""
        return WorkerPlan(
            index=index,
            workers=len(self._channels),
            node=self._node,
            home=self._holdings.home,
            config=self._config,
            servers=self._servers.at(self._nats.url) if self._nats is not None else self._servers,
            lineage=self._nats.lineage if self._nats is not None and self._servers.inbox == EMBEDDED else "",
            rows=self._rows,
            journal=self._holdings.journal,
            app=self._app,
            tenants=self._tenants,
            terms=self._terms,
            addresses=self._addresses,
            clients=self._holdings.clients,
            management=self._holdings.management,
            tls=self._tls,
            receiving=self._channels[index][0],
            sending=[sending for _, sending in self._channels],
            drained_until=self._drain.until,
            predecessor=self._succession.predecessor_of(index) if self._succession is not None else None,
        )

    def _note_ready(self) -> None:
        """Tell everybody, once, when all workers are ready, and the node is ours."""
        if self._workers.ready == len(self._channels) and self._turnover.complete:
            self._announce_ready()

    def _announce_ready(self) -> None:
        if self._announce is None:
            return
        clients, management = self._holdings.clients.getsockname(), self._holdings.management.getsockname()
        _log.info(
            "ready",
            workers=len(self._channels),
            files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],  # about the connections of a worker
            clients=clients[:2],
            management=management[:2],
            pid=os.getpid(),
        )
        self._systemd.ready()
        self._announce(clients, management)
        self._announce = None

    def _report(self) -> None:
        """Tell systemd how we are: well, unless a worker has not ticked for half of what its watchdog allows."""
        if self._turnover.handed_over:
            return
        self._loop.after(self._systemd.interval, self._report)
        connections = self._rows.total(CONNECTIONS)
        self._systemd.report(
            self._watchdog.silence < 2 * self._systemd.interval,
            f"{connections} connections, {self._workers.ready} of {len(self._channels)} workers ready"
            + (", draining" if self._drain.until is not None else ""),
        )
