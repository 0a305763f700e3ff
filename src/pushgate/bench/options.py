"""What a bench is told: where the gateway is, who may talk to it, and how hard to try. Plain values only."""

import resource
import socket
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from pushgate.errors import ConfigError, PushgateError

SPARE_FILES = 64
"""Descriptors of a generator process that are no connections: standard streams, pipes, epolls."""


class BenchError(PushgateError):
    """A bench cannot go on: the gateway does not answer, or a generator process ended."""


@dataclass(frozen=True, slots=True)
class Address:
    """One end point: its IPv4 address and port to connect to, the `Host` header, and the path."""

    ip: str
    port: int
    host: str
    path: str

    @classmethod
    def parse(cls, url: str, scheme: str) -> "Address":
        """Return the address of a URL with this scheme; raises ConfigError for what is no such URL."""
        try:
            parts = urlsplit(url)
            port = parts.port or 80
        except ValueError as error:
            raise ConfigError(f"{url}: {error}") from None
        if parts.scheme != scheme or not parts.hostname or parts.query:
            raise ConfigError(f"{url}: expected {scheme}://host:port/path without TLS and query")
        try:
            ip = socket.gethostbyname(parts.hostname)
        except OSError as error:
            raise ConfigError(f"{parts.hostname}: {error.strerror}") from None
        return cls(ip, port, parts.netloc, parts.path)

    def of(self, user: str) -> "Address":
        """Return the address of a user, whose name stands in place of `{user}` in the path."""
        return replace(self, path=self.path.replace("{user}", user))


@dataclass(frozen=True, slots=True)
class Target:
    """The gateway under test and the keys to it. `token_secret` is the tenant's HS256 secret."""

    clients: Address
    api: Address
    api_key: str
    token_secret: bytes
    tenant: str = "default"


@dataclass(frozen=True, slots=True)
class Common:
    """What every bench knows.

    `per_user` connections stand for one user. `window` is how many handshakes are in flight in all. `processes`
    is the least number of generator processes: there are more when files would not suffice. Connections to
    loopback come from so many `sources`, 127.0.0.2 and on, in turn. `pin` is the only CPU that the generator may
    use. `bare` takes any WebSocket server: a connection counts from its 101 answer, without a `welcome`, `{user}` in
    both paths is the user, and a push is a POST of the message. `timeout` bounds, in seconds, a handshake, a call and
    the wait for a last message. With `devices` each connection is a device with an inbox, of a name of 36 characters,
    pushes are reliable, and a device acknowledges what it got every `ack_every` seconds.
    """

    target: Target
    per_user: int = 1
    window: int = 256
    processes: int = 1
    sources: int = 1
    pin: int | None = None
    server_pids: tuple[int, ...] = ()
    bare: bool = False
    timeout: float = 30.0
    devices: bool = False
    ack_every: float = 0.1


@dataclass(frozen=True, slots=True)
class Calls:
    """The pushes of `bench push`, or one process's part of them.

    `callers` keep-alive connections push to the users in turn for `seconds`, each frame `size` bytes. With `rate` 0
    a caller calls again as soon as it is answered; else so many calls a second are due at fixed instants, and a
    call's latency counts from the instant when it was due: a slow answer does not hide those behind it.
    """

    callers: int
    seconds: float
    size: int
    rate: float = 0.0


@dataclass(frozen=True, slots=True)
class Unrest:
    """The connections of `bench soak` that do not just stay, or one process's part of them.

    `churning` ones are of the users that are pushed to, and so many of them go and come back: `churn` a second in all.
    `stalling` ones have a user each, and stop reading time and again.
    """

    churning: int = 0
    churn: float = 0.0
    stalling: int = 0


CALM = Unrest()
"""None of them."""


@dataclass(frozen=True, slots=True)
class Share:
    """One process's part: `count` connections, then `idle` ones of users whom nobody pushes to, then those of
    `unrest`; and its `calls`. `missed` is how many messages each device of `bench resume` misses.

    `first` is the number of its first connection among all, `first_user` that of its first user: its j-th
    connection stands for user `u<first_user + j // per_user>`. No user is shared between processes that call.
    """

    first: int
    first_user: int
    count: int
    idle: int = 0
    calls: Calls | None = None
    missed: int = 0
    unrest: Unrest = CALM

    @property
    def connections(self) -> int:
        """How many there are in all."""
        return self.stalling.stop

    @property
    def churning(self) -> range:
        """The numbers, within this share, of the connections that come and go."""
        start = self.count + self.idle
        return range(start, start + self.unrest.churning)

    @property
    def stalling(self) -> range:
        """The numbers of those that stall."""
        start = self.churning.stop
        return range(start, start + self.unrest.stalling)

    @property
    def stalling_users(self) -> list[str]:
        """Their users."""
        return [f"stalling{self.first + number}" for number in self.stalling]


@dataclass(frozen=True, slots=True)
class Plot:
    """A line for people to look at: what `x` and `y` are, with their units, and the points from left to right."""

    title: str
    x: str
    y: str
    points: list[tuple[float, float]]


@dataclass(slots=True)
class Result:
    """What a bench found: `figures` ready for JSON, `warnings` in words, whether all was well, and what to draw."""

    figures: dict[str, object]
    ok: bool
    warnings: list[str] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)


def process_room() -> int:
    """How many connections one process may hold, by its hard limit of open files."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1] - SPARE_FILES
