"""Who the caller is: the tenant of its API key, what the key may do, and the tenant's limits."""

from litestar import get

from pushgate.api.admission import AnyRequest, admit_reader, context_of, push_route_of
from pushgate.api.openapi import Operation
from pushgate.api.reports import TenantLimits, TenantState

TENANT = Operation(
    "The tenant of the key",
    "Its name, whether the key may change anything or only ask (`read`), and the tenant's limits on each node. 0 means "
    "no limit.",
    200,
    TenantState,
    answer_example={
        "tenant": "acme",
        "access": "full",
        "limits": {
            "connections": 20000,
            "pushes_per_second": 500,
            "max_message": 65536,
            "max_batch": 1000,
            "max_ttl": 604800,
        },
    },
    problems=("unauthorized", "internal_error"),
)


@get("/v1/tenant", opt={"operation": TENANT})
async def find_tenant(request: AnyRequest) -> TenantState:
    """Return the tenant of the key. Raises Problem 401."""
    tenant, may_change = admit_reader(request)
    quota = push_route_of(request).quota_of(tenant)
    limits = TenantLimits(
        quota.connections,
        quota.pushes_per_second,
        quota.max_message,
        quota.max_batch,
        quota.max_ttl or context_of(request).config.inbox.max_ttl,
    )
    return TenantState(tenant, "full" if may_change else "read", limits)
