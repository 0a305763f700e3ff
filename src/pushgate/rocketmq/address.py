"""Where a RocketMQ is: its URL.

    rocketmq://[access:secret@]host[:9876][,host…][/topic][?pushes=…&tls=on&ca=…&certificate=…&key=…]

The hosts are name servers, which are tried in turn; they tell where the brokers are. `access` and `secret` are for ACL.
With `tls=on` all connections are TLS, brokers' too: `ca` (PEM) is whom to trust instead of the system's authorities,
`certificate` and `key` are the client's own. `pushes` is a topic that business systems push by producing to.
"""

import re
import ssl
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from pushgate.errors import ConfigError
from pushgate.rocketmq.signing import Credentials

FORM = "rocketmq://[access:secret@]host[:port][,…][/topic][?pushes=…&tls=on&ca=…&certificate=…&key=…]"
PORT = 9876
FILES = ("ca", "certificate", "key")
TOPIC = re.compile(r"[%A-Za-z0-9_-]{1,127}")

Place = tuple[str, int]
"""A host and a port."""


class Address(NamedTuple):
    """A URL, taken apart. `topic` and `pushes` are empty where it does not name them."""

    name_servers: list[Place]
    topic: str
    pushes: str
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
    options = _read_options(query, setting)
    pushes = options.pop("pushes", "")
    if not all(TOPIC.fullmatch(name) for name in (topic, pushes) if name) or (pushes and pushes == topic):
        raise ConfigError(
            f"{setting}: expected a topic of 1 to 127 of A-Z a-z 0-9 % _ - behind the /, and another one as pushes"
        )
    places = [parse_place(part, PORT) for part in servers.split(",")]
    wrong = next((number for number, place in enumerate(places, 1) if place is None), None)
    if wrong is not None:
        raise ConfigError(f"{setting}: expected {FORM}, but name server {wrong} is not so")
    credentials = Credentials(unquote(access), unquote(secret)) if at else None
    return Address([place for place in places if place], topic, pushes, credentials, _read_tls(options, setting))


def parse_place(text: str, port: int = 0) -> Place | None:
    """Return a host and its port, or None for what is none."""
    try:
        split = urlsplit(f"//{text}")
        host, port = split.hostname or "", split.port or port
    except ValueError:
        return None
    return (host, port) if host and port and not split.path and "@" not in text else None


def _read_options(query: str, setting: str) -> dict[str, str]:
    try:
        options = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
    except ValueError:
        options = {"": ""}
    if not options.keys() <= {*FILES, "tls", "pushes"} or not all(options.values()):
        raise ConfigError(f"{setting}: expected pushes, tls=on or off, and paths of {', '.join(FILES)} behind the ?")
    return options


def _read_tls(options: dict[str, str], setting: str) -> ssl.SSLContext | None:
    tls = options.pop("tls", "off")
    if tls not in ("on", "off"):
        raise ConfigError(f"{setting}: expected tls=on or off")
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
