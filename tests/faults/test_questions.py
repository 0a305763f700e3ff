"""Users are found and kicked whichever worker and node is asked; workers are killed and nodes stopped meanwhile."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest
import pytest_asyncio

from pushgate.sessions.replacing import SETTLED
from tests.fakes.nats import PlainNats, freeze
from tests.faults.test_processes import MakeNode, join_all
from tests.rig.client import WsClient
from tests.rig.node import RunningNode, wait_until


def call(node: RunningNode, method: str, path: str) -> httpx.Response:
    """Call the API on a connection of its own, which any worker may take."""
    with caller(node) as http:
        return http.request(method, path)


def caller(node: RunningNode) -> httpx.Client:
    return httpx.Client(base_url=node.api, headers={"Authorization": f"Bearer {node.key}"}, timeout=5)


def caller_of(node: RunningNode, pid: int) -> httpx.Client:
    """Return a caller whose connection a certain worker has taken, as the only one that could."""
    others = [other for other in node.worker_pids if other != pid]
    for other in others:
        freeze(other)
    try:
        while True:
            http = caller(node)
            try:
                http.get("/healthz", timeout=1)
                return http
            except httpx.TimeoutException:
                http.close()  # the kernel had woken a stopped one for it
    finally:
        for other in others:
            os.kill(other, signal.SIGCONT)


def find(http: httpx.Client, user: str) -> dict[str, Any]:
    response = http.get(f"/v1/users/{user}")
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def check_found(callers: list[httpx.Client], clients: dict[str, WsClient]) -> None:
    """Ask each worker for each user."""
    for http in callers:
        for user, client in clients.items():
            answer = find(http, user)
            assert [each["session"] for each in answer["sessions"]] == [client.welcome["session"]], user
            assert (answer["online"], answer["missing"]) == (True, [])


def find_at(node: RunningNode, user: str) -> dict[str, Any]:
    with caller(node) as http:
        return find(http, user)


async def test_any_user_is_found_and_kicked_whichever_worker_is_asked(make_node: MakeNode) -> None:
    node = make_node("--workers", "2")
    node.start()
    users = [f"user{number}" for number in range(20)]
    clients = await join_all(node, users)
    callers = [caller_of(node, pid) for pid in node.worker_pids]
    check_found(callers, clients)

    os.kill(node.worker_pids[1], signal.SIGKILL)
    callers.pop().close()
    lost = []
    for user in users:
        try:
            await clients[user].is_quiet()
        except (asyncio.IncompleteReadError, ConnectionError):
            lost.append(user)
    assert 3 < len(lost) < 17, "the users of one worker's shards"
    wait_until(lambda: len(node.worker_pids) == 2 and node.answers_ready(), "ready again")
    clients |= await join_all(node, lost)
    callers.append(caller_of(node, node.worker_pids[1]))
    check_found(callers, clients)
    for number, (user, client) in enumerate(clients.items()):
        response = callers[number % 2].delete(f"/v1/users/{user}/sessions")
        assert (response.status_code, response.json()) == (200, {"closed": 1, "missing": []})
        assert (await client.receive_close())[0] == 4503
        assert [find(http, user)["online"] for http in callers] == [False, False]
    for http in callers:
        http.close()


async def test_while_the_owner_is_away_nobody_is_said_to_be_offline(make_node: MakeNode) -> None:
    node = make_node("--workers", "2")
    node.start()
    clients = await join_all(node, [f"user{number}" for number in range(2, 6)])  # two of each worker's
    asked, stopped = node.worker_pids
    with closing(caller_of(node, asked)) as http:
        freeze(stopped)
        try:
            answers = {user: http.get(f"/v1/users/{user}") for user in clients}
            kick = {user: http.delete(f"/v1/users/{user}/sessions") for user in clients if answers[user].is_error}
        finally:
            os.kill(stopped, signal.SIGCONT)
        assert {answer.status_code for answer in answers.values()} == {200, 503}
        assert all(answer.json()["online"] for answer in answers.values() if answer.is_success)
        for answer in (*answers.values(), *kick.values()):
            assert answer.is_success or int(answer.headers["retry-after"]) >= 1
        assert {answer.status_code for answer in kick.values()} == {503}
        for user in kick:  # what was asked in vain was heard late, and is done
            assert (await clients[user].receive_close())[0] == 4503


async def test_while_the_bus_is_away_nobody_is_said_to_be_offline(make_node: MakeNode) -> None:
    node = make_node("--workers", "2")
    node.start()
    clients = await join_all(node, ["alice"])
    freeze(node.nats_pid)
    try:
        for method, path in (("GET", "/v1/users/alice"), ("DELETE", "/v1/users/bob/sessions"), ("GET", "/v1/stats")):
            response = await asyncio.to_thread(call, node, method, path)
            assert response.status_code == 503
            assert int(response.headers["retry-after"]) >= 1
    finally:
        os.kill(node.nats_pid, signal.SIGCONT)
    assert await clients["alice"].is_quiet()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningNode, RunningNode]]:
    """Two nodes on one NATS that know of each other."""
    home = tmp_path_factory.mktemp("pair")
    with closing(PlainNats(home / "nats", f'jetstream {{ store_dir: "{home}/streams" }}')) as nats:
        nodes = []
        for name in ("a", "b"):
            (home / name).mkdir()
            bus = ("--bus", f"nats://127.0.0.1:{nats.port}")
            nodes.append(RunningNode(home / name, "--workers", "2", *bus, PUSHGATE_NODE_NAME=name))
        a, b = nodes
        try:
            for node in nodes:
                node.launch()
            for node in nodes:
                wait_until(node.is_ready, "the node is ready")
            for node in nodes:
                wait_until(lambda node=node: names_of(node) == ["a", "b"], "the nodes know of each other")  # type: ignore[misc]
            yield a, b
        finally:
            for node in nodes:
                node.stop()


@pytest_asyncio.fixture
async def two_nodes(pair: tuple[RunningNode, RunningNode]) -> AsyncIterator[tuple[RunningNode, RunningNode]]:
    """The two nodes, to which nobody is connected."""
    yield pair
    await WsClient.close_all()
    for node in pair:
        wait_until(lambda node=node: node.metrics()["connections"] == 0, "all are gone")  # type: ignore[misc]


def names_of(node: RunningNode) -> list[str]:
    """Return the nodes as every worker of one knows them, or none while they disagree."""
    told = {tuple(each["node"] for each in call(node, "GET", "/v1/nodes").json()["nodes"]) for _ in range(8)}
    return list(told.pop()) if len(told) == 1 else []


def more(before: list[dict[str, Any]], now: list[dict[str, Any]]) -> list[tuple[int, int]]:
    """Return how many pushes and deliveries more there are in statistics than there were before."""
    grown = zip(before, now, strict=True)
    return [(new["pushes"] - old["pushes"], new["delivered"] - old["delivered"]) for old, new in grown]


async def test_a_user_of_another_node_is_found_and_kicked(two_nodes: tuple[RunningNode, RunningNode]) -> None:
    a, b = two_nodes
    before = call(a, "GET", "/v1/stats").json()
    clients = await join_all(b, [f"user{number}" for number in range(6)])
    at_a = await join_all(a, ["user0"])
    for user, client in clients.items():
        for node in (a, b):
            answer = find_at(node, user)
            expected = [("b", client.welcome["session"])]
            if user == "user0":
                expected.append(("a", at_a["user0"].welcome["session"]))
            assert sorted(expected) == sorted((each["node"], each["session"]) for each in answer["sessions"])
            assert answer["missing"] == []
    assert a.push("user5").status_code == 202
    assert (await clients["user5"].receive())["data"] == "hi"
    stats = call(a, "GET", "/v1/stats").json()
    assert [(each["node"], each["connections"]) for each in stats["nodes"]] == [("a", 1), ("b", 6)]
    assert more(before["nodes"], stats["nodes"]) == [(1, 0), (0, 1)]
    total = stats["total"]
    assert (total["connections"], total["users"]) == (7, 7)
    assert more([before["total"]], [total]) == [(1, 1)]
    assert total["pushes_per_second"] > 0
    assert total["delivered_per_second"] > 0
    nodes = call(b, "GET", "/v1/nodes").json()["nodes"]
    assert [(each["node"], each["workers"], each["ready"]) for each in nodes] == [("a", 2, True), ("b", 2, True)]

    session = clients["user1"].welcome["session"]
    response = call(a, "DELETE", f"/v1/users/user1/sessions/{session}")
    assert (response.status_code, response.json()) == (200, {"closed": 1, "missing": []})
    assert (await clients["user1"].receive_close())[0] == 4503
    assert call(a, "DELETE", f"/v1/users/user1/sessions/{session}").status_code == 404
    assert call(a, "DELETE", "/v1/users/user0/sessions").json() == {"closed": 2, "missing": []}
    for client in (clients["user0"], at_a["user0"]):
        assert (await client.receive_close())[0] == 4503
    assert call(b, "DELETE", "/v1/users/user2/sessions").json() == {"closed": 1, "missing": []}
    assert await clients["user3"].is_quiet()


async def test_a_device_that_connects_to_another_node_leaves_the_one_before(
    two_nodes: tuple[RunningNode, RunningNode],
) -> None:
    one, two = two_nodes
    path = f"/ws?token={one.token('alice')}&device=phone"
    old = await WsClient.join(one.clients_port, path)
    other = await WsClient.join(one.clients_port, f"/ws?token={one.token('alice')}&device=tablet")
    (since,) = (each["since"] for each in find_at(one, "alice")["sessions"] if each["device"] == "phone")
    wait_until(lambda: time.time() - since >= SETTLED, "it is old", SETTLED + 2)
    new = await WsClient.join(two.clients_port, f"/ws?token={two.token('alice')}&device=phone")
    assert (await old.receive_close())[0] == 4502
    assert one.push("alice", "here", qos="reliable").status_code == 202
    for client in (new, other):
        assert (await client.receive())["data"] == "here"
    for node in two_nodes:
        assert len(find_at(node, "alice")["sessions"]) == 2


def events_of(asked: RunningNode, node: str) -> list[dict[str, Any]]:
    """Return what happened to a node, as any worker of one tells it."""
    answer = call(asked, "GET", "/v1/events").json()
    assert answer["missing"] == []
    return [event for event in answer["events"] if event["node"] == node]


async def test_what_happens_to_a_node_is_told_by_all_through_an_upgrade(
    two_nodes: tuple[RunningNode, RunningNode],
) -> None:
    a, b = two_nodes
    killed = b.worker_pids[1]
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: "a worker ended" in [event["event"] for event in events_of(a, "b")], "its end is told")
    wait_until(lambda: len(b.worker_pids) == 2 and b.answers_ready(), "another one is there")
    said = await asyncio.to_thread(b.upgrade)
    assert said.returncode == 0, said.stderr
    wait_until(lambda: "handed over" in [event["event"] for event in events_of(a, "b")], "the old one has ended")
    b.reload()
    wait_until(lambda: events_of(a, "b")[-1]["event"] == "configuration reloaded", "the last one is told")
    for asked in (a, b, a, b):
        events = events_of(asked, "b")
        assert [event["time"] for event in events] == sorted(event["time"] for event in events)
        (ended,) = (event["facts"] for event in events if event["event"] == "a worker ended")
        assert (ended["pid"], ended["status"]) == (killed, -9)
        told = [event["event"] for event in events]
        for event, times in (("starting", 2), ("ready", 2), ("upgraded: the new one has everything", 1)):
            assert told.count(event) == times
        assert told.index("ready") < told.index("a worker ended") < told.index("upgrading")
    others = [event["facts"].get("other") for event in events_of(b, "a")]
    assert "b" in others


async def test_receipts_know_the_devices_of_all_workers_of_all_nodes(
    two_nodes: tuple[RunningNode, RunningNode],
) -> None:
    devices = {}
    for place, user in enumerate(f"user{number}" for number in range(8)):
        node = two_nodes[place % 2]
        path = f"/ws?token={node.token(user)}&device=phone&from=now"
        devices[user] = await WsClient.join(node.clients_port, path)
    pushed = two_nodes[0].push(None, qos="reliable").json()
    for place, client in enumerate(devices.values()):
        offset = (await client.receive())["offset"]
        assert offset == pushed["offset"]
        if place < 5:
            client.send({"type": "ack", "offset": offset})
    for node in two_nodes:
        path = f"/v1/messages/{pushed['id']}?everyone=true&offset={pushed['offset']}"
        wait_until(
            lambda node=node, path=path: (  # type: ignore[misc]
                call(node, "GET", path).json()["connected"] == {"devices": 8, "acknowledged": 5}
            ),
            "all devices are counted",
        )
        assert call(node, "GET", path).json()["missing"] == []
    one = two_nodes[1].push("user7", qos="reliable").json()
    for node in two_nodes:
        receipt = call(node, "GET", f"/v1/messages/{one['id']}?user=user7&offset={one['offset']}").json()
        [device] = receipt["devices"]
        assert (device["connected"], device["acknowledged"]) == (True, False)
        assert device["cursor"] < one["offset"]


async def test_a_node_that_stands_still_is_named(two_nodes: tuple[RunningNode, RunningNode]) -> None:
    a, b = two_nodes
    clients = await join_all(b, ["alice"])
    stopped = [b.pid, *b.worker_pids]
    for pid in stopped:
        freeze(pid)
    try:
        answer = find_at(a, "alice")
        assert (answer["online"], answer["sessions"], answer["missing"]) == (None, [], ["b"])
        stats = call(a, "GET", "/v1/stats").json()
        assert ([each["node"] for each in stats["nodes"]], stats["missing"]) == (["a"], ["b"])
        assert call(a, "DELETE", "/v1/users/alice/sessions").json() == {"closed": 0, "missing": ["b"]}
        response = call(a, "DELETE", f"/v1/users/alice/sessions/{clients['alice'].welcome['session']}")
        assert response.status_code == 503
        assert int(response.headers["retry-after"]) >= 1
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    wait_until(lambda: names_of(a) == ["a", "b"], "back again")


async def test_a_node_that_stops_is_not_missed(two_nodes: tuple[RunningNode, RunningNode]) -> None:
    a, b = two_nodes
    await asyncio.to_thread(b.stop)
    for _ in range(8):
        assert find_at(a, "alice") == {"user": "alice", "online": False, "sessions": [], "missing": []}
    await asyncio.to_thread(b.start)
    wait_until(lambda: names_of(a) == ["a", "b"], "back again")


async def test_a_node_that_died_and_is_back_is_one_node(two_nodes: tuple[RunningNode, RunningNode]) -> None:
    a, b = two_nodes
    await asyncio.to_thread(b.kill)
    assert find_at(a, "alice")["missing"] == ["b"]
    await asyncio.to_thread(b.start)

    def is_whole() -> bool:
        answers = [call(a, "GET", "/v1/nodes").json() for _ in range(8)]
        return all(len(each["nodes"]) == 2 and each["missing"] == [] for each in answers)

    wait_until(is_whole, "the old one is forgotten")
