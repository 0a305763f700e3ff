import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from pushgate.config import (
    BusConfig,
    ClientsConfig,
    Config,
    InboxConfig,
    ManagementConfig,
    NodeConfig,
    TenantConfig,
    TokenKeyConfig,
    TracingConfig,
)
from pushgate.errors import ConfigError, StartError
from pushgate.node.check import check_config, demo_tenant
from pushgate.node.embedded.program import find_nats_server
from pushgate.sockets.certificates import Certificates
from tests.rig.certificates import the_authority

GOOD = TenantConfig(["sha256:" + "a" * 64], [TokenKeyConfig("HS256", secret="s" * 32)])
CONFIG = Config(node=NodeConfig(workers=2), tenants={"acme": GOOD})


def test_what_is_found_out() -> None:
    checked = check_config(CONFIG)
    assert checked.workers == 2
    assert checked.nats_server == find_nats_server("")
    assert checked.tenants.quota_of("acme") is not None
    assert checked.warnings == []
    away = check_config(structs.replace(CONFIG, bus=BusConfig("nats://somewhere:1")))
    assert away.nats_server == "", "it is not there to be asked"
    redis = check_config(structs.replace(CONFIG, bus=BusConfig("redis://somewhere:1")))
    assert (redis.servers.inbox, redis.nats_server) == ("redis://somewhere:1", "")


def test_tracing_needs_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    traced = structs.replace(CONFIG, tracing=TracingConfig("http://collector:4318/v1/traces"))
    assert check_config(traced).warnings == []
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    monkeypatch.delitem(sys.modules, "pushgate.tracing.otel")
    with pytest.raises(ConfigError, match=r"^tracing\.endpoint: needs the extra: pip install 'pushgate\[otel\]'"):
        check_config(traced)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")
    [doubt] = check_config(CONFIG).warnings
    assert doubt.startswith("nothing is traced: OTEL_EXPORTER_OTLP_ENDPOINT needs the extra")


def test_a_directory_needs_a_bus_that_can_keep_one() -> None:
    for url in ("embedded", "nats://somewhere:1", "redis+cluster://a,b"):
        check_config(structs.replace(CONFIG, bus=BusConfig(url, routing="directory")))
    alone = structs.replace(CONFIG, node=NodeConfig(workers=1), bus=BusConfig("memory:", routing="directory"))
    with pytest.raises(
        ConfigError, match=r"^bus\.routing: expected broadcast with the bus 'memory:'; directory is for"
    ):
        check_config(alone)


@pytest.mark.parametrize(
    ("section", "value", "error"),
    [
        ("bus", BusConfig("memory:"), "node.workers: expected 1"),
        ("bus", BusConfig("pigeon://loft"), "bus.url: expected"),
        ("bus", BusConfig("redis://a/name"), "bus.url: expected a database number"),
        ("inbox", InboxConfig("redis+sentinel://a"), "inbox.url: expected the service's name"),
        ("bus", BusConfig(nats_server="/no/such"), "bus.nats_server: /no/such"),
        ("tenants", {"a": TenantConfig(token_keys=[TokenKeyConfig("HS256", secret="s")])}, "tenants.a.token_keys[0]"),
        ("clients", ClientsConfig(tls_certificate="/no/such.pem"), "clients.tls_key: expected"),
        ("clients", ClientsConfig(origins=["a.test"]), "clients.origins[0]: expected"),
        ("tracing", TracingConfig("collector:4318"), "tracing.endpoint: expected a URL"),
        ("clients", ClientsConfig(trusted_proxies=["10.0.0.1/8"]), "clients.trusted_proxies[0]: expected"),
        ("management", ManagementConfig(tls_client_ca="ca.pem"), "management.tls_certificate: expected"),
        ("tenants", {"a": GOOD, "b": GOOD}, "tenants.b.api_keys[0]: expected a key that stands nowhere else"),
        (
            "tenants",
            {"a": TenantConfig(token_keys=[TokenKeyConfig("EdDSA", public_key_file="/no/such.pem")])},
            "/no/such.pem",
        ),
    ],
)
def test_what_keeps_a_node_from_starting(section: str, value: Any, error: str) -> None:
    with pytest.raises((ConfigError, StartError)) as caught:
        check_config(structs.replace(CONFIG, **{section: value}))
    assert error in str(caught.value)


def test_certificates(tmp_path: Path) -> None:
    certificate, key = the_authority().write(tmp_path, "one")
    clients = ClientsConfig(tls_certificate=certificate, tls_key=key)
    certificate, key = the_authority().write(tmp_path, "two", until=-1)
    expired = ManagementConfig(tls_certificate=certificate, tls_key=key)
    checked = check_config(structs.replace(CONFIG, clients=clients, management=expired))
    assert checked.certificates.clients is not None
    assert checked.certificates.management is not None
    assert checked.warnings == ["management.tls_certificate: the certificate has expired"]
    assert check_config(CONFIG).certificates == Certificates()


def test_what_is_hardly_meant() -> None:
    checked = check_config(Config(node=NodeConfig(workers=3)))
    assert len(checked.warnings) == 2
    assert "3 workers" in checked.warnings[0]
    assert "no tenant" in checked.warnings[1]


def test_the_tenant_of_the_demo_page() -> None:
    assert demo_tenant(CONFIG) == "acme"
    assert demo_tenant(Config(tenants={"acme": GOOD, "default": TenantConfig()})) == "default"
    with pytest.raises(ConfigError, match=r"management\.demo"):
        check_config(Config(management=ManagementConfig(demo=True)))
