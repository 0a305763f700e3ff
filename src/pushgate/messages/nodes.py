"""All nodes at a glance, and what happened to them: what the API writes is what its clients read."""

from typing import Annotated

from msgspec import Meta, Struct

from pushgate.journal import Fact

Missing = Annotated[
    list[str], Meta(description="Nodes that did not answer within a second: what they know is not in here.")
]


class NodeState(Struct, frozen=True):
    """A node as a whole, all tenants together; `ready` when it should get traffic: all its workers hear the bus, and it
    does not stop. `not_ready` has the reasons against it, as far as one of its workers knows them.

    `up` is in seconds since it was started or upgraded. `bus_workers` are the workers that hear the bus,
    `inbox_workers` those whose inbox takes reliable messages (null: the node has none). Rates are over the last ten
    seconds. What a node of an older version does not tell is null.
    """

    node: str
    version: str
    workers: int
    ready: bool
    not_ready: list[str] | None = None
    draining: bool | None = None
    upgrading: bool | None = None
    up: int | None = None
    connections: int | None = None
    users: int | None = None
    pushes_per_second: float | None = None
    delivered_per_second: float | None = None
    bus_workers: int | None = None
    inbox_workers: int | None = None


class Nodes(Struct, frozen=True):
    """The nodes that answered."""

    nodes: list[NodeState]
    missing: Missing


class NodeEvent(Struct, frozen=True):
    """Something that happened to a node, as a line of its log tells it: `time` in seconds since 1970, by its own clock;
    `level` is `info`, `warning` or `error`; `facts` has what else the line says, by name: the worker, the reason, …
    """

    node: str
    time: float
    level: str
    event: str
    facts: dict[str, Fact]


class NodeEvents(Struct, frozen=True):
    """What happened of late, the oldest first."""

    events: list[NodeEvent]
    missing: Missing
