"""The tenant's numbers and the nodes, asked of all nodes."""

from litestar import get
from msgspec import structs

from pushgate.api.admission import AnyRequest, admit_reader
from pushgate.api.asking import ask
from pushgate.api.openapi import Operation
from pushgate.api.reports import NodeNumbers, Numbers, Stats
from pushgate.messages.nodes import Nodes, NodeState
from pushgate.messages.questions import Count, Counted

_NUMBERS = {
    "connections": 1200,
    "users": 800,
    "pushes": 40210,
    "delivered": 61377,
    "pushes_per_second": 12.5,
    "delivered_per_second": 18.8,
}
_NODE = {"node": "gateway-1", "version": "1.0.0", "workers": 4}
_STATE = {
    "ready": True,
    "not_ready": [],
    "draining": False,
    "upgrading": False,
    "up": 86400,
    "connections": 15000,
    "users": 9000,
    "pushes_per_second": 480.0,
    "delivered_per_second": 4800.0,
    "bus_workers": 4,
    "inbox_workers": 4,
}
_PROBLEMS = ("unauthorized", "internal_error", "bus_unavailable")

STATS = Operation(
    "The tenant's numbers",
    "Of each node, and of all that answered: nodes that did not are named in `missing`, and not in `total`. Rates are "
    "over the last ten seconds.",
    200,
    Stats,
    answer_example={"total": _NUMBERS, "nodes": [{**_NODE, **_NUMBERS}], "missing": []},
    problems=_PROBLEMS,
)
NODES = Operation(
    "The nodes",
    "Those that answered; the others that are known are named in `missing`, until they were silent for ten seconds. "
    "Their numbers are those of `/metrics`, of all tenants together.",
    200,
    Nodes,
    answer_example={"nodes": [{**_NODE, **_STATE}], "missing": []},
    problems=_PROBLEMS,
)


@get("/v1/stats", opt={"operation": STATS})
async def stats(request: AnyRequest) -> Stats:
    """Return the tenant's numbers."""
    counted = await ask(request, Count(admit_reader(request)[0]), Counted)
    nodes = [_describe(node, reply) for node, reply in counted.replies]
    columns = {name: [getattr(node, name) for node in nodes] for name in Numbers.__struct_fields__}
    total = Numbers(**{name: round(sum(column), 1) for name, column in columns.items()})
    return Stats(total, nodes, counted.missing)


@get("/v1/nodes", opt={"operation": NODES})
async def nodes(request: AnyRequest) -> Nodes:
    """Return the nodes."""
    counted = await ask(request, Count(admit_reader(request)[0]), Counted)
    return Nodes([_tell(node, reply) for node, reply in counted.replies], counted.missing)


def _tell(node: str, reply: Counted) -> NodeState:
    state = NodeState(node, reply.version, reply.workers, reply.ready)
    overview = reply.overview
    if overview is None:
        return state
    return structs.replace(
        state,
        not_ready=overview.reasons,
        draining=overview.draining,
        upgrading=overview.upgrading,
        up=overview.up,
        connections=overview.connections,
        users=overview.users,
        pushes_per_second=overview.pushes_per_second,
        delivered_per_second=overview.delivered_per_second,
        bus_workers=overview.bus,
        inbox_workers=overview.inbox,
    )


def _describe(node: str, reply: Counted) -> NodeNumbers:
    return NodeNumbers(
        reply.connections,
        reply.users,
        reply.pushes,
        reply.delivered,
        reply.pushes_per_second,
        reply.delivered_per_second,
        node=node,
        version=reply.version,
        workers=reply.workers,
    )


STATS_ROUTES = (stats, nodes)
