"""What a worker says about its sessions and its node."""

import time

import pytest
from msgspec import structs

from pushgate import __version__
from pushgate.delivery import answers as module
from pushgate.journal import Event
from pushgate.messages.questions import (
    Closed,
    Count,
    Counted,
    Find,
    Kick,
    Overview,
    Reach,
    Reached,
    Recall,
    Recalled,
    Sessions,
)
from pushgate.metrics.catalogue import (
    BUS_CONNECTED,
    DELIVERED,
    DRAINING,
    INBOX_READY,
    NODE_START,
    PUSHES,
    TENANT_PUSHES,
    UPGRADING,
)
from pushgate.metrics.rows import tenant_slot
from pushgate.sessions.session import ChannelSession
from tests.rig.gateway import Gateway


async def test_a_users_sessions_are_described_the_oldest_first(gateway: Gateway) -> None:
    phone = await gateway.join("alice", "&device=phone-1")
    tab = await gateway.join("alice")
    await gateway.join("bob")
    await gateway.join("alice", tenant="acme")
    reply = gateway.answers.reply(Find("default", "alice"))
    assert isinstance(reply, Sessions)
    first, second = reply.sessions
    assert (first.session, second.session) == (phone.welcome["session"], tab.welcome["session"])
    assert (first.device, second.device) == ("phone-1", None)
    assert abs(first.since - time.time()) < 5
    assert first.address == "127.0.0.1"
    assert gateway.answers.reply(Find("default", "nobody")) == Sessions([])
    assert gateway.answers.reply(Find("no such tenant", "alice")) == Sessions([])


async def test_very_many_sessions_are_cut(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FOUND", 2)
    clients = [await gateway.join("alice") for _ in range(3)]
    reply = gateway.answers.reply(Find("default", "alice"))
    assert isinstance(reply, Sessions)
    assert [each.session for each in reply.sessions] == [client.welcome["session"] for client in clients[:2]]


async def test_kicking_a_user(gateway: Gateway) -> None:
    clients = [await gateway.join("alice") for _ in range(3)]
    bob, stranger = await gateway.join("bob"), await gateway.join("alice", tenant="acme")
    assert gateway.answers.reply(Kick("default", "alice")) == Closed(3)
    for client in clients:
        assert (await client.receive_close())[0] == 4503
    assert await bob.is_quiet()
    assert await stranger.is_quiet()
    assert gateway.answers.reply(Kick("default", "alice")) == Closed(0)
    assert gateway.count("connections_closed_total", "4503") == 3


async def test_kicking_one_session(gateway: Gateway) -> None:
    first, second = await gateway.join("alice"), await gateway.join("alice")
    bob = await gateway.join("bob")
    session = first.welcome["session"]
    assert gateway.answers.reply(Kick("default", "bob", session)) == Closed(0), "it is not Bob's"
    assert gateway.answers.reply(Kick("acme", "alice", session)) == Closed(0), "nor another tenant's"
    assert gateway.answers.reply(Kick("default", "alice", session)) == Closed(1)
    assert (await first.receive_close())[0] == 4503
    assert await second.is_quiet()
    assert await bob.is_quiet()


async def test_numbers_are_the_tenants(gateway: Gateway) -> None:
    for user in ("alice", "alice", "bob"):
        await gateway.join(user)
    await gateway.join("alice", tenant="acme")
    gateway.answers.tick(time.monotonic())
    gateway.push("alice")
    gateway.row[tenant_slot(gateway.tenants.numbers["default"], TENANT_PUSHES)] += 1
    assert count(gateway) == Counted(__version__, 1, False, 3, 2, 1, 2, 1.0, 2.0)
    assert count(gateway, "acme") == Counted(__version__, 1, False, 1, 1, 0, 0, 0.0, 0.0)
    assert count(gateway, "unknown") == Counted(__version__, 1, False, 0, 0, 0, 0, 0.0, 0.0)


def look_over(gateway: Gateway, tenant: str = "default") -> Overview:
    """Return how the node is as a whole."""
    reply = gateway.answers.reply(Count(tenant))
    assert isinstance(reply, Counted)
    assert reply.overview is not None
    return reply.overview


def count(gateway: Gateway, tenant: str = "default") -> Counted:
    """Return what is said of a tenant."""
    reply = gateway.answers.reply(Count(tenant))
    assert isinstance(reply, Counted)
    return structs.replace(reply, overview=None)


async def test_of_the_node_as_a_whole_all_tenants_count(gateway: Gateway) -> None:
    node = gateway.rows.row(1)
    node[NODE_START] = int(time.time()) - 100
    for user in ("alice", "alice", "bob"):
        await gateway.join(user)
    await gateway.join("alice", tenant="acme")
    gateway.answers.tick(time.monotonic())
    gateway.push("alice")
    gateway.push("alice", tenant="acme")
    gateway.row[PUSHES["live", "user"]] += 2
    gateway.row[PUSHES["live", "everyone"]] += 5
    gateway.row[BUS_CONNECTED] = gateway.row[INBOX_READY] = 1
    overview = look_over(gateway)
    assert 100 <= overview.up < 110
    assert structs.replace(overview, up=0) == Overview(0, 4, 3, 7.0, 3.0, False, False, 1, 1, [])
    assert gateway.row[DELIVERED] == 3
    assert structs.replace(look_over(gateway, "unknown"), up=0) == structs.replace(overview, up=0)


async def test_what_befalls_a_node_is_said(gateway: Gateway) -> None:
    overview = look_over(gateway)
    assert (overview.bus, overview.inbox, overview.reasons) == (0, 0, ["0 of 1 workers hear the bus"])
    gateway.rows.row(1)[UPGRADING] = 1
    assert (look_over(gateway).upgrading, look_over(gateway).draining) == (True, False)
    gateway.rows.row(1)[DRAINING], gateway.rows.row(1)[UPGRADING] = 1, 0
    assert (look_over(gateway).upgrading, look_over(gateway).draining) == (False, True)
    gateway.stopping = True
    assert look_over(gateway).reasons == ["the node stops"]


async def test_a_node_without_an_inbox_has_none(gateway: Gateway) -> None:
    answers = module.Answers(gateway.sessions, gateway.rows, gateway.tenants.numbers, list, False, list)
    reply = answers.reply(Count("default"))
    assert isinstance(reply, Counted)
    assert reply.overview is not None
    assert reply.overview.inbox is None


async def test_what_happened_is_told(gateway: Gateway) -> None:
    events = [Event(1.0, "info", "ready", {"workers": 2})]
    answers = module.Answers(gateway.sessions, gateway.rows, gateway.tenants.numbers, list, False, lambda: events)
    assert answers.reply(Recall()) == Recalled(events)


async def test_a_node_is_ready_when_all_its_workers_hear_the_bus(gateway: Gateway) -> None:
    def is_ready() -> bool:
        reply = gateway.answers.reply(Count("default"))
        assert isinstance(reply, Counted)
        return reply.ready

    assert not is_ready()
    gateway.row[BUS_CONNECTED] = 1
    assert is_ready()
    gateway.stopping = True
    assert not is_ready()


class FakeDevices:
    """Has sent each device 9 messages; a device's name says how many it acknowledged."""

    def begin(self, channel: ChannelSession, cursor: int) -> None: ...

    def end(self, channel: ChannelSession) -> None: ...

    def hand_over(self, channel: ChannelSession) -> None: ...

    def take_over(self, channel: ChannelSession, place: object) -> bool:
        raise AssertionError("nobody does")

    def acknowledge(self, channel: ChannelSession, offset: int) -> bool:
        raise AssertionError("nobody does")

    def progress(self, channel: ChannelSession) -> tuple[int, int]:
        return 9, int(channel.device or "")


async def test_how_far_devices_have_come(gateway: Gateway) -> None:
    gateway.sessions.devices = FakeDevices()
    for user, query, tenant in (
        ("alice", "&device=7", "default"),
        ("alice", "&device=5", "default"),
        ("alice", "", "default"),
        ("bob", "&device=7", "default"),
        ("alice", "&device=7", "acme"),
    ):
        await gateway.join(user, query, tenant=tenant)
    reply = gateway.answers.reply(Find("default", "alice"))
    assert isinstance(reply, Sessions)
    assert [(each.sent, each.acknowledged) for each in reply.sessions] == [(9, 7), (9, 5), (None, None)]
    for offset, acknowledged in ((5, 3), (6, 2), (8, 0)):
        reached = gateway.answers.reply(Reach("default", offset))
        assert reached == Reached(gateway.rows.count - 1, 3, acknowledged)
    assert gateway.answers.reply(Reach("no such tenant", 1)) == Reached(gateway.rows.count - 1, 0, 0)
