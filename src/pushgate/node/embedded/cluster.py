"""This node's part in a cluster of embedded nats-servers: its settings checked, and written as servers want them."""

import hashlib
import ipaddress
import json
import os
import ssl
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from pushgate.config import ClusterConfig, Config
from pushgate.errors import ConfigError
from pushgate.node.servers import EMBEDDED, servers_of

PORT = 6222
"""The port of an address that names none."""
USER = "pushgate"
PING = {"ping_interval": "1s", "ping_max": 3}
"""A silent server is given up after 4 s: a route that hangs holds up live messages."""


class Member(NamedTuple):
    """A node's `name` in a cluster of so many nodes (`size`), and what its server is told of it: a secret too."""

    name: str
    size: int
    settings: dict[str, Any]

    def __repr__(self) -> str:
        return f"Member({self.name!r}, {self.size})"

    @property
    def digest(self) -> str:
        """What tells these settings from others, without telling them."""
        return hashlib.sha256(json.dumps([self.name, self.settings]).encode()).hexdigest()[:32]


def member_of(config: Config) -> Member | None:
    """Return the node's part in a cluster, None where it is alone. Raises ConfigError."""
    cluster = config.cluster
    if not cluster.nodes:
        return None
    if EMBEDDED not in servers_of(config):
        raise ConfigError("cluster.nodes: expected none where neither bus nor inbox is `embedded`")
    if config.inbox.sync != "always":
        raise ConfigError("inbox.sync: expected `always` in a cluster: it counts on what a server has answered for")
    places = [_parse(text, f"cluster.nodes[{index}]") for index, text in enumerate(cluster.nodes)]
    if len(set(places)) < len(places) or len(places) < 2:
        raise ConfigError("cluster.nodes: expected all nodes, each once, and at least two")
    if config.inbox.replicas and not 2 <= config.inbox.replicas <= len(places):
        expected = "2" if len(places) == 2 else f"2 to {len(places)}"
        raise ConfigError(f"inbox.replicas: expected {expected} in a cluster of so many, got {config.inbox.replicas}")
    host, port = _parse(cluster.listen, "cluster.listen")
    if not cluster.secret and not _is_loopback(host):
        raise ConfigError(f"cluster.secret: expected one, since cluster.listen ({host}) is not on loopback")
    settings: dict[str, Any] = {
        "name": "pushgate",
        "listen": _join(host, port),
        "no_advertise": True,  # a server is on its own loopback: its address means another one elsewhere
        "routes": [f"nats-route://{_user(cluster.secret)}{_join(*place)}" for place in places],
        **PING,
    }
    if cluster.secret:
        settings["authorization"] = {"user": USER, "password": cluster.secret}
    if tls := _tls(cluster):
        settings["tls"] = tls
    return Member(config.node.full_name, len(places), settings)


def doubts(config: Config) -> list[str]:
    """Return what is allowed in a cluster, and hardly meant."""
    nodes = len(config.cluster.nodes)
    found = []
    bus, inbox = servers_of(config)
    if inbox == EMBEDDED != bus and not nodes and not bus.startswith("memory:"):
        found.append(
            "this node keeps reliable messages for itself: where others share its bus, they need one inbox, by"
            " `inbox.url` or `cluster.nodes`"
        )
    if nodes == 2:
        found.append(
            "a cluster of two nodes has no quorum without either of them: reliable pushes need both; three survive the"
            " loss of one"
        )
    if nodes and not config.cluster.tls_certificate and not _is_loopback(_parse(config.cluster.listen, "")[0]):
        found.append("the cluster's servers speak without TLS: whoever sees their traffic sees its secret")
    return found


def _parse(text: str, setting: str) -> tuple[str, int]:
    try:
        split = urlsplit(f"//{text}")
        host, port = split.hostname, split.port
    except ValueError:
        host = port = None
    if not host or split.path or split.query or split.fragment or split.username is not None:
        raise ConfigError(f"{setting}: expected host[:port], got {text!r}")
    return host, PORT if port is None else port


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _user(secret: str) -> str:
    return f"{USER}:{quote(secret, safe='')}@" if secret else ""


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _tls(cluster: ClusterConfig) -> dict[str, Any] | None:
    """Return the server's settings of TLS, once the files were read. Raises ConfigError."""
    given = {name: getattr(cluster, name) for name in ("tls_certificate", "tls_key", "tls_ca")}
    if not any(given.values()):
        return None
    for name, path in given.items():
        if not path:
            raise ConfigError(f"cluster.{name}: expected the path of a PEM file, with the other two")
    try:
        ssl.create_default_context(cafile=cluster.tls_ca).load_cert_chain(
            cluster.tls_certificate, cluster.tls_key, password=""
        )
    except (OSError, ValueError) as error:  # SSLError is an OSError
        raise ConfigError(f"cluster.tls_certificate, tls_key or tls_ca: {error}") from None
    # the server's working directory is another one than ours
    cert, key, authority = (os.path.abspath(path) for path in given.values())
    return {"cert_file": cert, "key_file": key, "ca_file": authority, "verify": True}
