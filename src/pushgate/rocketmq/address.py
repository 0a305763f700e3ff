"""Where a RocketMQ is: its URL.

    rocketmq://[access:secret@]host[:9876][,host…][/topic][?tls=on&ca=…&certificate=…&key=…]

The hosts are name servers, which are tried in turn; they tell where the brokers are. `access` and `secret` are for ACL.
With `tls=on` all connections are TLS, brokers' too: `ca` (PEM) is whom to trust instead of the system's authorities,
`certificate` and `key` are the client's own.
"""

import re
import ssl
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from pushgate.errors import ConfigError
from pushgate.rocketmq.signing import Credentials

FORM = "rocketmq://[access:secret@]host[:port][,…][/topic][?tls=on&ca=…&certificate=…&key=…]"
PORT = 9876
FILES = ("ca", "certificate", "key")
TOPIC = re.compile(r"[%A-Za-z0-9_-]{1,127}")

Place = tuple[str, int]
"""A host and a port."""


class Address(NamedTuple):
    """A URL, taken apart. Without a `topic` in it, that is empty."""

    name_servers: list[Place]
    topic: str
    credentials: Credentials | None
    tls: ssl.SSLContext | None


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
    if topic and not TOPIC.fullmatch(topic):
        raise ConfigError(f"{setting}: expected a topic of 1 to 127 of A-Z a-z 0-9 % _ - behind the /")
    places = [parse_place(part, PORT) for part in servers.split(",")]
    wrong = next((number for number, place in enumerate(places, 1) if place is None), None)
    if wrong is not None:
        raise ConfigError(f"{setting}: expected {FORM}, but name server {wrong} is not so")
    credentials = Credentials(unquote(access), unquote(secret)) if at else None
    return Address([place for place in places if place], topic, credentials, _read_tls(query, setting))


def parse_place(text: str, port: int = 0) -> Place | None:
    """Return a host and its port, or None for what is none."""
    try:
        split = urlsplit(f"//{text}")
        host, port = split.hostname or "", split.port or port
    except ValueError:
        return None
    return (host, port) if host and port and not split.path and "@" not in text else None


def _read_tls(query: str, setting: str) -> ssl.SSLContext | None:
    try:
        options = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
    except ValueError:
        options = {"": ""}
    tls = options.pop("tls", "off")
    if tls not in ("on", "off") or not options.keys() <= set(FILES) or not all(options.values()):
        raise ConfigError(f"{setting}: expected tls=on or off, and paths of {', '.join(FILES)} behind the ?")
    if tls == "off":
        if options:
            raise ConfigError(f"{setting}: expected tls=on with {' and '.join(sorted(options))}")
        return None
    if ("certificate" in options) != ("key" in options):
        raise ConfigError(f"{setting}: expected certificate and key together")
    try:
        context = ssl.create_default_context(cafile=options.get("ca"))
        if "certificate" in options:
            context.load_cert_chain(options["certificate"], options["key"], password="")
    except (OSError, ValueError) as error:
        raise ConfigError(f"{setting}: a file of it cannot be used: {error}") from None
    return context
