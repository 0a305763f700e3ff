"""What the API tells of users and messages, as structs that the documentation is made of."""

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from pushgate.messages.nodes import Missing


class SessionState(Struct, frozen=True):
    """A connection that is open: `since` in seconds since 1970, `agent` what the client calls itself (may be "").

    `sent` and `acknowledged` are the offsets up to which a device has been sent, and has acknowledged, everything; null
    for a connection without an inbox.
    """

    session: str
    device: str | None
    node: str
    since: int
    address: str
    agent: str
    sent: int | None
    acknowledged: int | None


class UserState(Struct, frozen=True):
    """A user's sessions on all nodes, the oldest first.

    `online` is null when no session was found and a node is missing: nobody knows.
    """

    user: str
    online: bool | None
    sessions: list[SessionState]
    missing: Missing


class Kicked(Struct, frozen=True):
    """How many sessions were closed."""

    closed: int
    missing: Missing


class Numbers(Struct, frozen=True):
    """Connections and users now; pushes accepted and messages delivered since the start, and in a second of late.

    A user who is on two nodes counts on both.
    """

    connections: int
    users: int
    pushes: int
    delivered: int
    pushes_per_second: float
    delivered_per_second: float


class NodeNumbers(Numbers, frozen=True, kw_only=True):
    """The numbers of one node."""

    node: str
    version: str
    workers: int


class Stats(Struct, frozen=True):
    """The tenant's numbers: of all nodes that answered, and of each."""

    total: Numbers
    nodes: list[NodeNumbers]
    missing: Missing


class DeviceReceipt(Struct, frozen=True):
    """What one device has: everything up to `cursor` (null: not known, or of logs that are no more).

    `connected` is null when no connection of it was found and a node is missing: nobody knows.
    """

    device: str
    acknowledged: bool
    cursor: int | None
    connected: bool | None


class Reached(Struct, frozen=True):
    """How many devices are connected now, and how many of them have acknowledged the message."""

    devices: int
    acknowledged: int


class Receipt(Struct):
    """What became of a reliable message: `accepted` in ms, `expires` in seconds since 1970, null when it is gone.

    `devices` is of a message to users, `connected` of one to everyone.
    """

    id: str
    offset: int
    state: Literal["kept", "gone"]
    accepted: int | None
    expires: int | None
    devices: list[DeviceReceipt] | UnsetType = UNSET
    connected: Reached | UnsetType = UNSET
    missing: Missing = []


class TenantLimits(Struct, frozen=True):
    """What a tenant may take of a node, 0 for no limit: connections, pushes, bytes of a push's data, pushes in a batch.

    `max_ttl` are the seconds that a reliable message may be kept.
    """

    connections: int
    pushes_per_second: int
    max_message: int
    max_batch: int
    max_ttl: int


class TenantState(Struct, frozen=True):
    """The tenant of an API key, and whether the key may change anything or only ask."""

    tenant: str
    access: Literal["full", "read"]
    limits: TenantLimits
