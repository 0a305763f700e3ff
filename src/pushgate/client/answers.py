"""What the HTTP API answers to those who push, as structs."""

from msgspec import UNSET, Struct, UnsetType


class Pushed(Struct, frozen=True, omit_defaults=True):
    """The answer to a push. `offset` comes with reliable ones; `duplicate`: its `id` had been pushed before."""

    id: str
    offset: int | UnsetType = UNSET
    duplicate: bool | UnsetType = UNSET


class DeviceReceipt(Struct, frozen=True):
    """What one of a user's devices has: everything up to `cursor`; `connected` is None when a node that may have it is
    missing."""

    device: str
    acknowledged: bool
    cursor: int | None
    connected: bool | None


class Reached(Struct, frozen=True):
    """How many devices are connected, and how many of them have acknowledged a message."""

    devices: int
    acknowledged: int


class Receipt(Struct, frozen=True):
    """What became of a reliable message: `devices` is of one to a user, `connected` of one to everyone.

    `state` is `kept` or `gone`. `accepted` is in ms, `expires` in seconds since 1970. `missing` are the nodes that did
    not say what they know.
    """

    id: str
    offset: int
    state: str
    accepted: int | None = None
    expires: int | None = None
    devices: list[DeviceReceipt] | UnsetType = UNSET
    connected: Reached | UnsetType = UNSET
    missing: list[str] = []

    @property
    def complete(self) -> bool:
        """Whether there is a device, each that is known has acknowledged the message, and every node has answered."""
        if self.missing:
            return False
        if self.connected is not UNSET:
            return 0 < self.connected.devices == self.connected.acknowledged
        return bool(self.devices) and all(each.acknowledged for each in self.devices or ())


class Session(Struct, frozen=True):
    """A connection that is open: `since` in seconds since 1970, `agent` what the client calls itself (may be "").

    `sent` and `acknowledged` are the offsets that a device has come to; None for a connection without an inbox.
    """

    session: str
    device: str | None
    node: str
    since: int
    address: str
    agent: str
    sent: int | None = None
    acknowledged: int | None = None


class User(Struct, frozen=True):
    """A user's sessions on all nodes, the oldest first; `missing` are the nodes that did not answer.

    `online` is None when no session was found and a node is missing: nobody knows.
    """

    user: str
    online: bool | None
    sessions: list[Session]
    missing: list[str] = []


class Kicked(Struct, frozen=True):
    """How many sessions were closed; `missing` are the nodes that did not answer."""

    closed: int
    missing: list[str] = []
