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
from pushgate.errors import PushgateError
from pushgate.log import get_logger
from pushgate.messages.questions import Node
from pushgate.metrics.catalogue import CONNECTIONS, LAST_RELOAD, NODE_START, RELOADS, WORKER_RESTARTS
from pushgate.metrics.rows import Rows
from pushgate.node.check import check_config
from pushgate.node.children import Child
from pushgate.node.data_dir import DataDir
from pushgate.node.nats_keeper import NatsKeeper
from pushgate.node.nats_server import NatsServer
from pushgate.node.reload import Settings, name_fixed, take_on
from pushgate.node.systemd import Systemd
from pushgate.node.timers import Timers
from pushgate.node.watchdog import Watchdog
from pushgate.node.worker import WorkerPlan
from pushgate.sockets.addresses import AddressCounts
from pushgate.sockets.certificates import Tls, note_expiry
from pushgate.sockets.handoff import open_channel
from pushgate.sockets.listener import open_listener

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
    ) -> None:
        """`extra_routes` is given the client port and returns what the API serves beside its own.

        `reread` returns the configuration as it stands now, for a reload; it raises PushgateError.
        """
        self._config = config
        self._reread = reread
        self._announce: Announce | None = announce
        checked = check_config(config)
        _warn(checked.warnings)
        self._count = checked.workers
        self._tenants = checked.tenants
        self._terms = checked.terms
        self._tls = Tls(checked.certificates)
        self._systemd = Systemd()
        self._node = Node(config.node.full_name, secrets.randbits(64))
        self._files = _raise_file_limit()
        self._clients = open_listener(config.clients.host, config.clients.port, config.clients.backlog)
        self._management = open_listener(config.management.host, config.management.port, config.clients.backlog)
        self._app = build_app(extra_routes(self._clients.getsockname()[1]))
        self._channels = [open_channel() for _ in range(self._count)]
        self._rows = Rows(self._count)
        self._row = self._rows.row(self._count)
        note_expiry(checked.certificates, self._row)
        self._addresses = AddressCounts(self._count)
        self._children = [Child(index) for index in range(self._count)]
        self._timers = Timers()
        self._selector = selectors.DefaultSelector()
        self._nats: NatsKeeper | None = None
        if checked.nats_server:
            nats = NatsServer(data_dir, checked.nats_server, config.inbox.sync, member=checked.member)
            size = checked.member.size if checked.member is not None else 0
            self._nats = NatsKeeper(nats, self._selector, self._timers, self._row, self._replace_workers, size)
        self._watchdog = Watchdog(self._children, self._rows, self._timers, config.node.watchdog)
        self._stopping = False
        self._has_terminal = _has_terminal()

    def run(self) -> int:
        """Start everything and serve until told to stop; returns the exit status. Raises StartError."""
        self._catch_signals()
        try:
            if self._nats is not None:
                self._nats.start()
            gc.collect()
            gc.freeze()
            self._row[NODE_START] = int(time.time())
            for child in self._children:
                self._fork(child)
            self._watchdog.start()
            if self._systemd.present:
                self._report()
            while not self._stopping or any(child.pid for child in self._children):
                for key, _ in self._selector.select(self._timers.wait()):
                    key.data()
                self._timers.run_due()
        finally:
            if self._nats is not None:
                self._nats.stop(self._config.node.stop_grace)
        _log.info("stopped")
        return 0

    # Signals arrive as bytes on a socket, so that they are handled between other events and never within them.

    def _catch_signals(self) -> None:
        self._signals, self._alarm = socket.socketpair()
        for end in (self._signals, self._alarm):
            end.setblocking(False)
        signal.set_wakeup_fd(self._alarm.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            if signal.getsignal(number) != signal.SIG_IGN:  # as nohup leaves SIGHUP
                signal.signal(number, _wake)
        self._selector.register(self._signals, selectors.EVENT_READ, self._hear_signals)

    def _hear_signals(self) -> None:
        try:
            numbers = set(self._signals.recv(4096))
        except BlockingIOError:
            return
        if numbers & {signal.SIGTERM, signal.SIGINT}:
            self._stop()
        if signal.SIGHUP in numbers:
            if self._has_terminal and not _has_terminal():
                self._stop()  # it was closed, which sends the same signal as whoever wants a reload
            else:
                self._reload()
        if signal.SIGCHLD in numbers:
            self._bury()

    def _stop(self) -> None:
        if self._stopping:
            _log.warning("told to stop again: stopping at once")
            self._kill_rest()
            return
        self._stopping = True
        grace = self._config.node.stop_grace
        _log.info("stopping", grace=grace)
        self._systemd.stopping()
        if self._nats is not None:
            self._nats.let_go()
        for child in self._children:
            child.stop()
        for listener in (self._clients, self._management):
            listener.shutdown(socket.SHUT_RD)  # in every process: who comes now is refused, and nobody left hanging
        self._timers.after(2 * grace + STOP_MARGIN, self._kill_rest)

    def _kill_rest(self) -> None:
        for child in self._children:
            child.kill(signal.SIGKILL)

    def _reload(self) -> None:
        """Take on what may change of the configuration as it stands now; where it is wrong, keep the old one."""
        if self._stopping:
            return
        self._systemd.reloading()
        self._take_anew()
        self._systemd.reloaded()

    def _take_anew(self) -> None:
        try:
            wanted = self._reread()
            checked = check_config(wanted)
            _warn(checked.warnings)
            self._tenants.load(wanted.tenants)
        except PushgateError as error:
            self._row[RELOADS["failed"]] += 1
            _log.error("the configuration is wrong: the one before stays", reason=str(error))
            return
        if fixed := name_fixed(self._config, wanted):
            _log.warning("some settings change with the next start only", settings=fixed)
        self._tls.load(checked.certificates)
        note_expiry(checked.certificates, self._row)
        self._config = config = take_on(self._config, wanted)
        self._terms.load(config.clients, config.limits)
        settings = Settings(config.tenants, config.limits, config.clients, checked.certificates)
        for child in self._children:
            child.reload(settings)
        self._row[RELOADS["done"]] += 1
        self._row[LAST_RELOAD] = int(time.time())
        _log.info("configuration reloaded", tenants=len(wanted.tenants))

    # Workers

    def _fork(self, child: Child) -> None:
        if self._stopping:
            return
        plan = WorkerPlan(
            index=child.index,
            workers=self._count,
            node=self._node,
            config=self._config,
            bus_url=self._nats.url if self._nats is not None else self._config.bus.url,
            lineage=self._nats.lineage if self._nats is not None else "",
            rows=self._rows,
            app=self._app,
            tenants=self._tenants,
            terms=self._terms,
            addresses=self._addresses,
            clients=self._clients,
            management=self._management,
            tls=self._tls,
            receiving=self._channels[child.index][0],
            sending=[sending for _, sending in self._channels],
        )
        try:
            child.fork(plan)
            _log.debug("a worker is started", worker=child.index, pid=child.pid)
        except OSError as error:
            pause = child.back_off.pause()
            _log.error("a worker cannot be started", worker=child.index, reason=error.strerror, again_in=pause)
            self._timers.after(pause, lambda: self._fork(child))
            return
        assert child.control is not None
        self._selector.register(child.control, selectors.EVENT_READ, lambda: self._hear_worker(child))

    def _hear_worker(self, child: Child) -> None:
        assert child.control is not None
        was_ready = child.ready
        if not child.hear():
            self._selector.unregister(child.control)
            child.close_control()
            return
        if child.ready and not was_ready:
            _log.info("a worker is ready", worker=child.index, pid=child.pid)
        if self._announce is not None and all(child.ready for child in self._children):
            clients, management = self._clients.getsockname(), self._management.getsockname()
            _log.info(
                "ready",
                workers=self._count,
                files=self._files,
                clients=clients[:2],
                management=management[:2],
                pid=os.getpid(),
            )
            self._systemd.ready()
            self._announce(clients, management)
            self._announce = None

    def _bury(self) -> None:
        for child in self._children:
            pid = child.pid
            status = child.bury()
            if status is None:
                continue
            self._rows.clear_gauges(child.index)
            self._addresses.clear(child.index)
            if self._stopping:
                continue
            pause = child.back_off.pause()
            self._rows.row(child.index)[WORKER_RESTARTS] += 1
            _log.error("a worker ended", worker=child.index, pid=pid, status=status, again_in=pause)
            self._timers.after(pause, lambda child=child: self._fork(child))  # type: ignore[misc]

    def _replace_workers(self) -> None:
        for child in self._children:
            child.kill(signal.SIGTERM)

    def _report(self) -> None:
        """Tell systemd how we are: well, unless a worker has not ticked for half of what its watchdog allows."""
        self._timers.after(self._systemd.interval, self._report)
        connections = self._rows.total(CONNECTIONS)
        workers = sum(child.ready for child in self._children)
        self._systemd.report(
            self._watchdog.silence < 2 * self._systemd.interval,
            f"{connections} connections, {workers} of {self._count} workers ready",
        )


def _warn(warnings: Sequence[str]) -> None:
    for warning in warnings:
        _log.warning(warning)


def _raise_file_limit() -> int:
    """Let each process open as many files as it may at all; returns how many: about the connections of a worker."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def _has_terminal() -> bool:
    """Whether this process has a terminal that would take it along when it is closed."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _wake(number: int, frame: object) -> None:
    """Take a signal, so that its number is written to the wake-up socket."""
