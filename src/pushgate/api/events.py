"""What happened in the lives of the nodes, asked of all nodes."""

from litestar import get

from pushgate.api.admission import AnyRequest, admit_reader
from pushgate.api.asking import ask
from pushgate.api.openapi import Operation
from pushgate.journal import EVENTS
from pushgate.messages.nodes import NodeEvent, NodeEvents
from pushgate.messages.questions import Recall, Recalled

_WORKER = {"worker": 1, "pid": 4711}
EVENTS_OF_NODES = Operation(
    "What happened to the nodes",
    f"The last {EVENTS} lifecycle events of each node that answered, as lines of its log: starts, workers that died, "
    "upgrades, drains, reloads, bus and inbox lost and back, nodes that came and went. A node has them in memory, "
    "through upgrades and until it ends. They are of all tenants together, and name no users.",
    200,
    NodeEvents,
    answer_example={
        "events": [
            {
                "node": "gateway-1",
                "time": 1767225600.125,
                "level": "error",
                "event": "a worker ended",
                "facts": {**_WORKER, "status": -9, "again_in": 0.0},
            },
            {
                "node": "gateway-1",
                "time": 1767225600.871,
                "level": "info",
                "event": "a worker is ready",
                "facts": _WORKER,
            },
        ],
        "missing": [],
    },
    problems=("unauthorized", "internal_error", "bus_unavailable"),
)


@get("/v1/events", opt={"operation": EVENTS_OF_NODES})
async def events(request: AnyRequest) -> NodeEvents:
    """Return the events of all nodes."""
    admit_reader(request)
    recalled = await ask(request, Recall(), Recalled)
    told = [
        NodeEvent(node, event.time, event.level, event.event, event.facts)
        for node, reply in recalled.replies
        for event in reply.events
    ]
    return NodeEvents(sorted(told, key=lambda event: event.time), recalled.missing)


EVENT_ROUTES = (events,)
