"""What may change while a node runs, and how it reaches the workers."""

import os

from msgspec import structs

from pushgate.config import (
    ClientsConfig,
    Config,
    LimitsConfig,
    ManagementConfig,
    NodeConfig,
    TenantConfig,
    TokenKeyConfig,
)
from pushgate.node.control import RELOAD, hear, open_control
from pushgate.node.reload import Settings, name_fixed, read_settings, send_settings, take_on
from pushgate.sockets.certificates import Certificate, Certificates

TENANTS = {"acme": TenantConfig(token_keys=[TokenKeyConfig("HS256", secret="s" * 32)], connections=5)}


def test_settings_of_any_size_arrive_with_their_word() -> None:
    ours, theirs = open_control()
    with ours, theirs:
        certificates = Certificates(Certificate(b"chain", b"key", b"", 5, 7))
        tenants = {f"t{number}": TENANTS["acme"] for number in range(1000)}
        settings = Settings(tenants, LimitsConfig(), ClientsConfig(), certificates)
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(3):
            send_settings(ours, settings)
        for _ in range(3):
            said = hear(theirs)
            assert said is not None
            assert said.word == RELOAD
            assert [read_settings(file) for file in said.files] == [settings]
        assert len(os.listdir("/proc/self/fd")) == before


def test_what_needs_a_start_is_named_and_stays() -> None:
    running = Config(tenants=TENANTS)
    changing = ClientsConfig(
        tls_certificate="c",
        tls_key="k",
        origins=["https://a.test"],
        trusted_proxies=["10.0.0.1"],
        proxy_header="proxy-protocol",
    )
    wanted = Config(
        node=NodeConfig(workers=4),
        clients=structs.replace(changing, port=1, backlog=7),
        management=ManagementConfig(tls_client_ca="a"),
        limits=LimitsConfig(connections=9),
        tenants={"other": TenantConfig()},
    )
    assert name_fixed(running, wanted) == ["node.workers", "clients.port", "clients.backlog"]
    taken = take_on(running, wanted)
    assert taken == structs.replace(
        running,
        limits=wanted.limits,
        tenants=wanted.tenants,
        clients=changing,
        management=wanted.management,
    )
    assert name_fixed(running, running) == []
