"""The table of a worker's sessions: who is connected, by user and by descriptor, and how many they are."""

import sys
from collections.abc import Callable, Iterator

from pushgate.codes import Close
from pushgate.messages.formats import EVENTS, FORMATS
from pushgate.metrics.catalogue import CONNECTIONS, EVENT_STREAMS, TENANT_CONNECTIONS, TENANT_USERS, USERS
from pushgate.metrics.rows import Row, Rows, tenant_slot
from pushgate.sessions.session import ADDRESS_BYTES, ChannelSession, Columns, TenantSession, UserSession
from pushgate.sockets.addresses import WorkerCounts
from pushgate.tenants.registry import Tenants


class SessionTable:
    """The sessions of one worker, counted in its row.

    `by_fd` is indexed by descriptor and None where there is no session; `columns` has their numbers. `tenants` has the
    users, by name. `on_first` is told of a user's first session here, `on_last` when the last one has ended.
    """

    def __init__(self, tenants: Tenants, addresses: WorkerCounts, rows: Rows, row: Row) -> None:
        self.by_fd: list[ChannelSession | None] = [None] * 1024
        self.columns = Columns()
        self.on_first: Callable[[str, str], None] = _tell_nobody
        self.on_last: Callable[[str, str], None] = _tell_nobody
        self._registry = tenants
        self._addresses = addresses
        self._rows = rows
        self._row = row
        self.tenants: dict[str, TenantSession] = {}

    def users(self) -> list[UserSession]:
        """Return all users with a session on this worker."""
        return [user for tenant in self.tenants.values() for user in tenant.users.values()]

    def sessions_of(self, tenant: str) -> Iterator[ChannelSession]:
        """Yield all sessions of a tenant on this worker."""
        known = self.tenants.get(tenant)
        if known is not None:
            for user in known.users.values():
                yield from user.channels

    def descriptors(self, tenant: str, start: int, stop: int) -> dict[int, list[int]]:
        """Return the descriptors from `start` to below `stop` of a tenant's sessions, by the number of their format.

        No session is looked at: each lies somewhere else in memory, and going there costs more than all the rest.
        """
        known = self.tenants.get(tenant)
        if known is None:
            return {}
        kinds = self.columns.kind[start:stop]
        return {
            kind - known.first_kind: [fd for fd, each in enumerate(kinds, start) if each == kind]
            for kind in set(kinds)
            if 0 <= kind - known.first_kind < len(FORMATS)
        }

    def tenant(self, name: str) -> TenantSession:
        """Return a tenant's part of the table."""
        known = self.tenants.get(name)
        if known is None:
            number = self._registry.numbers[name]
            slots = (tenant_slot(number, slot) for slot in (TENANT_CONNECTIONS, TENANT_USERS))
            # Interned, since every token brings the name as a string of its own.
            known = self.tenants[sys.intern(name)] = TenantSession(sys.intern(name), len(self.tenants), *slots)
        return known

    def count_in(self, tenant: TenantSession) -> Close | None:
        """Count one more connection of a tenant; returns why not when the node would then have more than its quota."""
        quota = self._registry.quota_of(tenant.name)
        if quota is None:
            return Close.TOKEN_INVALID  # the token was good a moment ago, and a reload has taken the tenant away
        slot = tenant.connections_slot
        self._row[slot] += 1  # before the sum is taken: two workers at once are never both let in as the last one
        if quota.connections and self._rows.total(slot) > quota.connections:
            self._row[slot] -= 1
            return Close.OVERLOADED
        return None

    def enter(
        self,
        fd: int,
        tenant: TenantSession,
        uid: str,
        device: str | None,
        tags: tuple[str, ...],
        format_number: int,
        address: bytes,
    ) -> ChannelSession:
        """Make a session, which its tenant has counted, and enter it; its numbers are still those of the one before."""
        user = tenant.users.get(uid)
        if user is None:
            user = tenant.users[uid] = UserSession(tenant.name, uid)
            self._row[USERS] += 1
            self._row[tenant.users_slot] += 1
            self.on_first(tenant.name, uid)
        session = ChannelSession(fd, user, device, tags, format_number)
        user.channels = (*user.channels, session)
        if fd >= len(self.by_fd):
            size = fd + 1024
            self.by_fd.extend([None] * (size - len(self.by_fd)))
            self.columns.grow(size)
        self.by_fd[fd] = session
        self.columns.kind[fd] = tenant.first_kind + format_number
        self._addresses.enter(address)
        self.columns.address[fd * ADDRESS_BYTES : (fd + 1) * ADDRESS_BYTES] = address
        self._row[CONNECTIONS] += 1
        if format_number == EVENTS:
            self._row[EVENT_STREAMS] += 1
        return session

    def leave(self, session: ChannelSession) -> None:
        """Take a session out, with its user where it was the last one."""
        fd, user = session.fd, session.user
        self.by_fd[fd] = None
        self.columns.kind[fd] = 0
        session.reader = None
        user.channels = tuple(channel for channel in user.channels if channel is not session)
        tenant = self.tenants[user.tenant]
        self._row[tenant.connections_slot] -= 1
        if not user.channels:
            del tenant.users[user.uid]
            self._row[USERS] -= 1
            self._row[tenant.users_slot] -= 1
            self.on_last(user.tenant, user.uid)
        self._addresses.leave(self.columns.address_of(fd))
        self._row[CONNECTIONS] -= 1
        if session.format == EVENTS:
            self._row[EVENT_STREAMS] -= 1


def _tell_nobody(*_what: str) -> None:
    """There is no other node."""
