"""Processes are killed, stopped and cut off; clients and callers see what was promised, and no more."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable

import httpx
import pytest

from tests.rig.client import Refused, WsClient
from tests.rig.node import RunningNode, is_alive, wait_until

MakeNode = Callable[..., RunningNode]


async def join_all(node: RunningNode, users: list[str]) -> dict[str, WsClient]:
    clients = {}
    for user in users:
        clients[user] = await WsClient.join(node.clients_port, f"/ws?token={node.token(user)}")
    return clients


async def is_closed(client: WsClient) -> bool:
    """Whether the server let go of a client (all that it said before is thrown away)."""
    try:
        await client.is_quiet()
    except (asyncio.IncompleteReadError, ConnectionError):
        return True
    return False


async def test_a_worker_killed_takes_only_its_own_clients_along(make_node: MakeNode) -> None:
    node = make_node("--workers", "2")
    node.start()
    users = [f"user{number}" for number in range(40)]
    clients = await join_all(node, users)
    opened = node.metrics()["connections_opened_total"]
    victim = node.worker_pids[1]
    os.kill(victim, signal.SIGKILL)
    lost = [user for user in users if await is_closed(clients[user])]
    assert 5 < len(lost) < 35, "the users of one worker's shards"
    again = await join_all(node, lost)
    assert len(node.worker_pids) == 2
    assert victim not in node.worker_pids
    wait_until(node.answers_ready, "ready again")
    for user in users:
        assert node.push(user, user).status_code == 202
        client = again.get(user) or clients[user]
        assert (await client.receive())["data"] == user
    after = node.metrics()
    assert after["connections_opened_total"] >= opened + len(lost), "no counter falls with its worker"
    assert [after[f'worker_restarts_total{{worker="{worker}"}}'] for worker in range(2)] == [0, 1]
    assert after["connections"] == len(users)


async def test_nobody_hangs_while_a_worker_of_four_is_killed(make_node: MakeNode) -> None:
    node = make_node("--workers", "4", PUSHGATE_LIMITS_HANDSHAKES_PER_ADDRESS="0")
    node.start()
    victim = node.worker_pids[2]
    window = asyncio.Semaphore(50)
    connected = retried = 0

    async def connect(number: int) -> None:
        nonlocal connected, retried
        async with window:
            if number == 150:
                os.kill(victim, signal.SIGKILL)
            for attempt in range(5):
                try:
                    await WsClient.join(node.clients_port, f"/ws?token={node.token(f'u{number}')}")
                except (asyncio.IncompleteReadError, ConnectionError, Refused):
                    retried += 1  # it was in the hands of the worker that died: told at once, not left hanging
                    assert attempt < 4
                else:
                    connected += 1
                    return

    async with asyncio.timeout(30):
        await asyncio.gather(*(connect(number) for number in range(400)))
    assert connected == 400
    assert retried < 100


async def test_a_killed_supervisor_leaves_no_worker_and_no_second_nats_server(make_node: MakeNode) -> None:
    node = make_node()
    node.start()
    workers, nats = node.worker_pids, node.nats_pid
    client = await WsClient.join(node.clients_port, f"/ws?token={node.token('alice')}")
    node.kill()
    wait_until(lambda: not any(map(is_alive, workers)), "the workers end with their supervisor")
    assert await is_closed(client)
    assert is_alive(nats)
    node.start()  # on the same ports, at once
    assert node.nats_pid == nats, "the server was adopted"
    client = await WsClient.join(node.clients_port, f"/ws?token={node.token('alice')}")
    assert node.push("alice").status_code == 202
    assert (await client.receive())["data"] == "hi"
    node.stop()
    wait_until(lambda: not is_alive(nats), "an adopted server is stopped with the node")


async def test_nats_server_killed_under_way(make_node: MakeNode) -> None:
    node = make_node("--workers", "2")
    node.start()
    clients = await join_all(node, [f"user{number}" for number in range(10)])
    old = node.nats_pid
    os.kill(old, signal.SIGSTOP)  # away, and not even an end of file to tell
    began = time.monotonic()
    answer = node.push("user0", "lost")
    assert answer.status_code == 503
    assert answer.json()["code"] == "bus_unavailable"
    assert int(answer.headers["retry-after"]) >= 1
    assert time.monotonic() - began < 5
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: node.nats_pid != old and is_alive(node.nats_pid), "started again")
    returned = time.monotonic()
    wait_until(lambda: node.metrics()["bus_gaps_total"] >= 2, "every worker is back on the bus, and says it was away")
    assert time.monotonic() - returned < 2
    for user, client in clients.items():
        assert node.push(user, user).status_code == 202
        assert (await client.receive())["data"] == user
    metrics = node.metrics()
    assert metrics["connections"] == 10, "connections stay"
    assert metrics["nats_server_restarts_total"] == 1
    assert metrics["bus_connected_workers"] == 2


async def test_a_graceful_stop(make_node: MakeNode) -> None:
    node = make_node()
    node.start()
    clients = await join_all(node, [f"user{number}" for number in range(20)])
    workers, nats = node.worker_pids, node.nats_pid
    stopping = asyncio.create_task(asyncio.to_thread(node.stop))
    for client in clients.values():
        reconnect = await client.receive()
        assert reconnect["type"] == "reconnect"
        assert 0 <= reconnect["after"] <= 3
        assert (await client.receive_close())[0] == 4000
        await client.close()
    await stopping
    assert not any(map(is_alive, [*workers, nats]))


async def test_who_comes_while_a_node_stops_is_refused_at_once(make_node: MakeNode) -> None:
    node = make_node(PUSHGATE_NODE_STOP_GRACE="3")
    node.start()
    deaf = await WsClient.join(
        node.clients_port, f"/ws?token={node.token('alice')}"
    )  # keeps the node stopping for a while
    stopping = asyncio.create_task(asyncio.to_thread(node.stop))
    assert (await deaf.receive())["type"] == "reconnect"
    for port in (node.clients_port, node.management_port):
        with pytest.raises(ConnectionError):
            await WsClient.open(port)
    assert not stopping.done()
    await stopping


async def test_who_is_welcome_after_a_restart_gets_every_push(make_node: MakeNode) -> None:
    """A new worker lets clients in only once it hears the bus: a push answered 202 after a welcome arrives."""
    node = make_node("--workers", "2")
    node.start()
    for number in range(6):
        wait_until(lambda: len(node.worker_pids) == 2, "both workers are there")
        os.kill(node.worker_pids[number % 2], signal.SIGKILL)
        for user in ("alice", "bob"):  # one of each worker's
            while True:
                try:
                    client = await WsClient.join(node.clients_port, f"/ws?token={node.token(user)}")
                    break
                except (asyncio.IncompleteReadError, ConnectionError, Refused):
                    continue
            while True:
                try:
                    status = (await asyncio.to_thread(node.push, user, number)).status_code
                    break
                except httpx.TransportError:
                    continue  # the worker that was asked had died
            assert status == 202
            assert (await client.receive())["data"] == number
            await client.close()


async def test_a_closed_terminal_stops_a_node_gracefully(make_node: MakeNode) -> None:
    node = make_node()
    terminal, end = os.openpty()
    node.terminal = end
    node.start()
    os.close(end)
    client = await WsClient.join(node.clients_port, f"/ws?token={node.token('alice')}")
    nats = node.nats_pid
    os.close(terminal)  # the kernel sends SIGHUP to the session that it led
    assert (await client.receive())["type"] == "reconnect"
    assert (await client.receive_close())[0] == 4000
    await client.close()
    wait_until(lambda: not is_alive(node.pid), "it stops")
    assert not is_alive(nats)


async def test_a_client_that_ignores_the_end_does_not_keep_a_node_from_stopping(make_node: MakeNode) -> None:
    node = make_node(PUSHGATE_NODE_STOP_GRACE="1")
    node.start()
    await WsClient.join(node.clients_port, f"/ws?token={node.token('alice')}")
    began = time.monotonic()
    await asyncio.to_thread(node.stop)
    assert time.monotonic() - began < 6


async def test_a_stopped_worker_that_goes_on_closes_nobody(make_node: MakeNode) -> None:
    node = make_node("--workers", "1", PUSHGATE_CLIENTS_PING_INTERVAL="0.5", PUSHGATE_CLIENTS_PONG_TIMEOUT="0.5")
    node.start()
    client = await WsClient.join(node.clients_port, f"/ws?token={node.token('alice')}")
    (worker,) = node.worker_pids
    message = asyncio.create_task(client.receive())  # pings are answered all the while
    os.kill(worker, signal.SIGSTOP)
    await asyncio.sleep(2.5)  # longer than the heartbeat allows
    os.kill(worker, signal.SIGCONT)
    assert (await asyncio.to_thread(node.push, "alice")).status_code == 202
    assert (await message)["data"] == "hi"


async def test_one_data_directory_one_node(make_node: MakeNode) -> None:
    node, other = make_node(), make_node()
    node.start()
    other.data_dir = node.data_dir
    assert other.launch().wait(20) == 1
    assert f"is used by another pushgate, pid {node.pid}" in other.log()
    assert node.push("alice").status_code == 202


async def test_what_keeps_a_node_from_starting(make_node: MakeNode) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        node = make_node()
        node.clients_port = taken.getsockname()[1]
        assert node.launch().wait(20) == 1
        assert f"cannot listen on 127.0.0.1:{node.clients_port}" in node.log()
    assert "Traceback" not in node.log()
    wrong = make_node(PUSHGATE_CLIENTS_PORT="eighty")
    assert wrong.launch().wait(20) == 2
    assert "clients.port" in wrong.log()
    nowhere = make_node(PUSHGATE_BUS_NATS_SERVER="/no/such/nats-server")
    assert nowhere.launch().wait(20) == 1
    assert "/no/such/nats-server" in nowhere.log()
    unknown = make_node("--bus", "carrier-pigeon://loft")
    assert unknown.launch().wait(20) == 2
    assert "bus.url" in unknown.log()
    many = make_node("--bus", "memory:", "--workers", "2")
    assert many.launch().wait(20) == 2
    assert "node.workers" in many.log()


async def test_the_memory_bus_needs_no_server(make_node: MakeNode) -> None:
    node = make_node("--bus", "memory:", "--workers", "1")
    node.start()
    client = await WsClient.join(node.clients_port, f"/ws?token={node.token('alice')}")
    assert node.push("alice").status_code == 202
    assert (await client.receive())["data"] == "hi"
    assert node.push(None, "all").status_code == 202
    assert (await client.receive())["data"] == "all"


async def test_metrics_of_any_worker_speak_for_the_node(make_node: MakeNode) -> None:
    node = make_node("--workers", "2")
    node.start()
    await join_all(node, [f"user{number}" for number in range(12)])
    for _ in range(6):  # a new connection each time: sooner or later both workers answered
        assert node.metrics()["connections"] == 12
    assert node.metrics()["users"] == 12
    metrics = node.metrics()
    for worker in range(2):
        assert metrics[f'worker_memory_bytes{{worker="{worker}"}}'] > 10_000_000
        assert metrics[f'worker_cpu_seconds_total{{worker="{worker}"}}'] > 0
    assert httpx.get(f"{node.api}/healthz").status_code == 200
