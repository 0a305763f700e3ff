"""A worker's part in reliable delivery: the inbox, and all that stands between it and the devices, built and kept."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any

from pushgate.config import Config, InboxConfig, TenantConfig
from pushgate.delivery.cursors import Cursors
from pushgate.delivery.reliable import Reliable
from pushgate.delivery.unread import Unread
from pushgate.inbox import FollowedTo, Inbox, Limits, Options, create_inbox
from pushgate.inbox.base import OnEntry
from pushgate.log import get_logger
from pushgate.metrics.catalogue import CLUSTER_LEADER, CLUSTER_SERVERS, INBOX_READY, WORKER_INBOX_AWAY
from pushgate.node.opening import Opening
from pushgate.node.plan import WorkerPlan
from pushgate.node.servers import inbox_copies, members_of
from pushgate.node.usage import watch_usage
from pushgate.sessions.anteroom import Anteroom
from pushgate.sessions.arrival import Arrival
from pushgate.sessions.manager import SessionManager
from pushgate.sockets.poller import Poller

_log = get_logger("inbox")


def options_of(config: Config, lineage: str) -> Options:
    """Return what holds for all tenants."""
    inbox = config.inbox
    return Options(inbox.duplicate_window, inbox.cursor_days * 86400, inbox_copies(config), lineage)


def limits_of(config: InboxConfig, tenants: Mapping[str, TenantConfig]) -> dict[str, Limits]:
    """Return the limits of each tenant's logs."""
    return {
        name: Limits(tenant.inbox_bytes or config.max_bytes, tenant.inbox_messages or config.max_messages)
        for name, tenant in tenants.items()
    }


class ReliableDelivery:
    """The reliable delivery of one worker, on a node with an inbox. `let_in` is given each connection whose device's
    cursor is known."""

    def __init__(
        self,
        plan: WorkerPlan,
        poller: Poller,
        sessions: SessionManager,
        let_in: Callable[[int, Arrival], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        config, row, options = plan.config, plan.row, options_of(plan.config, plan.lineage)
        self.inbox: Inbox = create_inbox(plan.servers.inbox, config.bus.prefix, row, options)
        self._config = config.inbox
        self._members = members_of(config)
        self._row = row
        self._node_row = plan.rows.row(plan.workers)  # the supervisor's, which knows the embedded server's cluster
        self._opening = Opening(self.inbox.open)
        self._loop = loop
        self._tasks: set[asyncio.Task[None]] = set()
        self._cursors = Cursors(self.inbox)
        self.reliable = Reliable(sessions, self.inbox, self._cursors, sessions.close, self._spawn, row)
        self._anteroom = Anteroom(self.inbox, self._cursors, let_in, poller, self._spawn, row)
        self.unread = Unread(sessions, self.inbox, self.reliable.progress, self._spawn, row)
        sessions.devices = self.reliable
        poller.on_drained = self.reliable.resume

    async def start(
        self,
        shards: Iterable[int],
        on_entry: OnEntry,
        tenants: Mapping[str, TenantConfig],
        places: Mapping[str, FollowedTo],
    ) -> None:
        """Connect and follow the logs, from `places` on; waits for an inbox that is not there yet."""
        await self.inbox.start(shards, on_entry, self._end_epoch, places)
        await self.load(tenants)

    async def load(self, tenants: Mapping[str, TenantConfig]) -> None:
        """Have these tenants' logs followed, and their limits hold; see Opening."""
        await self._opening.want(limits_of(self._config, tenants))

    def watch_usage(self, tenants: Mapping[str, int]) -> None:
        """Have it measured, from now on, how full the tenants' inboxes are; `tenants` are their numbers, by name."""
        self._spawn(watch_usage(self.inbox, tenants, self._row))

    def why_not_ready(self) -> list[str]:
        """Return why reliable pushes would fail now, as far as is known; nothing where they would not."""
        if not self.inbox.connected:
            return ["the inbox is away"]
        if self._members and not self._node_row[CLUSTER_LEADER]:
            return [f"the inbox has no quorum: {self._node_row[CLUSTER_SERVERS]} of {self._members} servers"]
        if self.inbox.stalled:
            return ["the inbox takes nothing"]
        return [f"the inbox is not open: {self._opening.trouble}"] if self._opening.trouble else []

    def admit(self, fd: int, arrival: Arrival) -> None:
        """Take in a connection that names a device, once its cursor is known."""
        self._anteroom.admit(fd, arrival)

    def tick(self) -> None:
        """Count one tick of the worker."""
        self.reliable.tick()
        self.unread.tick()
        self._cursors.tick()
        ready = not self.why_not_ready()
        self._row[INBOX_READY], self._row[WORKER_INBOX_AWAY] = ready, not ready

    def empty(self) -> None:
        """Let nobody in any more: the worker stops."""
        self._anteroom.empty()

    async def stop(self, patience: float) -> None:
        """Store the cursors that are not stored yet, within so many seconds, and let go of the inbox."""
        await self._cursors.stop(patience)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.inbox.stop()

    def _end_epoch(self, tenant: str) -> None:
        self.unread.forget(tenant)
        self.reliable.end_epoch(tenant)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a part of reliable delivery met a fault in the gateway", exc_info=error)
