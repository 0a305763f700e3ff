"""The supervisor: opens the sockets, starts the embedded NATS, forks the workers and keeps them alive.

It runs no event loop library and no thread, so that it can fork at any time: a plain selector loop. Everything is
imported and built before the first fork, and the garbage collector frozen, so that workers share what never changes.
"""

import gc
import os
import resource
import secrets
import selectors
import signal
import socket
import time
from collections.abc import Callable, Sequence

from litestar.types import ControllerRouterHandler

from pushgate.api.app import build_app
from pushgate.config import Config
from pushgate.log import get_logger
from pushgate.messages.questions import Node
from pushgate.metrics.catalogue import CONNECTIONS, NODE_START
from pushgate.metrics.generations import describe
from pushgate.metrics.rows import Rows
from pushgate.node.check import check_config
from pushgate.node.commands import Commands, Refusal
from pushgate.node.control import DRAIN, SPEAK
from pushgate.node.data_dir import DataDir
from pushgate.node.devices import replicas_of
from pushgate.node.draining import Drain, drain_time
from pushgate.node.growing import Mover
from pushgate.node.heritage import Estate, Yours
from pushgate.node.nats_keeper import NatsKeeper
from pushgate.node.nats_server import NatsServer
from pushgate.node.progress import Report
from pushgate.node.reload import Reload, fixed_settings
from pushgate.node.servers import EMBEDDED
from pushgate.node.signals import Signals, has_terminal
from pushgate.node.succession import Succession
from pushgate.node.systemd import Systemd
from pushgate.node.timers import Timers
from pushgate.node.upgrade import Upgrade
from pushgate.node.watchdog import Watchdog
from pushgate.node.worker import WorkerPlan
from pushgate.node.workers import HEEDLESS, Workers
from pushgate.sockets.addresses import AddressCounts
from pushgate.sockets.certificates import Tls, note_expiry
from pushgate.sockets.handoff import open_channel
from pushgate.sockets.listener import open_listener, refuse_all

RETIRE_PATIENCE = 90.0
"""Seconds after which workers whose sessions were handed over are killed, should callers still hold them up."""
STOP_MARGIN = 3.0
"""Seconds beyond the graces of a stop after which a worker is killed."""

Announce = Callable[[tuple[str, int], tuple[str, int]], None]
"""Is told the addresses of the client port and the management port, once, when every worker is ready."""

_log = get_logger("supervisor")


class Supervisor:
    """One node. The constructor raises PushgateError for whatever keeps it from starting."""

    def __init__(
        self,
        config: Config,
        reread: Callable[[], Config],
        data_dir: DataDir,
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
        self._home = (succession.home if succession is not None else 0) or secrets.randbits(64) | 1
        self._files = _raise_file_limit()
        self._succession = succession
        self._demo_key = demo_key
        if succession is not None:
            succession.check_fixed(fixed_settings(config))
        self._clients = self._listen(0, config.clients.host, config.clients.port)
        self._management = self._listen(1, config.management.host, config.management.port)
        self._app = build_app(extra_routes(self._clients.getsockname()[1]))
        self._channels = [open_channel() for _ in range(checked.workers)]
        old_rows = succession.old_rows(self._tenants.numbers) if succession is not None else None
        self._rows_file = os.memfd_create("pushgate-rows", os.MFD_CLOEXEC)
        os.ftruncate(self._rows_file, Rows.file_size(checked.workers, old_rows))
        self._rows = Rows(checked.workers, self._rows_file, old_rows)
        self._row = self._rows.row(checked.workers)
        note_expiry(checked.certificates, self._row)
        self._addresses = AddressCounts(checked.workers)
        self._reload = Reload(reread, self._tenants, self._terms, self._tls, self._row)
        self._timers = Timers()
        self._selector = selectors.DefaultSelector()
        self._workers = Workers(
            checked.workers, self._plan, self._rows, self._addresses, self._selector, self._timers, self._note_ready
        )
        self._nats: NatsKeeper | None = None
        if checked.nats_server:
            nats = NatsServer(data_dir, checked.nats_server, config.inbox.sync, member=checked.member)
            size, mover = 0, None
            if checked.member is not None:
                size, copies = checked.member.size, replicas_of(config)
                mover = Mover(data_dir.path, checked.nats_server, copies, config.log, self._selector, self._timers)
            self._nats = NatsKeeper(nats, self._selector, self._timers, self._row, self._replace_workers, size, mover)
        self._watchdog = Watchdog(self._workers.children, self._rows, self._timers, config.node.watchdog)
        self._commands = Commands(self._selector, self._start_drain, self._start_upgrade)
        self._drain = Drain(
            self._rows,
            self._row,
            self._clients,
            self._timers,
            lambda until: self._workers.say(DRAIN, str(until).encode()),
            self._commands.tell,
            self._stop,
        )
        self._data_dir = data_dir
        self._upgrade: Upgrade | None = None
        self._handed_over = False
        self._told_to_stop = False
        self._stopping = False
        self._has_terminal = has_terminal()

    def run(self) -> int:
        """Start everything and serve until told to stop; returns the exit status. Raises StartError."""
        Signals(
            self._selector,
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
            if self._succession is None:
                self._workers.start()
                self._take_charge()
            else:
                self._begin_succession(self._succession)
            while not (self._stopping or self._handed_over) or self._workers.running:
                for key, _ in self._selector.select(self._timers.wait()):
                    key.data()
                self._timers.run_due()
        finally:
            if self._nats is not None:
                self._nats.let_go()
            if self._succession is not None and not self._succession.finished:
                self._workers.kill(signal.SIGKILL)  # the node is not ours, and its nats-server neither
            elif self._nats is not None and not self._handed_over:
                self._nats.stop(self._config.node.stop_grace)
        _log.info("handed over" if self._handed_over else "stopped")
        return 0

    def _take_charge(self) -> None:
        """Look after the node, and speak for it."""
        self._watchdog.start()
        self._commands.open(self._data_dir.path)
        if self._systemd.present:
            self._report()

    # The node goes from one supervisor to another

    def _begin_succession(self, succession: Succession) -> None:
        self._workers.heed = succession
        rows = self._rows_file, describe(self._rows, self._tenants.numbers)
        succession.begin(
            self._workers, rows, self._selector, self._timers, self._inherit, self._succeed, self._rows.fold
        )

    def _inherit(self) -> None:
        """The node is ours from now on."""
        self._data_dir.sign()
        self._workers.say(SPEAK)
        self._take_charge()

    def _succeed(self, yours: Yours) -> None:
        """The workers have everything, and accept."""
        self._workers.heed = HEEDLESS
        self._announce_ready()
        if yours.stop:
            self._terminate()
        elif yours.reload:
            self._hang_up()

    def _start_upgrade(self) -> Refusal | None:
        """Have another supervisor, of the version and with the settings that are there now, take our place."""
        report = Report(self._commands.tell)
        if reason := self._why_not_upgraded():
            _log.error("not upgraded", reason=reason)
            return Refusal(reason)
        config = self._config
        ports = [(config.clients.host, config.clients.port), (config.management.host, config.management.port)]
        estate = Estate(
            workers=len(self._channels),
            ports=ports,
            fixed=fixed_settings(config),
            rows=describe(self._rows, self._tenants.numbers),
            demo_key=self._demo_key,
            home=self._home,
        )
        files = [self._data_dir.lock, self._clients.fileno(), self._management.fileno(), self._rows_file]
        self._upgrade = Upgrade(
            estate, files, self._workers, self._systemd, self._selector, self._timers, report, self._end_upgrade
        )
        self._workers.heed = self._upgrade
        self._upgrade.begin()
        return None

    def _why_not_upgraded(self) -> str:
        if self._upgrade is not None:
            return "it is being upgraded already"
        if self._handed_over:
            return "the node is another process's now"
        if self._stopping or self._drain.until is not None:
            return "the node is about to stop"
        if self._succession is not None and not self._succession.over:
            return "the upgrade before is not over: its old processes are still there"
        if os.getpid() == 1:
            return "this is process 1 of a container, which ends with it: start another container"
        if any(url.startswith("memory:") for url in self._servers):
            return "what is in memory cannot be handed over: it has to be a restart"
        if self._workers.ready < len(self._channels):
            return "not all workers are ready"
        return ""

    def _end_upgrade(self, done: bool) -> None:
        self._upgrade = None
        self._workers.heed = HEEDLESS
        if not done:
            return
        self._handed_over = True
        if self._nats is not None:
            self._nats.let_go()
        self._workers.retire()
        self._timers.after(RETIRE_PATIENCE, self._kill_rest)

    def _listen(self, port: int, host: str, number: int) -> socket.socket:
        """Return a listening socket: that of the process before us, where it is for the same address."""
        backlog = self._config.clients.backlog
        taken = self._succession.listener(port, (host, number), backlog) if self._succession is not None else None
        return taken if taken is not None else open_listener(host, number, backlog)

    def _terminate(self) -> None:
        """Be empty within `node.drain`, and then stop; told again, stop now."""
        if self._upgrade is not None and self._upgrade.stop():
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
        if self._upgrade is not None or self._handed_over:
            return Refusal("it is being upgraded")
        self._drain.begin(seconds)
        return None

    def _stop(self) -> None:
        if self._upgrade is not None and self._upgrade.stop():
            return
        if self._succession is not None and not self._succession.finished:
            self._succession.give_up("told to stop")
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
        for listener in (self._clients, self._management):
            refuse_all(listener)
        self._timers.after(2 * grace + STOP_MARGIN, self._kill_rest)

    def _kill_rest(self) -> None:
        self._workers.kill(signal.SIGKILL)

    def _hang_up(self) -> None:
        """Take on what may change of the configuration as it stands now; where it is wrong, keep the old one."""
        if self._has_terminal and not has_terminal():
            self._stop()  # it was closed, which sends the same signal as whoever wants a reload
        elif self._upgrade is not None:
            self._upgrade.reload_wanted = True
        elif not self._stopping and not self._handed_over:
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
            home=self._home,
            config=self._config,
            servers=self._servers.at(self._nats.url) if self._nats is not None else self._servers,
            lineage=self._nats.lineage if self._nats is not None and self._servers.inbox == EMBEDDED else "",
            rows=self._rows,
            app=self._app,
            tenants=self._tenants,
            terms=self._terms,
            addresses=self._addresses,
            clients=self._clients,
            management=self._management,
            tls=self._tls,
            receiving=self._channels[index][0],
            sending=[sending for _, sending in self._channels],
            drained_until=self._drain.until,
            predecessor=self._succession.predecessor_of(index) if self._succession is not None else None,
        )

    def _note_ready(self) -> None:
        """Tell everybody, once, when all workers are ready, and the node is ours."""
        if self._workers.ready == len(self._channels) and (self._succession is None or self._succession.finished):
            self._announce_ready()

    def _announce_ready(self) -> None:
        if self._announce is None:
            return
        clients, management = self._clients.getsockname(), self._management.getsockname()
        _log.info(
            "ready",
            workers=len(self._channels),
            files=self._files,
            clients=clients[:2],
            management=management[:2],
            pid=os.getpid(),
        )
        self._systemd.ready()
        self._announce(clients, management)
        self._announce = None

    def _replace_workers(self) -> None:
        self._workers.kill(signal.SIGTERM)

    def _report(self) -> None:
        """Tell systemd how we are: well, unless a worker has not ticked for half of what its watchdog allows."""
        if self._handed_over:
            return
        self._timers.after(self._systemd.interval, self._report)
        connections = self._rows.total(CONNECTIONS)
        self._systemd.report(
            self._watchdog.silence < 2 * self._systemd.interval,
            f"{connections} connections, {self._workers.ready} of {len(self._channels)} workers ready"
            + (", draining" if self._drain.until is not None else ""),
        )


def _raise_file_limit() -> int:
    """Let each process open as many files as it may at all; returns how many: about the connections of a worker."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
