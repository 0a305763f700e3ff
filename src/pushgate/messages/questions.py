"""What nodes ask and tell each other on the bus, beside pushes: questions, their answers, and that a node is there.

All of it is MessagePack maps, and a push is an array: neither is ever taken for the other. Unknown fields are ignored,
so that nodes of neighbouring versions read each other; a question that a node does not know it leaves unanswered.
"""

from msgspec import DecodeError, Struct, msgpack

from pushgate.journal import Event


class Node(Struct, array_like=True, frozen=True):
    """A node: its name for people, and a number that is unlike any other's, made anew at each start."""

    name: str
    instance: int


class Find(Struct, tag="find", frozen=True):
    """Which sessions has a user? Asked of the owners of the user's shard."""

    tenant: str
    uid: str


class Kick(Struct, tag="kick", frozen=True):
    """Close the sessions of a user, or the one of this id. Asked of the owners of the user's shard."""

    tenant: str
    uid: str
    session: str | None = None


class Count(Struct, tag="count", frozen=True):
    """What are the numbers of a node, and of this tenant on it? Asked of all nodes."""

    tenant: str


class Recall(Struct, tag="recall", frozen=True):
    """What has happened in the life of a node of late? Asked of all nodes."""


class Reach(Struct, tag="reach", frozen=True):
    """How many of a tenant's connected devices have acknowledged everything up to an offset? Asked of all workers."""

    tenant: str
    offset: int


class Acknowledge(Struct, tag="acknowledge", frozen=True):
    """Everything up to an offset is handled by the device on this session. Asked of the owners of the user's shard."""

    tenant: str
    uid: str
    session: str
    offset: int


class Found(Struct, array_like=True, frozen=True):
    """One session; `since` in seconds since 1970. `sent` and `acknowledged` are the offsets that a device has come to,
    None without an inbox. New fields go to the end with a default."""

    session: str
    device: str | None
    since: int
    address: str
    agent: str
    sent: int | None = None
    acknowledged: int | None = None


class Sessions(Struct, tag="sessions", frozen=True):
    """The answer to `Find`: the oldest first."""

    sessions: list[Found]


class Closed(Struct, tag="closed", frozen=True):
    """The answer to `Kick`: how many sessions were closed."""

    closed: int


class Overview(Struct, frozen=True):
    """A node as a whole, all tenants together. `up` in seconds since it was started or upgraded; `bus` and `inbox` are
    how many of its workers have them, `inbox` None on a node without one; `reasons` say why it is not ready.

    New fields need a default.
    """

    up: int
    connections: int
    users: int
    pushes_per_second: float
    delivered_per_second: float
    draining: bool
    upgrading: bool
    bus: int
    inbox: int | None
    reasons: list[str]


class Counted(Struct, tag="counted", frozen=True):
    """The answer to `Count`: what there is of the tenant now, what was counted since the node started, and in a second
    of late. `overview` is None where a node of an older version answers."""

    version: str
    workers: int
    ready: bool
    connections: int
    users: int
    pushes: int
    delivered: int
    pushes_per_second: float
    delivered_per_second: float
    overview: Overview | None = None


class Recalled(Struct, tag="recalled", frozen=True):
    """The answer to `Recall`: the oldest first."""

    events: list[Event]


class Reached(Struct, tag="reached", frozen=True):
    """The answer to `Reach`: of one of a node's `workers`, or of all of them together."""

    workers: int
    devices: int
    acknowledged: int


class Acknowledged(Struct, tag="acknowledged", frozen=True):
    """The answer to `Acknowledge`: whether the session is here, and why it was not taken (as MessageError has it)."""

    found: bool
    code: str = ""
    reason: str = ""


OfNodes = Count | Recall
"""Who speaks for a node answers them, and nobody else there."""
Question = Find | Kick | OfNodes | Reach | Acknowledge
Reply = Sessions | Closed | Counted | Recalled | Reached | Acknowledged


class Ask(Struct, tag="ask", frozen=True):
    """A question; its answers go to `shard`, which the worker that asks owns on its node. `id` is random, 64 bits."""

    id: int
    node: Node
    shard: int
    question: Question


class Answer(Struct, tag="answer", frozen=True):
    """What a node says to the question of this id, or the `worker` of it that was asked."""

    id: int
    node: Node
    reply: Reply
    worker: int = 0


class Here(Struct, tag="here", frozen=True):
    """A node is there, or with `leaving` is not any more.

    `home` is the number under which it is addressed, and found in the directory; 0 while that lacks users of the node,
    or the node has none: then only what goes to every node is sure to reach it.
    """

    node: Node
    leaving: bool = False
    home: int = 0


class Took(Struct, tag="took", frozen=True):
    """A node has a new session of a device: older ones of it have been replaced, wherever they are.

    `since` is when it was opened, in seconds since 1970, `serial` the session's number. Told to the owners of the
    user's shard.
    """

    node: Node
    tenant: str
    uid: str
    device: str
    since: int
    serial: int


Word = Ask | Answer | Here | Took

_encoder = msgpack.Encoder()
_decoder: msgpack.Decoder[Word] = msgpack.Decoder(Word)


def encode_word(word: Word) -> bytes:
    """Return what goes over the bus."""
    return _encoder.encode(word)


def decode_word(payload: bytes) -> Word:
    """Return what `encode_word` made; raises ValueError for anything else."""
    try:
        return _decoder.decode(payload)
    except DecodeError as error:
        raise ValueError(f"not a word between nodes: {error}") from None
