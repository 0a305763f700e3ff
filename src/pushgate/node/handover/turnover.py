"""How a node comes to this supervisor, by a succession, and goes on to the next one, by an upgrade."""

import os
from collections.abc import Callable

from pushgate.log import get_logger
from pushgate.metrics.catalogue import UPGRADING
from pushgate.metrics.rows import Row
from pushgate.node.commands import Refusal, UpgradeProgress
from pushgate.node.handover.heritage import Yours
from pushgate.node.handover.progress import Report
from pushgate.node.handover.succession import Succession
from pushgate.node.handover.upgrade import Upgrade
from pushgate.node.holdings import Holdings
from pushgate.node.loop import Loop
from pushgate.node.servers import Servers
from pushgate.node.systemd import Systemd
from pushgate.node.workers import NOBODY, Workers

_log = get_logger("supervisor", lifecycle=True)


class Turnover:
    """Whose the node is. `tell` is told how an upgrade goes."""

    def __init__(
        self,
        holdings: Holdings,
        servers: Servers,
        succession: Succession | None,
        workers: Workers,
        systemd: Systemd,
        loop: Loop,
        row: Row,
        tell: Callable[[UpgradeProgress], None],
    ) -> None:
        self._holdings = holdings
        self._servers = servers
        self._succession = succession
        self._workers = workers
        self._systemd = systemd
        self._loop = loop
        self._row = row
        self._tell = tell
        self._upgrade: Upgrade | None = None
        self.handed_over = False
        """Whether the node is another process's by now, and this one has to end."""

    @property
    def complete(self) -> bool:
        """Whether the node is ours, with all that the supervisor before us had."""
        return self._succession is None or self._succession.finished

    @property
    def under_way(self) -> bool:
        """Whether it is going to the next supervisor, or has gone."""
        return self._upgrade is not None or self.handed_over

    def begin(self, take_charge: Callable[[], None], finish: Callable[[Yours], None]) -> None:
        """Come to the node: `take_charge` is called when it is ours, `finish` when the workers have everything."""
        if self._succession is None:
            self._workers.start()
            take_charge()
            return

        def end(yours: Yours) -> None:
            self._workers.leader = NOBODY
            finish(yours)

        self._workers.leader = self._succession
        rows, fold = (self._holdings.rows_file, self._holdings.describe_rows()), self._holdings.rows.fold
        self._succession.begin(self._workers, rows, self._loop, take_charge, end, fold)

    def leave(self, stopping: bool, let_go: Callable[[], None]) -> Refusal | None:
        """Have another supervisor, of the version and with the settings that are there now, take our place.

        Returns why not. `let_go` is called when it has.
        """
        if reason := self._why_not(stopping):
            _log.error("not upgraded", reason=reason)
            return Refusal(reason)

        def end() -> None:
            self._upgrade = None
            self._workers.leader = NOBODY

        def succeed() -> None:
            end()
            self.handed_over = True
            let_go()

        def fail() -> None:
            end()
            self._row[UPGRADING] = 0

        report = Report(self._tell)
        self._upgrade = Upgrade(self._holdings, self._workers, self._systemd, self._loop, report, succeed, fail)
        self._workers.leader = self._upgrade
        self._row[UPGRADING] = 1
        self._upgrade.begin()
        return None

    def stop(self) -> bool:
        """We are told to stop; returns whether that is the next supervisor's to do, by an upgrade under way."""
        return self._upgrade is not None and self._upgrade.stop()

    def give_up(self) -> None:
        """Leave the node to the supervisor before us, where it is not all ours yet: we stop."""
        if self._succession is not None:
            self._succession.give_up("told to stop")

    def reload(self) -> bool:
        """We are told to reload; returns whether that is the next supervisor's to do."""
        if self._upgrade is not None:
            self._upgrade.reload_wanted = True
        return self.under_way

    def _why_not(self, stopping: bool) -> str:
        if self._upgrade is not None:
            return "it is being upgraded already"
        if self.handed_over:
            return "the node is another process's now"
        if stopping:
            return "the node is about to stop"
        if self._succession is not None and not self._succession.over:
            return "the upgrade before is not over: its old processes are still there"
        if os.getpid() == 1:
            return "this is process 1 of a container, which ends with it: start another container"
        if any(url.startswith("memory:") for url in self._servers):
            return "what is in memory cannot be handed over: it has to be a restart"
        if self._workers.ready < len(self._workers.children):
            return "not all workers are ready"
        return ""
