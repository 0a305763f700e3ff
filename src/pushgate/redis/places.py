"""Where a Redis is: its URL, and finding the primary behind Sentinels or in a cluster.

    redis://[user:password@]host[:port][,host…][/database]      one server, or several that are tried in turn
    redis+sentinel://[user:password@]host[:26379][,…]/service   the primary that the Sentinels name
    redis+cluster://[user:password@]host[:port][,…]             the primary of the slot that a key is in

With `rediss` for `redis` the connections are TLS, and behind the URL may stand paths of PEM files, as in
`?ca=…&certificate=…&key=…`: whom to trust instead of the system's authorities, and what to show. The user and password
are for the servers; `sentinel_user` and `sentinel_password`, behind the `?` too, are for Sentinels that want any.
"""

import ssl
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from pushgate.brokers.options import TLS_FILES, make_context, read_options
from pushgate.errors import ConfigError
from pushgate.redis.link import Command, RedisLink

FORMS = ("redis", "rediss", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster")
PORT, SENTINEL_PORT = 6379, 26379
SENTINEL_OPTIONS = ("sentinel_user", "sentinel_password")

Place = tuple[str, int]


class Address(NamedTuple):
    """A URL, taken apart. `kind` is plain, sentinel or cluster; `options` are what stood behind the `?`."""

    setting: str
    kind: str
    places: list[Place]
    user: str
    password: str
    database: int
    service: str
    secure: bool
    options: dict[str, str]

    def tls(self) -> ssl.SSLContext | None:
        """Return how to speak TLS, if at all; files are read anew each time. Raises ConfigError."""
        try:
            return make_context(self.options) if self.secure else None
        except (OSError, ValueError) as error:
            raise ConfigError(f"{self.setting}: a file of it cannot be used: {error}") from None


def parse_url(url: str, setting: str) -> Address:
    """Take a URL apart. Raises ConfigError, which names the setting and shows no credentials."""
    scheme, _, rest = url.partition("://")
    if scheme not in FORMS or not rest:
        raise ConfigError(
            f"{setting}: expected a URL that begins with one of {', '.join(f'{form}://' for form in FORMS)}"
        )
    security, _, kind = scheme.partition("+")
    secure, kind = security == "rediss", kind or "plain"
    rest, _, query = rest.partition("?")
    host_part, _, path = rest.partition("/")
    credentials, at, servers = host_part.rpartition("@")
    user, colon, password = credentials.partition(":")
    if at and not colon:
        user, password = "", user  # a password alone
    places = [_parse_place(part, number, kind, setting) for number, part in enumerate(servers.split(","), 1)]
    known = TLS_FILES + (SENTINEL_OPTIONS if kind == "sentinel" else ())
    options = read_options(query, known, "" if secure else scheme.replace("redis", "rediss"), setting)
    database, service = 0, ""
    if kind == "sentinel":
        service = unquote(path)
        if not service:
            raise ConfigError(f"{setting}: expected the service's name behind the Sentinels, as in …:26379/mymaster")
    elif path:
        if kind == "cluster" or not path.isdecimal():
            expected = "no path" if kind == "cluster" else "a database number"
            raise ConfigError(f"{setting}: expected {expected} behind the servers")
        database = int(path)
    address = Address(setting, kind, places, unquote(user), unquote(password), database, service, secure, options)
    address.tls()
    return address


def _parse_place(part: str, number: int, kind: str, setting: str) -> Place:
    try:
        split = urlsplit(f"//{part}")
        host, port = split.hostname, split.port
    except ValueError:
        host = port = None
    if not host or split.path or split.username:
        raise ConfigError(f"{setting}: expected host[:port][,…], but server {number} is not so")
    return host, port or (SENTINEL_PORT if kind == "sentinel" else PORT)


class Finder:
    """Opens links to the primary. `key` decides where, in a cluster: everything under it is in one slot."""

    def __init__(self, address: Address, key: str, part: str) -> None:
        self._address = address
        self._key = key
        self._part = part
        self._turn = 0

    async def open(self, link: RedisLink) -> None:
        """Connect a link to the primary. Raises OSError, TimeoutError or ConnectionError when there is none now."""
        place = await self._find()
        answers = await link.open(*place, self._address.tls(), *self._greet(), ("ROLE",))
        if answers[-1][0] != b"master":
            raise ConnectionError(f"{link.server} is a replica, and takes no messages for others")

    async def _find(self) -> Place:
        places = self._address.places
        self._turn += 1
        seed = places[self._turn % len(places)]
        if self._address.kind == "plain":
            return seed
        scout = RedisLink(self._part)
        try:
            if self._address.kind == "sentinel":
                return await self._ask_sentinel(scout, seed)
            return await self._ask_cluster(scout, seed)
        finally:
            await scout.close()

    async def _ask_sentinel(self, scout: RedisLink, seed: Place) -> Place:
        address = self._address
        hello = _hello(*(address.options.get(name, "") for name in SENTINEL_OPTIONS))
        command: Command = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", address.service)
        *_, found = await scout.open(*seed, address.tls(), hello, command)
        if not found:
            raise ConnectionError(f"the Sentinel at {scout.server} knows no {address.service}")
        return found[0].decode(), int(found[1])

    async def _ask_cluster(self, scout: RedisLink, seed: Place) -> Place:
        *_, slot, ranges = await scout.open(
            *seed, self._address.tls(), *self._greet(), ("CLUSTER", "KEYSLOT", self._key), ("CLUSTER", "SLOTS")
        )
        for first, last, (host, port, *_), *_ in ranges:
            if first <= slot <= last:
                return host.decode() or seed[0], port
        raise ConnectionError(f"nobody in the cluster has slot {slot}")

    def _greet(self) -> list[Command]:
        address = self._address
        commands: list[Command] = [_hello(address.user, address.password)]
        if address.database:
            commands.append(("SELECT", address.database))
        return commands


def _hello(user: str, password: str) -> Command:
    return ("HELLO", 3, "AUTH", user or "default", password) if password else ("HELLO", 3)
