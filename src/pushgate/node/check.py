"""What a configuration is checked for before a node starts with it, and by `pushgate config check`."""

import os
import time
from typing import NamedTuple

from pushgate.bus import create_bus, create_feed
from pushgate.config import Config
from pushgate.errors import ConfigError
from pushgate.inbox import create_inbox
from pushgate.messages.shard import SHARDS
from pushgate.metrics.rows import Rows
from pushgate.node.embedded.cluster import Member, doubts, member_of
from pushgate.node.embedded.program import find_nats_server
from pushgate.node.reliable_delivery import options_of
from pushgate.node.routing import DIRECTORY
from pushgate.node.servers import EMBEDDED, NONE, Servers, registry_copies, servers_of
from pushgate.routing import create_registry
from pushgate.sessions.terms import Terms
from pushgate.sockets.certificates import Certificates, read_certificates
from pushgate.tenants.registry import Tenants
from pushgate.tracing import check_tracing


class Checked(NamedTuple):
    """What the checks found out: `nats_server` is the program of an embedded server, else empty, and `member` its part
    in a cluster.

    `warnings` say what is allowed and hardly meant.
    """

    workers: int
    tenants: Tenants
    terms: Terms
    servers: Servers
    nats_server: str
    member: Member | None
    certificates: Certificates
    warnings: list[str]


def check_config(config: Config) -> Checked:
    """Check what the configuration says against this machine; starts nothing, opens no port, changes no file.

    Raises ConfigError that names the setting, or StartError for what is missing.
    """
    workers = config.node.workers or len(os.sched_getaffinity(0))
    servers = servers_of(config)
    for name, url in servers._asdict().items():
        if url.startswith("memory:") and workers != 1:
            raise ConfigError(f"node.workers: expected 1 with the {name} `memory:`, got {workers}")
    if servers.bus != EMBEDDED:
        create_bus(servers.bus, config.bus.prefix)
        create_feed(servers.bus, config.bus.prefix)
    if servers.inbox not in (EMBEDDED, NONE):
        create_inbox(servers.inbox, config.bus.prefix, Rows(1).row(0), options_of(config, ""))
    if config.bus.routing == DIRECTORY and servers.bus != EMBEDDED:
        create_registry(servers.bus, config.bus.prefix, 0, 0, registry_copies(config))
    nats_server = find_nats_server(config.bus.nats_server) if EMBEDDED in servers else ""
    member = member_of(config)
    certificates = read_certificates(config)
    warnings = certificates.doubts(time.time()) + doubts(config) + check_tracing(config.tracing)
    if SHARDS % workers:
        warnings.append(f"some of the {workers} workers own a shard more than others, {SHARDS} in all")
    if config.management.demo:
        demo_tenant(config)
    if not config.tenants:
        warnings.append("no tenant is configured: nobody can connect or push")
    terms = Terms(config.clients, config.limits)
    return Checked(workers, Tenants(config.tenants), terms, servers, nats_server, member, certificates, warnings)


def demo_tenant(config: Config) -> str:
    """Return which tenant the demo page pushes for: `default`, else the first one. Raises ConfigError for none."""
    if "default" in config.tenants:
        return "default"
    for name in config.tenants:
        return name
    raise ConfigError("management.demo: expected a tenant to push for, got none configured")
