"""Where a RocketMQ is: its URL.

    rocketmq://[access:secret@]host[:9876][,host…][/topic][?pushes=…&tls=on&ca=…&certificate=…&key=…]

The hosts are name servers, which are tried in turn; they tell where the brokers are. `access` and `secret` are for ACL.
With `tls=on` all connections are TLS, brokers' too: `ca` (PEM) is whom to trust instead of the system's authorities,
`certificate` and `key` are the client's own. `pushes` is a topic that business systems push by producing to.
"""

import re
import ssl
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from pushgate.brokers.options import TLS_FILES, make_context, read_options
from pushgate.errors import ConfigError
from pushgate.rocketmq.signing import Credentials

FORM = "rocketmq://[access:secret@]host[:port][,…][/topic][?pushes=…&tls=on&ca=…&certificate=…&key=…]"
PORT = 9876
TOPIC = re.compile(r"[%A-Za-z0-9_-]{1,127}")

Place = tuple[str, int]
"""A host and a port."""


class Address(NamedTuple):
    """A URL, taken apart. `topic` and `pushes` are empty where it does not name them."""

    setting: str
    name_servers: list[Place]
    topic: str
    pushes: str
    credentials: Credentials | None
    options: dict[str, str]

    def tls(self) -> ssl.SSLContext | None:
        """Return how to speak TLS, or None for plain TCP; files are read anew each time. Raises ConfigError."""
        try:
            return make_context(self.options) if self.options.get("tls") == "on" else None
        except (OSError, ValueError) as error:
            raise ConfigError(f"{self.setting}: a file of it cannot be used: {error}") from None


def parse_url(url: str, setting: str) -> Address:
    """Take a URL apart. Raises ConfigError, which names the setting and shows no credentials."""
    scheme, _, rest = url.partition("://")
    if scheme != "rocketmq" or not rest:
        raise ConfigError(f"{setting}: expected {FORM}")
    rest, _, query = rest.partition("?")
    servers, _, topic = rest.partition("/")
    who, at, servers = servers.rpartition("@")
    access, colon, secret = who.partition(":")
    if at and not (access and colon and secret):
        raise ConfigError(f"{setting}: expected access:secret before the @ (write : @ / , in them as %3A %40 %2F %2C)")
    options = read_options(query, (*TLS_FILES, "tls", "pushes"), "", setting)
    pushes, tls = options.get("pushes", ""), options.get("tls", "off")
    if not all(TOPIC.fullmatch(name) for name in (topic, pushes) if name) or (pushes and pushes == topic):
        raise ConfigError(
            f"{setting}: expected a topic of 1 to 127 of A-Z a-z 0-9 % _ - behind the /, and another one as pushes"
        )
    places = [parse_place(part, PORT) for part in servers.split(",")]
    wrong = next((number for number, place in enumerate(places, 1) if place is None), None)
    if wrong is not None:
        raise ConfigError(f"{setting}: expected {FORM}, but name server {wrong} is not so")
    credentials = Credentials(unquote(access), unquote(secret)) if at else None
    if tls not in ("on", "off") or (tls == "off" and options.keys() & set(TLS_FILES)):
        raise ConfigError(f"{setting}: expected tls=on or off, and on with {', '.join(TLS_FILES)}")
    address = Address(setting, [place for place in places if place], topic, pushes, credentials, options)
    address.tls()
    return address


def parse_place(text: str, port: int = 0) -> Place | None:
    """Return a host and its port, or None for what is none."""
    try:
        split = urlsplit(f"//{text}")
        host, port = split.hostname or "", split.port or port
    except ValueError:
        return None
    return (host, port) if host and port and not split.path and "@" not in text else None
