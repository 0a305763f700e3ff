"""The tenant's numbers and the nodes, asked of all nodes."""

from litestar import get

from pushgate.api.admission import AnyRequest, admit
from pushgate.api.asking import ask
from pushgate.api.openapi import Operation
from pushgate.api.reports import NodeNumbers, Nodes, NodeState, Numbers, Stats
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
    "Those that answered; the others that are known are named in `missing`, until they were silent for ten seconds.",
    200,
    Nodes,
    answer_example={"nodes": [{**_NODE, "ready": True}], "missing": []},
    problems=_PROBLEMS,
)


@get("/v1/stats", opt={"operation": STATS})
async def stats(request: AnyRequest) -> Stats:
    """Return the tenant's numbers."""
    counted = await ask(request, Count(admit(request)), Counted)
    nodes = [_describe(node, reply) for node, reply in counted.replies]
    columns = {name: [getattr(node, name) for node in nodes] for name in Numbers.__struct_fields__}
    total = Numbers(**{name: round(sum(column), 1) for name, column in columns.items()})
    return Stats(total, nodes, counted.missing)


@get("/v1/nodes", opt={"operation": NODES})
async def nodes(request: AnyRequest) -> Nodes:
    """Return the nodes."""
    counted = await ask(request, Count(admit(request)), Counted)
    return Nodes(
        [NodeState(node, reply.version, reply.workers, reply.ready) for node, reply in counted.replies],
        counted.missing,
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
