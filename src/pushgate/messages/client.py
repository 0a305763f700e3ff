"""The messages of the client protocol, version 1, as structs: what the server says and what a client says."""

from msgspec import UNSET, Raw, Struct, UnsetType, field


class Limits(Struct, frozen=True):
    """What a client may send: `message` bytes in one message."""

    message: int


class Welcome(Struct, tag="welcome", frozen=True, omit_defaults=True):
    """The first message on a connection. `cursor` and `epoch` come only with a device that has an inbox.

    `spread` is the seconds over which the node's clients are to come back should they lose it; nothing: it is not said.
    """

    session: str
    user: str
    tenant: str
    ping: float
    limits: Limits
    spread: float | UnsetType = UNSET
    missed: bool | UnsetType = UNSET
    device: str | UnsetType = UNSET
    cursor: int | UnsetType = UNSET
    epoch: str | UnsetType = UNSET


class Message(Struct, tag="message", frozen=True, omit_defaults=True):
    """A pushed message. `data` is any JSON value, or base64 where `encoding` says so."""

    id: str
    event: str
    data: Raw
    time: int
    encoding: str | UnsetType = UNSET
    offset: int | UnsetType = UNSET
    resent: bool | UnsetType = UNSET


class Pong(Struct, tag="pong", frozen=True, omit_defaults=True):
    """The answer to a client's `ping`, with the newest `spread`."""

    spread: float | UnsetType = UNSET


class Error(Struct, tag="error", frozen=True, omit_defaults=True):
    """A client's message was wrong; the connection lives."""

    code: str
    message: str
    field: str | UnsetType = UNSET


class Reconnect(Struct, tag="reconnect", frozen=True):
    """The node is being emptied: connect again after so many seconds."""

    after: float


class Connect(Struct, tag="connect", frozen=True):
    """What a client says first when its handshake brought no token."""

    token: str
    device: str | None = None
    cursor: int | None = None
    epoch: str | None = None
    from_: str | None = field(default=None, name="from")


class Ack(Struct, tag="ack", frozen=True):
    """Everything up to `offset` is handled."""

    offset: int


class Refresh(Struct, tag="refresh", frozen=True):
    """A new token for the same user, before the old one expires."""

    token: str


class Ping(Struct, tag="ping", frozen=True):
    """An application heartbeat, since browsers cannot send ping frames."""


FromServer = Welcome | Message | Pong | Error | Reconnect
FromClient = Connect | Ack | Refresh | Ping
