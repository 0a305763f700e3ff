"""Sessions go from old workers to new ones, over real sockets: their state goes along, whatever happens on the way."""

import asyncio
import itertools
import json
import os
import socket
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio

from pushgate.config import LimitsConfig
from pushgate.errors import InboxUnavailable
from pushgate.messages.push import Push, decode_push, encode_push
from pushgate.messages.questions import Count, Find, Reach
from pushgate.messages.shard import shard_of
from pushgate.node.handover import giving, taking
from pushgate.node.handover.passing import Sender, Sessions
from pushgate.sessions.session import show_session
from pushgate.sessions.state import SessionState, decode_state, encode_state
from tests.rig.client import TEXT, WsClient, mask_frame
from tests.rig.gateway import make_tenants, make_token
from tests.rig.generations import Generations, MakeGateway

MakeGenerations = Callable[..., Generations]
numbers = itertools.count(1)


@pytest_asyncio.fixture
async def make(make_gateway: MakeGateway, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MakeGenerations]:
    monkeypatch.setattr(giving, "SETTLE", 0.0)
    made: list[Generations] = []

    def make(old: int = 1, new: int = 1, **settings: Any) -> Generations:
        made.append(Generations(make_gateway, old, new, **settings))
        return made[-1]

    yield make
    for generations in made:
        generations.stop()
    await asyncio.sleep(0)


def push(user: str | None = None, data: Any = None, **fields: Any) -> bytes:
    number = next(numbers)
    text = json.dumps(number if data is None else data).encode()
    return encode_push(Push("default", None if user is None else [user], f"m{number}", "e", number, text, **fields))


def users_of(generations: Generations, count: int = 12) -> list[str]:
    return [f"user{number}" for number in range(count)]


async def test_two_workers_become_three_and_every_session_is_the_same(make: MakeGenerations) -> None:
    generations = make(2, 3)
    clients = {
        user: await generations.join(user, "&device=phone" if number % 2 else "", tags=["gold"])
        for number, user in enumerate(users_of(generations, 40))
    }
    told = {}
    for user in clients:
        gateway = generations.old_of(user).gateway
        (session,) = gateway.sessions.find("default", user)
        told[user] = gateway.sessions.describe(session), session.tags, gateway.sessions.columns.expires[session.fd]
    await generations.hand_over()
    assert sorted(generations.given) == [0, 1]
    for user, client in clients.items():
        gateway = generations.new_of(user).gateway
        (session,) = gateway.sessions.find("default", user)
        now = gateway.sessions.describe(session), session.tags, gateway.sessions.columns.expires[session.fd]
        assert now == told[user]
        assert show_session(gateway.sessions.serial_of(session.fd)) == client.welcome["session"]
        client.send({"type": "ping"})
        assert (await client.receive())["type"] == "pong"
    assert sum(worker.gateway.count("connections") for worker in generations.new) == len(clients)
    for name in ("connections", "users", "write_buffer_bytes"):
        assert [worker.gateway.count(name) for worker in generations.old] == [0, 0]
    assert all(worker.gateway.counts.worker(1).enter(bytes(16)) == 1 for worker in generations.old)


@pytest.mark.parametrize("size", [20, 5_000, 1_000_000])
@pytest.mark.parametrize("taken", [1, 7, 9, 0.5])
async def test_half_a_message_goes_along(make: MakeGenerations, size: int, taken: float) -> None:
    generations = make(2, 1, max_message=4 * 1024 * 1024)
    client = await generations.join("alice")
    ping = mask_frame(TEXT, json.dumps({"type": "ping", "padding": "é" * size}, ensure_ascii=False).encode())
    cut = int(taken) if taken >= 1 else len(ping) // 2
    client.writer.write(ping[:cut])
    gateway = generations.old_of("alice").gateway
    await gateway.until(lambda: gateway.count("received_bytes_total") == cut)
    await generations.hand_over()
    client.writer.write(ping[cut:])
    assert (await client.receive())["type"] == "pong"
    (session,) = generations.new_of("alice").gateway.sessions.find("default", "alice")
    assert session.reader is None


async def test_what_a_client_has_not_read_goes_along_in_its_order(make: MakeGenerations) -> None:
    generations = make(2, 3)
    client = await generations.join("alice")
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    old, new = generations.old_of("alice").gateway, generations.new_of("alice").gateway
    sent = 0
    while old.count("write_buffer_bytes") < 600_000:
        sent += 1
        old.router.receive(push("alice", str(sent) * 100_000))
    await generations.hand_over()
    assert new.count("write_buffer_bytes") >= 600_000
    new.router.receive(push("alice", "last"))
    client.writer.transport.resume_reading()  # type: ignore[attr-defined]
    for number in range(1, sent + 1):
        assert (await client.receive())["data"] == str(number) * 100_000
    assert (await client.receive())["data"] == "last"
    assert new.count("write_buffer_bytes") == 0


async def test_what_comes_meanwhile_comes_once_and_in_order_whoever_hears_it_first(make: MakeGenerations) -> None:
    generations = make(2, 3)
    users = users_of(generations)
    clients = {user: await generations.join(user) for user in users}
    generations.prepare()
    payloads = [push(user) for user in (*users, None, *users, None)]
    lagging = [iter(payloads) for _ in (*generations.old, *generations.new)]
    workers = [*generations.old, *generations.new]
    for worker, stream in list(zip(workers, lagging, strict=True))[::2]:  # some are ahead of the others
        for payload in itertools.islice(stream, 9):
            worker.gateway.router.receive(payload)
    generations.begin()
    generations.receive()
    while not all(worker.is_complete for worker in generations.new):
        for worker, stream in zip(workers, lagging, strict=True):
            for payload in itertools.islice(stream, 1):
                worker.gateway.router.receive(payload)
        await asyncio.sleep(0.001)
    for worker, stream in zip(workers, lagging, strict=True):
        for payload in stream:
            worker.gateway.router.receive(payload)
    for user, client in clients.items():
        meant = [
            str(number)
            for number, (target, _) in enumerate(zip((*users, None, *users, None), payloads, strict=True))
            if target in (user, None)
        ]
        first = json.loads(decode_push(payloads[0]).data)
        got = [str((await client.receive())["data"] - first) for _ in meant]
        assert got == meant
        assert await client.is_quiet()


async def test_a_spread_push_under_way_is_written_once(make: MakeGenerations) -> None:
    generations = make()
    clients = [await generations.join(user) for user in users_of(generations)]
    generations.old[0].gateway.router.receive(push(data="slow", spread=3600.0))
    await generations.hand_over()
    for client in clients:
        assert (await client.receive())["data"] == "slow"
        assert await client.is_quiet()


async def test_the_oldest_of_a_user_is_still_the_oldest(make: MakeGenerations) -> None:
    generations = make(sessions_per_user=2)
    old = generations.old[0].gateway
    spare = [os.open(os.devnull, os.O_RDONLY) for _ in range(4)]
    tabs = [await generations.join("alice")]
    for fd in spare:
        os.close(fd)  # so that the younger session has the lower descriptor
    tabs.append(await generations.join("alice"))
    first, second = old.sessions.find("default", "alice")
    assert first.fd > second.fd
    await generations.hand_over()
    await generations.new[0].gateway.join("alice")
    assert (await tabs[0].receive_close())[0] == 4502
    assert await tabs[1].is_quiet()


async def test_whose_tenant_is_gone_gets_what_waited_and_then_the_reason(make: MakeGenerations) -> None:
    generations = make()
    client = await generations.join("alice")
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    old = generations.old[0].gateway
    sent = 0
    while not old.count("write_buffer_bytes"):
        sent += 1
        old.router.receive(push("alice", "x" * 100_000))
    tenants = make_tenants()
    del tenants["default"]
    generations.new[0].gateway.tenants.load(tenants)
    await generations.hand_over()
    client.writer.transport.resume_reading()  # type: ignore[attr-defined]
    for _ in range(sent):
        assert (await client.receive())["data"] == "x" * 100_000
    assert await client.receive_close() == (4500, "the tenant is gone")


async def knock(generations: Generations, user: str) -> Callable[[], asyncio.StreamReader]:
    """Be in the lobby of the old worker that has a user's shard; what is returned sends the request."""
    gateway = generations.old_of(user).gateway
    guests = gateway.lobby.guests
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    client = WsClient(reader, writer, "")  # closed after the test, like all others
    await gateway.until(lambda: gateway.lobby.guests > guests)

    def ask() -> asyncio.StreamReader:
        head = (
            f"GET /ws?token={make_token(user)} HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        client.writer.write(head.encode())
        return client.reader

    return ask


async def read_head(reader: asyncio.StreamReader) -> bytes:
    return await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)


async def test_who_ends_its_handshake_meanwhile_is_a_session_of_the_new_worker(make: MakeGenerations) -> None:
    generations = make(2, 3)
    generations.prepare()
    ask = await knock(generations, "alice")
    generations.begin()
    generations.receive()
    reader = ask()
    assert (await read_head(reader)).startswith(b"HTTP/1.1 101")
    await generations.complete()
    assert len(generations.new_of("alice").gateway.sessions.find("default", "alice")) == 1


async def test_a_connection_waits_for_the_sessions_whose_place_it_takes(make: MakeGenerations) -> None:
    """A worker of the new generation is done, and lets a client in whose shard is another's that is not."""
    generations = make()
    old = await generations.join("alice", "&device=phone")
    generations.prepare()
    new = asyncio.create_task(generations.new[0].gateway.join("alice", "&device=phone"))
    gateway = generations.new[0].gateway
    await gateway.until(lambda: bool(generations.new[0].taking and generations.new[0].taking._arrivals))
    generations.begin()
    generations.receive()
    await generations.complete()
    assert (await old.receive_close())[0] == 4502
    younger = await new
    (session,) = gateway.sessions.find("default", "alice")
    assert show_session(gateway.sessions.serial_of(session.fd)) == younger.welcome["session"]


async def test_a_session_opened_meanwhile_gets_what_an_old_worker_has_noted(make: MakeGenerations) -> None:
    generations = make()
    generations.prepare()
    generations.begin()
    generations.receive()
    await generations.complete()
    late = await generations.new[0].gateway.join("alice")
    payload = push("alice")
    for worker in (*generations.old, *generations.new):
        worker.gateway.router.receive(payload)
    assert (await late.receive())["id"]
    assert await late.is_quiet()


@pytest_asyncio.fixture
async def stuck(make: MakeGenerations) -> tuple[Generations, dict[str, WsClient]]:
    """A hand-over that nobody receives: some sessions are on their way, one shard's wait, and all others are here."""
    generations = make(limits=LimitsConfig(handshakes_per_address=0))
    for ends in generations.channels:
        for end in ends:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    clients = {user: await generations.join(user) for user in users_of(generations, 100)}
    generations.prepare()
    return generations, clients


async def give_until_stuck(generations: Generations) -> list[str]:
    """Give until the channel is full; returns the users whose sessions are not here any more."""
    generations.begin()
    gone, before = generations.old[0].giving._gone, -1
    async with asyncio.timeout(10):
        while not gone or len(gone) != before:
            before = len(gone)
            await asyncio.sleep(0.05)
    find = generations.old[0].gateway.sessions.find
    return [user for user in users_of(generations, 100) if not find("default", user)]


async def test_when_the_new_ones_die_what_was_not_sent_goes_on(stuck: tuple[Generations, dict[str, WsClient]]) -> None:
    generations, clients = stuck
    gateway = generations.old[0].gateway
    away = await give_until_stuck(generations)
    generations.channels[0][0].close()
    await asyncio.sleep(0.01)  # it fails to send
    generations.old[0].giving.forget()
    here = [user for user in clients if gateway.sessions.find("default", user)]
    assert len(here) > 50
    for user in here:
        gateway.router.receive(push(user, "still here"))
        assert (await clients[user].receive())["data"] == "still here"
        assert await clients[user].is_quiet()
    lost = clients.keys() - here
    assert lost <= set(away)
    for user in lost:
        assert (await clients[user].receive_close())[0] == 1006


async def test_a_shard_that_is_sent_in_part_stays_in_part(
    make: MakeGenerations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(giving, "PACKET_SESSIONS", 1)
    generations = make(sessions_per_user=50)
    for ends in generations.channels:
        for end in ends:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    gateway, part = generations.old[0].gateway, generations.old[0].giving
    tabs = [await generations.join("alice") for _ in range(30)]
    part._shards = [shard_of("default", "alice")]
    generations.prepare()
    await give_until_stuck(generations)
    assert gateway.sessions.find("default", "alice") == ()
    generations.channels[0][0].close()
    part.forget()
    await gateway.until(lambda: gateway.sessions.find("default", "alice") != ())
    staying = len(gateway.sessions.find("default", "alice"))
    assert staying > 10
    gateway.router.receive(push("alice", "still here"))
    for tab in tabs[-staying:]:
        assert (await tab.receive())["data"] == "still here"
        tab.send({"type": "ping"})
        assert (await tab.receive())["type"] == "pong"
    for tab in tabs[:-staying]:
        assert (await tab.receive_close())[0] == 1006


async def test_who_came_meanwhile_is_let_in_when_the_new_ones_die(
    stuck: tuple[Generations, dict[str, WsClient]],
) -> None:
    generations, clients = stuck
    users = sorted(clients, key=lambda user: shard_of("default", user))
    guests = [await knock(generations, user) for user in users[-2:]]
    gateway = generations.old[0].gateway
    readers = [ask() for ask in guests]
    await give_until_stuck(generations)
    generations.old[0].giving.forget()  # nobody has failed to send yet
    for reader in readers:
        assert (await read_head(reader)).startswith(b"HTTP/1.1 101")
    assert len(gateway.sessions.find("default", users[-1])) == 2
    assert generations.old[0].giving._arrivals == {}


async def test_what_a_worker_sent_before_it_died_is_taken_over(stuck: tuple[Generations, dict[str, WsClient]]) -> None:
    generations, clients = stuck
    away = await give_until_stuck(generations)
    worker = generations.new[0]
    assert worker.taking is not None
    for task in generations.old[0].giving._tasks:
        task.cancel()  # dead
    await asyncio.sleep(0.01)
    for sender in generations.old[0].giving._senders:
        sender.close()
    worker.taking.start()
    worker.taking.lose(0)
    assert worker.is_complete
    taken = [user for user in clients if worker.gateway.sessions.find("default", user)]
    assert taken
    assert set(taken) <= set(away)
    for user in taken:
        worker.gateway.router.receive(push(user, "still here"))
        assert (await clients[user].receive())["data"] == "still here"
        assert await clients[user].is_quiet()


async def test_of_a_shard_that_is_here_in_part_only_the_rest_is_closed(make: MakeGenerations) -> None:
    """Nobody knows any more which messages its sessions have."""
    generations = make()
    client = await generations.join("alice")
    generations.prepare()
    gateway, worker = generations.old[0].gateway, generations.new[0]
    assert worker.taking is not None
    (session,) = gateway.sessions.find("default", "alice")
    state = gateway.sessions.hand_over(session)
    sender = Sender(generations.channels[0][1])
    await sender.send(Sessions(shard_of("default", "alice"), [encode_state(state)]), [session.fd])
    worker.taking.start()
    await gateway.until(lambda: bool(worker.gateway.sessions.find("default", "alice")))
    worker.taking.lose(0)
    assert (await client.receive_close())[0] == 4000
    assert worker.is_complete


async def test_nothing_is_said_about_users_who_are_handed_over(make: MakeGenerations) -> None:
    generations = make()
    await generations.join("alice")
    knows = generations.old[0].giving.knows
    asked = Find("default", "alice"), Reach("default", 7), Count("default")
    assert [knows(question) for question in asked] == [True, True, True]
    await generations.hand_over()
    assert [knows(question) for question in asked] == [False, False, True]


async def test_a_record_that_makes_no_sense_costs_its_own_session_alone(make: MakeGenerations) -> None:
    generations = make()
    alice, bob = [await generations.join(user) for user in ("alice", "bob")]
    generations.prepare()
    old, worker = generations.old[0].gateway, generations.new[0]
    records, fds = [], []
    for user in ("alice", "bob"):
        (session,) = old.sessions.find("default", user)
        state = old.sessions.hand_over(session)
        if user == "alice":
            state.reader = [b"", 1]
        records.append(encode_state(state))
        fds.append(session.fd)
    sender = Sender(generations.channels[0][1])
    await sender.send(Sessions(shard_of("default", "bob"), records), fds)
    assert worker.taking is not None
    worker.taking.start()
    assert (await alice.receive_close())[0] == 1006
    bob.send({"type": "ping"})
    assert (await bob.receive())["type"] == "pong"
    assert worker.gateway.sessions.find("default", "alice") == ()
    assert worker.gateway.count("connections") == 1


async def test_a_session_that_cannot_be_taken_over_ends_here(
    make: MakeGenerations, monkeypatch: pytest.MonkeyPatch
) -> None:
    generations = make()
    client = await generations.join("alice", "&device=phone")
    old, new = generations.old[0].gateway.sessions, generations.new[0].gateway.sessions

    def fail(channel: Any, place: Any) -> bool:
        raise InboxUnavailable("away")

    devices = SimpleNamespace(hand_over=lambda channel: ("epoch", False, False, [0] * 8), take_over=fail, end=str)
    monkeypatch.setattr(old, "devices", devices)
    monkeypatch.setattr(new, "devices", devices)
    await generations.hand_over()
    assert (await client.receive_close())[0] == 1011
    assert new.find("default", "alice") == ()


async def test_nothing_is_remembered_of_a_hand_over_that_is_long_over(
    make: MakeGenerations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taking, "LINGER", 0.01)
    generations = make()
    client = await generations.join("alice")
    generations.prepare()
    generations.old[0].gateway.router.receive(push("alice", "before"))
    generations.begin()
    generations.receive()
    router, part = generations.new[0].gateway.router, generations.new[0].taking
    assert part is not None
    await generations.new[0].gateway.until(lambda: router.detour is None)
    assert not any((part._holding._notes, part._holding._homes, part._holding._here, part._holding._given))
    router.receive(push("alice", "after"))
    assert [(await client.receive())["data"] for _ in range(2)] == ["before", "after"]


async def test_a_hand_over_that_follows_soon_knows_all_that_was_taken(
    make: MakeGenerations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taking, "LINGER", 0.05)
    generations = make()
    client = await generations.join("alice")
    generations.prepare()
    generations.begin()
    generations.receive()
    worker = generations.new[0]
    router = worker.gateway.router
    worker.giving.note()  # the next generation begins, while what comes late from the last one is still left out
    router.receive(push("alice", "one"))
    await worker.gateway.until(lambda: router.detour is None)
    router.receive(push("alice", "two"))
    assert [(await client.receive())["data"] for _ in range(2)] == ["one", "two"]
    assert len(worker.giving._notes) == 2


def test_a_record_of_a_newer_version_is_read() -> None:
    state = SessionState("t", "u", None, (), 0, 0, 0, 7, bytes(16), "agent", 0, 0, 0)
    longer = bytearray(encode_state(state))
    assert longer[0] == 0xDC
    longer[2] += 1
    assert decode_state(bytes(longer) + b"\xa5later") == state
    with pytest.raises(ValueError, match="not the state of a session"):
        decode_state(b"\x93")
