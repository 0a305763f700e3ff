"""The sessions: one `ChannelSession` a live connection, one `UserSession` for all of a user's on this node.

What is a number lives in arrays by descriptor (`Columns`), which costs a tenth of what attributes would.
"""

from array import array
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import Any, NamedTuple

from pushgate.messages.formats import FORMATS
from pushgate.wire.address import V4_IN_V6
from pushgate.wire.reader import FrameReader

ADDRESS_BYTES = 16


class ChannelSession:
    """One live connection. `reader` is there only while a frame or message is half read.

    `format` is the number of its messages' format. It is a slot and no column: every write looks at it, and the
    allocator's rounding has room for it (a session takes 80 bytes with and without it).
    """

    __slots__ = ("device", "fd", "format", "reader", "tags", "user")

    def __init__(
        self, fd: int, user: "UserSession", device: str | None, tags: tuple[str, ...], format_number: int = 0
    ) -> None:
        self.fd = fd
        self.user = user
        self.device = device
        self.tags = tags
        self.format = format_number
        self.reader: FrameReader | None = None


class UserSession:
    """All connections of one user on this node, the oldest first; a new tuple for every change."""

    __slots__ = ("channels", "tenant", "uid")

    def __init__(self, tenant: str, uid: str) -> None:
        self.tenant = tenant
        self.uid = uid
        self.channels: tuple[ChannelSession, ...] = ()


class TenantSession:
    """All users of one tenant with a session on this worker, and where its row counts them.

    The `kind` of its sessions (see Columns) is `first_kind` and the number of the format. `number` is the tenant's on
    this worker, from 0.
    """

    __slots__ = ("connections_slot", "first_kind", "name", "users", "users_slot")

    def __init__(self, name: str, number: int, connections_slot: int, users_slot: int) -> None:
        self.name = name
        self.first_kind = 1 + number * len(FORMATS)
        self.connections_slot = connections_slot
        self.users_slot = users_slot
        self.users: dict[str, UserSession] = {}


class Description(NamedTuple):
    """What can be told of a session; `since` in seconds since 1970.

    `sent` and `acknowledged` are the offsets that a device with an inbox has come to, None for others.
    """

    session: str
    device: str | None
    since: int
    address: str
    agent: str
    sent: int | None = None
    acknowledged: int | None = None


class Columns:
    """The numbers of the sessions, by descriptor.

    `heard`: tick of the last byte read. `expires`: end of the token, seconds since 1970, 0 for never. `since`: when
    it connected, seconds since 1970. `serial`: the session's number. `agent`: index into the agents. `address`: 16
    bytes each. `messages` and `bytes`: how full the buckets of its `Pace` were then. `kind`: whose it is, and in which
    format, in one number (TenantSession); 0 where there is no session.
    """

    __slots__ = ("address", "agent", "bytes", "expires", "heard", "kind", "messages", "serial", "since", "size")

    def __init__(self) -> None:
        self.size = 0
        self.heard = array("I")
        self.expires = array("Q")
        self.since = array("I")
        self.serial = array("Q")
        self.agent = array("H")
        self.messages = array("I")
        self.bytes = array("I")
        self.kind = array("I")
        self.address = bytearray()
        self.grow(1024)

    def grow(self, size: int) -> None:
        """Make room for descriptors below `size`."""
        more = size - self.size
        columns = self.heard, self.expires, self.since, self.serial, self.agent, self.messages, self.bytes, self.kind
        for column in columns:
            column.frombytes(bytes(more * column.itemsize))
        self.address.extend(bytes(more * ADDRESS_BYTES))
        self.size = size

    def record(self, fd: int, serial: int, heard: int, expires: int, since: int, agent: int) -> None:
        """Write down the numbers of a new session, whose buckets are empty."""
        self.serial[fd] = serial
        self.heard[fd] = heard
        self.messages[fd] = self.bytes[fd] = 0
        self.expires[fd] = expires
        self.since[fd] = since
        self.agent[fd] = agent

    def address_of(self, fd: int) -> bytes:
        """Return the address of the session on a descriptor."""
        return bytes(self.address[fd * ADDRESS_BYTES : (fd + 1) * ADDRESS_BYTES])


class Agents:
    """User agents, cut and each kept once, in a bounded table: they repeat, and strangers choose them.

    Index 0 stands for none, and for every agent that came when the table was full.
    """

    BOUND = 4096
    LENGTH = 128

    def __init__(self) -> None:
        self._names = [""]
        self._numbers = {"": 0}

    def number_of(self, agent: str) -> int:
        """Return the index of an agent."""
        agent = agent[: self.LENGTH]
        number = self._numbers.get(agent)
        if number is None:
            if len(self._names) >= self.BOUND:
                return 0
            number = self._numbers[agent] = len(self._names)
            self._names.append(agent)
        return number

    def name_of(self, number: int) -> str:
        """Return the agent of an index."""
        return self._names[number]


def pack_address(address: Any) -> bytes:
    """Return 16 bytes for what `accept` gave: IPv6, or IPv4 mapped into it."""
    host: str = address[0]
    if ":" in host:
        return inet_pton(AF_INET6, host.partition("%")[0])
    return V4_IN_V6 + inet_pton(AF_INET, host)


def show_address(packed: bytes) -> str:
    """Return an address as text."""
    if packed.startswith(V4_IN_V6):
        return inet_ntop(AF_INET, packed[12:])
    return inet_ntop(AF_INET6, packed)


def show_session(serial: int) -> str:
    """Return the id of a session, as clients and callers see it: 16 hexadecimal digits."""
    return f"{serial:016x}"
