"""How full the tenants' inboxes are, for the metrics."""

from asyncio import sleep
from collections.abc import Mapping

from pushgate.errors import InboxUnavailable
from pushgate.inbox import Inbox
from pushgate.metrics.catalogue import TENANT_INBOX, TENANT_MAX_INBOX
from pushgate.metrics.rows import Row, tenant_slot

ROUND = 10.0
"""Seconds in which each of a few tenants is looked at once."""
PAUSE = 0.1
"""Seconds between two looks, however many tenants there are: 1,024 take 100 s."""


async def watch_usage(inbox: Inbox, tenants: Mapping[str, int], row: Row) -> None:
    """Write to the row, for ever, what each tenant's inbox has; `tenants` are their numbers, by name.

    While the inbox does not answer for a tenant, what was known of it stays.
    """
    while True:
        for tenant, number in tuple(tenants.items()):
            try:
                usage = await inbox.usage(tenant)
            except InboxUnavailable:
                pass
            else:
                row[tenant_slot(number, TENANT_INBOX)] = usage.bytes
                row[tenant_slot(number, TENANT_MAX_INBOX)] = usage.max_bytes
            await sleep(max(PAUSE, ROUND / len(tenants)))
        if not tenants:
            await sleep(ROUND)
