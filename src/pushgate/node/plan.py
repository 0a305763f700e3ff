"""What the supervisor gives a worker when it forks."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass

from litestar import Litestar

from pushgate.config import Config
from pushgate.journal import Journal
from pushgate.messages.questions import Node
from pushgate.messages.shard import SHARDS, owner_of
from pushgate.metrics.rows import Row, Rows
from pushgate.node.handover.taking import Predecessor
from pushgate.node.servers import Servers
from pushgate.sessions.terms import Terms
from pushgate.sockets.addresses import AddressCounts
from pushgate.sockets.certificates import Tls
from pushgate.tenants.registry import Tenants


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """Settings, and the sockets that a worker shares or owns."""

    index: int
    workers: int
    node: Node
    home: int
    config: Config
    servers: Servers
    lineage: str
    rows: Rows
    journal: Journal
    app: Litestar
    tenants: Tenants
    terms: Terms
    addresses: AddressCounts
    clients: socket.socket
    management: socket.socket
    tls: Tls
    receiving: socket.socket
    sending: Sequence[socket.socket]
    drained_until: float | None
    predecessor: Predecessor | None = None

    @property
    def row(self) -> Row:
        """The worker's own row."""
        return self.rows.row(self.index)

    @property
    def shards(self) -> list[int]:
        """The shards that the worker owns."""
        return [shard for shard in range(SHARDS) if owner_of(shard, self.workers) == self.index]
