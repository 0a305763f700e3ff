"""The table of sessions: whose a descriptor is, and in which format, without a look at the session."""

from tests.rig.gateway import Gateway

MSGPACK = "pushgate.v1.msgpack"


def all_of(gateway: Gateway, tenant: str) -> list[list[int]]:
    """Return the descriptors of a tenant's sessions, those of one format together."""
    return sorted(gateway.sessions.descriptors(tenant, 0, len(gateway.sessions.by_fd)).values())


def fd_of(gateway: Gateway, tenant: str, user: str) -> int:
    (session,) = gateway.sessions.find(tenant, user)
    return session.fd


async def test_descriptors_are_told_apart_by_tenant_and_format(gateway: Gateway) -> None:
    assert all_of(gateway, "default") == []
    alice, bob = await gateway.join("alice"), await gateway.join("bob")
    carol = await gateway.join("carol", protocol=MSGPACK)
    dave = await gateway.join("dave", tenant="acme")
    of_alice, of_bob, of_carol = (fd_of(gateway, "default", user) for user in ("alice", "bob", "carol"))
    of_dave = fd_of(gateway, "acme", "dave")
    assert all_of(gateway, "default") == sorted([sorted([of_alice, of_bob]), [of_carol]])
    assert all_of(gateway, "acme") == [[of_dave]]
    assert all_of(gateway, "nobody") == []
    behind = gateway.sessions.descriptors("default", of_alice + 1, of_alice + 2)
    assert all(of_alice not in fds for fds in behind.values())
    await alice.close()
    await gateway.until(lambda: gateway.count("connections") == 3)
    assert all_of(gateway, "default") == sorted([[of_bob], [of_carol]])
    erin = await gateway.join("erin", tenant="acme")
    assert all_of(gateway, "acme") == [sorted([of_dave, fd_of(gateway, "acme", "erin")])]
    gateway.push(tenant="acme")
    for client in (dave, erin):
        assert (await client.receive())["type"] == "message"
    assert await bob.is_quiet()
    assert await carol.is_quiet()
