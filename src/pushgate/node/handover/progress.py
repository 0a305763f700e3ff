"""How an upgrade goes: told to the log, and to whoever waits for it."""

from collections.abc import Callable

from pushgate.log import get_logger
from pushgate.node.commands import UpgradeProgress

_log = get_logger("supervisor", lifecycle=True)


class Report:
    """One upgrade's; `tell` is told each step."""

    def __init__(self, tell: Callable[[UpgradeProgress], None]) -> None:
        self._tell = tell
        self.pid = 0
        """The new supervisor's process id, once there is one."""

    def note(self, step: str) -> None:
        """The upgrade is that far."""
        _log.info("upgrading", step=step, new=self.pid)
        self._tell(UpgradeProgress("under way", step, self.pid))

    def succeed(self) -> None:
        """The new one has everything."""
        _log.info("upgraded: the new one has everything", new=self.pid)
        self._tell(UpgradeProgress("done", "done", self.pid))

    def fail(self, reason: str) -> None:
        """The upgrade is over, and the node goes on as it was."""
        _log.error("not upgraded", reason=reason, new=self.pid)
        self._tell(UpgradeProgress("failed", reason, self.pid))
