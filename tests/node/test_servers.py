import pytest

from pushgate.config import BusConfig, Config, InboxConfig
from pushgate.node.servers import Servers, servers_of


@pytest.mark.parametrize(
    ("bus", "inbox", "expected"),
    [
        ("embedded", "bus", ("embedded", "embedded")),
        ("nats://a", "bus", ("nats://a", "nats://a")),
        ("memory:", "bus", ("memory:", "memory:")),
        ("nats://a", "none", ("nats://a", "none")),
        ("nats://a", "nats://b", ("nats://a", "nats://b")),
        ("nats://a", "embedded", ("nats://a", "embedded")),
        ("embedded", "nats://b", ("embedded", "nats://b")),
        ("rocketmq://a", "bus", ("rocketmq://a", "embedded")),
    ],
)
def test_the_embedded_server_keeps_what_the_bus_cannot(bus: str, inbox: str, expected: tuple[str, str]) -> None:
    assert servers_of(Config(bus=BusConfig(bus), inbox=InboxConfig(inbox))) == expected


def test_only_what_is_embedded_is_told_where_it_is() -> None:
    assert Servers("embedded", "embedded").at("nats://x") == ("nats://x", "nats://x")
    assert Servers("redis://a", "embedded").at("nats://x") == ("redis://a", "nats://x")
    assert Servers("redis://a", "none").at("nats://x") == ("redis://a", "none")
