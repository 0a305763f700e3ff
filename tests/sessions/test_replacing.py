"""Devices that connect to another node; what it says comes late, and by another clock."""

import pytest

from pushgate.messages.questions import Node, Took
from pushgate.sessions.replacing import SETTLED, Replacing
from tests.rig.gateway import Gateway


def taken(uid: str, device: str, since: int, serial: int) -> Took:
    return Took(Node("another", 1), "default", uid, device, since, serial)


async def told(gateway: Gateway, age: float, since: int, serial: int = 0, device: str = "phone") -> int | None:
    """Return how a session that is so old is closed when another node tells of one; None when it stays."""
    client = await gateway.join("alice", "&device=phone")
    other = await gateway.join("alice", "&device=tablet")
    session = next(each for each in gateway.sessions.find("default", "alice") if each.device == "phone")
    opened = gateway.sessions.columns.since[session.fd]
    replacing = Replacing(gateway.sessions, clock=lambda: opened + age)
    own = gateway.sessions.serial_of(session.fd)
    replacing.replace(taken("alice", device, opened + since, own + serial))
    replacing.replace(taken("bob", "phone", opened + since, own + serial))
    stays = gateway.sessions.find("default", "alice")
    assert [each.device for each in stays if each is not session] == ["tablet"]
    await other.close()
    return None if session in stays else (await client.receive_close())[0]


@pytest.mark.parametrize(("skew", "code"), [(-100, 4000), (0, 4000), (1, 4502), (100, 4502)])
async def test_an_old_session_is_replaced_and_comes_back_where_clocks_disagree(
    gateway: Gateway, skew: int, code: int
) -> None:
    assert await told(gateway, SETTLED, skew) == code


@pytest.mark.parametrize(("since", "serial", "code"), [(1, 0, 4000), (0, 1, 4000), (0, -1, None), (-1, 1, None)])
async def test_of_two_young_ones_one_goes_and_comes_back(
    gateway: Gateway, since: int, serial: int, code: int | None
) -> None:
    assert await told(gateway, SETTLED - 1, since, serial) == code


async def test_another_device_is_left_alone(gateway: Gateway) -> None:
    assert await told(gateway, SETTLED, 0, device="watch") is None
