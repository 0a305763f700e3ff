"""Where a ZooKeeper is, as a URL: `zookeeper://[user:password@]host[:2181][,host…][/chroot]`."""

from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from pushgate.errors import ConfigError

PORT = 2181

Place = tuple[str, int]


class Address(NamedTuple):
    """A URL, taken apart. `chroot` is the path of the node that everything is under, without the last slash."""

    places: list[Place]
    user: str
    password: str
    chroot: str


def parse_url(url: str, setting: str) -> Address:
    """Take a URL apart. Raises ConfigError, which names the setting and shows no credentials."""
    rest = url.removeprefix("zookeeper://")
    authority, slash, chroot = rest.partition("/")
    credentials, at, servers = authority.rpartition("@")
    user, colon, password = credentials.partition(":")
    form = "zookeeper://[user:password@]host[:2181][,host…][/chroot]"
    if rest == url or not servers:
        raise ConfigError(f"{setting}: expected {form}")
    if at and not (user and colon and password):
        raise ConfigError(f"{setting}: expected {form}, with both a user and a password or neither")
    chroot = chroot.rstrip("/")
    if slash and (set(chroot) & set("?#") or any(part in ("", ".", "..") for part in chroot.split("/") if chroot)):
        raise ConfigError(f"{setting}: expected {form}, but the chroot is no path of a node")
    places = [_parse_place(part, number, setting) for number, part in enumerate(servers.split(","), 1)]
    return Address(places, unquote(user), unquote(password), f"/{chroot}" if chroot else "")


def _parse_place(part: str, number: int, setting: str) -> Place:
    try:
        split = urlsplit(f"//{part}")
        host, port = split.hostname, split.port
    except ValueError:
        host = port = None
    if not host or split.path or split.username or split.query or split.fragment:
        raise ConfigError(f"{setting}: expected host[:port][,…], but server {number} is not so")
    return host, port or PORT
