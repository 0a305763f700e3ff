import asyncio

import pytest

from pushgate.inbox.base import Draft, Usage
from pushgate.metrics.catalogue import TENANT_INBOX, TENANT_MAX_INBOX
from pushgate.metrics.rows import Rows, tenant_slot
from pushgate.node import usage
from pushgate.node.usage import watch_usage
from tests.fakes.inbox import FakeInbox


class LimitedInbox(FakeInbox):
    async def usage(self, tenant: str) -> Usage:
        return (await super().usage(tenant))._replace(max_bytes=1000)


async def test_it_is_known_at_once() -> None:
    inbox, row, tenants = LimitedInbox(), Rows(1).row(0), {"acme": 3}
    await inbox.append("acme", [Draft("alice", "1", bytes(10), 60)])
    watching = asyncio.create_task(watch_usage(inbox, tenants, row))
    try:
        await asyncio.sleep(0)
        assert row[tenant_slot(3, TENANT_INBOX)] == 10
        assert row[tenant_slot(3, TENANT_MAX_INBOX)] == 1000
    finally:
        watching.cancel()


async def test_what_is_not_answered_leaves_what_was_known(monkeypatch: pytest.MonkeyPatch) -> None:
    inbox, row, tenants = LimitedInbox(), Rows(1).row(0), {"acme": 3}
    await inbox.append("acme", [Draft("alice", "1", bytes(10), 60)])
    monkeypatch.setattr(usage, "ROUND", 0.01)
    monkeypatch.setattr(usage, "PAUSE", 0.001)
    watching = asyncio.create_task(watch_usage(inbox, tenants, row))
    try:
        async with asyncio.timeout(10):
            while inbox.calls.count(("usage", 1)) < 2:
                await asyncio.sleep(0.001)
            inbox.away = True
            tenants["late"] = 4
            await inbox.append("acme", [Draft("alice", "2", bytes(10), 60)])
            asked = len(inbox.calls)
            while len(inbox.calls) < asked + 4:
                await asyncio.sleep(0.001)
            assert row[tenant_slot(3, TENANT_INBOX)] == 10
            assert row[tenant_slot(4, TENANT_INBOX)] == 0
            inbox.away = False
            while row[tenant_slot(3, TENANT_INBOX)] != 20:
                await asyncio.sleep(0.001)
    finally:
        watching.cancel()
