"""Whose word is taken for a client's address, and what X-Forwarded-For then says."""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

import pytest

from pushgate.config import LimitsConfig
from pushgate.errors import ConfigError
from pushgate.sessions.proxies import Proxies
from pushgate.wire.address import V4_IN_V6
from tests.rig.client import Refused, WsClient
from tests.rig.gateway import Gateway, make_token

LOOPBACK = ["127.0.0.0/8"]
TRUSTED = Proxies(["10.0.0.0/8", "192.0.2.1", "2001:db8::/32", "::1"])


def pack(text: str) -> bytes:
    return IPv6Address(text).packed if ":" in text else V4_IN_V6 + IPv4Address(text).packed


@pytest.mark.parametrize(
    "text", ["10.0.0.0", "10.255.255.255", "192.0.2.1", "2001:db8:ffff::1", "::1", "::ffff:10.1.1.1"]
)
def test_trusted(text: str) -> None:
    assert TRUSTED.trust(pack(text))


@pytest.mark.parametrize("text", ["11.0.0.0", "9.255.255.255", "192.0.2.2", "2001:db9::", "::2", "::10.0.0.1"])
def test_not_trusted(text: str) -> None:
    assert not TRUSTED.trust(pack(text))
    assert not Proxies([]).trust(pack(text))


def test_everybody_can_be_trusted() -> None:
    assert Proxies(["0.0.0.0/0"]).trust(pack("203.0.113.9"))
    assert not Proxies(["0.0.0.0/0"]).trust(pack("2001:db8::1"))
    assert Proxies(["::/0"]).trust(pack("203.0.113.9"))


@pytest.mark.parametrize(
    ("header", "client"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("1.1.1.1, 203.0.113.9, 10.0.0.1, 192.0.2.1", "203.0.113.9"),
        ("garbage, 203.0.113.9", "203.0.113.9"),
        ("203.0.113.9:4711", "203.0.113.9"),
        ("2001:db9::1", "2001:db9::1"),
        ("[2001:db9::1]:4711, 10.0.0.1", "2001:db9::1"),
        ("[2001:db9::1]", "2001:db9::1"),
        ("203.0.113.9\t,10.0.0.1", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("", None),
        ("10.0.0.1, 10.0.0.2", None),
        ("203.0.113.9, unknown", None),
        ("203.0.113.9, ", None),
        ("203.0.113.9, 10.0.0.1, _hidden", None),
        ("203.0.113.09", None),
        ("203.0.113.9 10.0.0.1", None),
    ],
)
def test_the_last_address_that_is_no_proxy_is_the_clients(header: str, client: str | None) -> None:
    assert TRUSTED.find_client(header) == (client and pack(client))


@pytest.mark.parametrize("text", ["", "10.0.0.1/8", "10.0.0.0/33", "proxy.example.com", "10.0.0.0-10.0.0.9"])
def test_bad_networks_name_their_place(text: str) -> None:
    with pytest.raises(ConfigError, match=r"clients\.trusted_proxies\[1\]: expected an address or a network") as error:
        Proxies(["10.0.0.0/8", text])
    assert text in str(error.value)


async def join(gateway: Gateway, user: str, forwarded: str) -> str:
    """Connect as through a proxy; returns what is then told of the session's address."""
    await WsClient.join(gateway.port, f"/ws?token={make_token(user)}", headers={"X-Forwarded-For": forwarded})
    (session,) = gateway.sessions.find("default", user)
    return gateway.sessions.describe(session).address


async def test_a_trusted_proxys_word_is_taken(make_gateway: Callable[..., Gateway]) -> None:
    gateway = make_gateway(trusted_proxies=LOOPBACK)
    assert await join(gateway, "alice", "1.1.1.1, 203.0.113.9") == "203.0.113.9"
    assert await join(gateway, "bob", "2001:db8::7") == "2001:db8::7"
    assert await join(gateway, "carol", "garbage") == "127.0.0.1"


async def test_a_strangers_word_is_not(gateway: Gateway) -> None:
    assert await join(gateway, "alice", "203.0.113.9") == "127.0.0.1"


async def test_a_proxy_is_never_too_many_and_its_clients_are(make_gateway: Callable[..., Gateway]) -> None:
    gateway = make_gateway(limits=LimitsConfig(connections_per_address=2), trusted_proxies=LOOPBACK)
    clients = [await gateway.join("healthy"), await gateway.join("healthy"), await gateway.join("healthy")]
    await join(gateway, "alice", "203.0.113.9")
    await join(gateway, "bob", "203.0.113.9")
    with pytest.raises(Refused) as refused:
        await join(gateway, "carol", "203.0.113.9")
    assert refused.value.status == 429
    assert gateway.count("handshakes_refused_total", "address_connections") == 1
    await join(gateway, "carol", "203.0.113.10")
    for client in clients:
        await client.close()
    await WsClient.close_all()
    await gateway.until(lambda: gateway.count("connections") == 0 and gateway.poller.leaving == 0)
    assert not any(gateway.counts._connections), "all that was counted in was counted out"


async def test_a_clients_handshakes_count_behind_a_proxy(
    make_gateway: Callable[..., Gateway], clock: Callable[[float], None]
) -> None:
    gateway = make_gateway(limits=LimitsConfig(handshakes_per_address=2), trusted_proxies=LOOPBACK)
    clock(100.0)
    for _ in range(2):
        with pytest.raises(Refused):
            await WsClient.open(gateway.port, "/", headers={"X-Forwarded-For": "203.0.113.9"})
    with pytest.raises(Refused) as refused:
        await join(gateway, "alice", "203.0.113.9")
    assert refused.value.status == 429
    assert gateway.count("handshakes_refused_total", "address_handshakes") == 1
    await join(gateway, "bob", "203.0.113.10")
    clock(101.0)
    await join(gateway, "alice", "203.0.113.9")
