"""A tenant's connections: counted for the node, and bounded by its quota."""

from collections.abc import Callable

import pytest

from pushgate.metrics.catalogue import TENANT_CONNECTIONS, TENANT_DELIVERED, TENANT_USERS
from pushgate.metrics.rows import tenant_slot
from pushgate.sessions.arrival import Arrival
from tests.rig.client import WsClient
from tests.rig.gateway import Gateway, make_tenants, make_token


async def close_code(client: WsClient) -> int:
    code, _ = await client.receive_close()
    return code


async def knock(gateway: Gateway, user: str, tenant: str = "default", query: str = "") -> WsClient:
    """Connect without waiting for a welcome."""
    return await WsClient.open(gateway.port, f"/ws?token={make_token(user, tenant)}{query}")


async def test_each_tenant_is_counted_by_itself(gateway: Gateway) -> None:
    clients = [await gateway.join("alice"), await gateway.join("alice"), await gateway.join("alice", tenant="acme")]
    assert gateway.count_of("default", TENANT_CONNECTIONS) == 2
    assert gateway.count_of("default", TENANT_USERS) == 1
    assert gateway.count_of("acme", TENANT_CONNECTIONS) == 1
    gateway.push("alice")
    gateway.push(tenant="acme")
    for client in clients:
        await client.receive()
    assert gateway.count_of("default", TENANT_DELIVERED) == 2
    assert gateway.count_of("acme", TENANT_DELIVERED) == 1
    assert gateway.count("messages_delivered_total") == 3
    for client in clients[:2]:
        await client.close()
    await gateway.until(lambda: gateway.count("connections") == 1)
    assert gateway.count_of("default", TENANT_CONNECTIONS) == gateway.count_of("default", TENANT_USERS) == 0
    assert gateway.count_of("acme", TENANT_CONNECTIONS) == 1


async def test_over_the_quota_a_client_is_told_to_come_again(gateway: Gateway) -> None:
    gateway.tenants.load(make_tenants(connections=2))
    await gateway.join("alice")
    await gateway.join("bob")
    assert await close_code(await knock(gateway, "carol")) == 4004
    assert gateway.count("connections") == gateway.count_of("default", TENANT_CONNECTIONS) == 2
    assert gateway.count("handshakes_refused_total", "tenant_connections") == 1
    await gateway.join("carol", tenant="acme")
    gateway.tenants.load(make_tenants(connections=3))
    await gateway.join("carol")


async def test_other_workers_connections_count(gateway: Gateway) -> None:
    gateway.tenants.load(make_tenants(connections=10))
    other = gateway.rows.row(1)
    other[tenant_slot(gateway.tenants.numbers["default"], TENANT_CONNECTIONS)] = 9
    await gateway.join("alice")
    assert await close_code(await knock(gateway, "bob")) == 4004
    assert gateway.count_of("default", TENANT_CONNECTIONS) == 1


async def test_who_takes_the_place_of_an_own_session_is_let_in(make_gateway: Callable[..., Gateway]) -> None:
    gateway = make_gateway(sessions_per_user=1)
    gateway.tenants.load(make_tenants(connections=2))
    phone = await gateway.join("alice", query="&device=phone")
    tab = await gateway.join("bob")
    await gateway.join("alice", query="&device=phone")
    await gateway.join("bob")
    assert [await close_code(client) for client in (phone, tab)] == [4502, 4502]
    assert gateway.count_of("default", TENANT_CONNECTIONS) == 2


async def test_a_token_whose_tenant_went_meanwhile(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    def deliver_late(fd: int, arrival: Arrival) -> None:
        gateway.tenants.load({})
        gateway.deliver(fd, arrival)

    monkeypatch.setattr(gateway.lobby, "_deliver", deliver_late)
    assert await close_code(await knock(gateway, "alice")) == 4500
    assert gateway.count("handshakes_refused_total", "token") == 1
    assert gateway.count("connections") == 0
