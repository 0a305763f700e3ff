"""Devices that do not read, that connect twice, that come back after a stop, and that begin now."""

import asyncio
import os
import random
import signal
from collections.abc import Callable
from contextlib import suppress

import httpx

from tests.faults.reliable_device import REPLACED, Device
from tests.faults.reliable_ledger import Ledger, Push
from tests.rig.client import WsClient
from tests.rig.node import RunningNode, is_alive, wait_until

MakeNode = Callable[..., RunningNode]

USERS, NAMES, EACH, SIZE = 250, ("a", "b", "c", "d"), 40, 2048
WARM = 8
"""Rounds of pushes after which memory is compared: then the workers have done everything once."""
MEMORY = 32 * 1024 * 1024
"""Bytes that both workers together may hold more at the end, of what they read at once for many; what is not taken
meanwhile comes to 65 MB, and with what an object costs to twice that."""


def path(node: RunningNode, query: str = "", user: str = "alice") -> str:
    return f"/ws?token={node.token(user)}&device=phone{query}"


async def until(condition: Callable[[], bool], patience: float = 20.0) -> None:
    async with asyncio.timeout(patience):
        while not condition():
            await asyncio.sleep(0.05)


async def test_devices_that_do_not_read_cost_no_memory_and_get_everything_when_they_do(make_node: MakeNode) -> None:
    node = make_node("--workers", "2", PUSHGATE_LIMITS_HANDSHAKES_PER_ADDRESS="0")
    node.start()
    ledger = Ledger(random.Random(1))
    users = [f"user{number}" for number in range(USERS)]
    devices = [
        Device(
            lambda: node.clients_address,
            user,
            name,
            node.token(user),
            ledger.complain,
            random.Random(number),
            deaf=True,
        )
        for number, user in enumerate(users)
        for name in NAMES
    ]
    try:
        for device in devices:
            device.connect()
        await until(lambda: all(device.is_welcome for device in devices))
        before = 0
        for number in range(1, EACH + 1):
            if number == WARM:
                before = memory(node)
            pushes = [Push(user, number) for user in users]
            for push, answer in zip(pushes, await asyncio.to_thread(push_all, node, pushes), strict=True):
                ledger.accepted[push] = answer["offset"]
        grown = memory(node) - before
        assert sum(len(device.received) for device in devices) < len(devices) * EACH / 10
        for device in devices:
            device.listen()

        def settled() -> bool:
            for device in devices:
                device.settle()
            return ledger.missing(devices) <= 0

        await until(settled, 60)
        assert ledger.judge(devices) == []
        assert not any(device.closes for device in devices)
        print(f"{grown / 2**20:.1f} MiB more, {sum(device.duplicates for device in devices)} duplicates")
        assert grown < MEMORY
    finally:
        for device in devices:
            device.stop()


def push_all(node: RunningNode, pushes: list[Push]) -> list[dict[str, int]]:
    body = [{"user": push.target, "id": push.id, "qos": "reliable", "data": "x" * SIZE} for push in pushes]
    headers = {"Authorization": f"Bearer {node.key}"}
    answer = httpx.post(f"{node.api}/v1/push/batch", json={"pushes": body}, headers=headers, timeout=20)
    answers: list[dict[str, int]] = answer.json()["results"]
    return answers


def memory(node: RunningNode) -> int:
    """Return the bytes that the workers hold alone."""
    total = 0
    for pid in node.worker_pids:
        with open(f"/proc/{pid}/smaps_rollup") as rollup:
            total += sum(int(line.split()[1]) * 1024 for line in rollup if line.startswith("Private_"))
    return total


async def test_a_device_that_is_replaced_in_the_middle_of_a_stream_loses_nothing(make_node: MakeNode) -> None:
    node = make_node("--workers", "2")
    node.start()
    ledger = Ledger(random.Random(1))
    devices = [
        Device(
            lambda: node.clients_address,
            "alice",
            name,
            node.token("alice"),
            ledger.complain,
            random.Random(1),
            keeps_cursor=name == "own",
        )
        for name in ("own", "theirs")
    ]
    try:
        for device in devices:
            device.connect()
        await until(lambda: all(device.is_welcome for device in devices))
        for number in range(1, 151):
            push = Push("alice", number)
            (answer,) = await asyncio.to_thread(push_all, node, [push])
            ledger.accepted[push] = answer["offset"]
            if number % 5 == 0:
                for device in devices:
                    device.settle()
                    device.connect()

        def settled() -> bool:
            for device in devices:
                device.settle()
            return ledger.missing(devices) <= 0

        await until(settled)
        assert ledger.judge(devices) == []
        assert all(len(device.welcomes) > 20 for device in devices)
        assert node.metrics()[f'connections_closed_total{{code="{REPLACED}"}}'] > 40
    finally:
        for device in devices:
            device.stop()


async def test_a_stop_stores_the_cursors(make_node: MakeNode) -> None:
    node = make_node("--workers", "2")
    node.start()
    clients = {
        user: await WsClient.join(node.clients_port, path(node, user=user)) for user in ("alice", "bob", "carol")
    }
    offsets = {}
    for user, client in clients.items():
        for _ in range(3):
            assert node.push(user, qos="reliable").status_code == 202
            offsets[user] = (await client.receive())["offset"]
        client.send({"type": "ack", "offset": offsets[user]})
        assert await client.is_quiet(), "it was taken"
    await asyncio.to_thread(node.stop)
    await asyncio.to_thread(node.start)
    for user, offset in offsets.items():
        client = await WsClient.join(node.clients_port, path(node, user=user))
        assert (client.welcome["cursor"], client.welcome["missed"]) == (offset, False)
        assert await client.is_quiet(), "not a single duplicate"


async def test_who_begins_now_has_begun_whatever_dies_then(make_node: MakeNode) -> None:
    node = make_node("--workers", "2")
    node.start()
    for _ in range(3):
        old = node.push("alice", "old", qos="reliable").json()["offset"]
    client = await WsClient.join(node.clients_port, path(node, "&from=now"))
    everyone = [*node.worker_pids, node.nats_pid]
    node.kill()
    for pid in everyone:
        with suppress(ProcessLookupError):  # workers end by themselves when their supervisor is gone
            os.kill(pid, signal.SIGKILL)
    assert client.welcome["cursor"] == old
    wait_until(lambda: not any(map(is_alive, everyone)), "all are gone")
    await asyncio.to_thread(node.start)
    assert node.push("alice", "new", qos="reliable").status_code == 202
    client = await WsClient.join(node.clients_port, path(node, "&from=now"))
    assert (client.welcome["cursor"], client.welcome["missed"]) == (old, False)
    assert (await client.receive())["data"] == "new"
