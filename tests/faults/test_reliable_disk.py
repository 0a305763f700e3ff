"""A data directory on a small disk: the limits come first, and beyond them nothing accepted is lost either."""

import asyncio
import os
import random
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio

from tests.faults.reliable_callers import Caller
from tests.faults.reliable_device import Device
from tests.faults.reliable_ledger import Ledger
from tests.rig.node import RunningNode

MIB = 1024 * 1024
DISK = 48 * MIB
KEPT = 15
"""Seconds for which messages that fill it are kept."""
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a disk")


@pytest.fixture
def node(tmp_path: Path) -> Iterator[RunningNode]:
    """A node whose data directory is on a disk of DISK bytes."""
    disk = tmp_path / "data"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(disk)], check=True)
    node = RunningNode(tmp_path, "--workers", "2")
    try:
        node.start()
        yield node
        node.stop()
    finally:
        node.end_nats()
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


class Scene:
    """A user with a device on the line, one that comes later, and a caller."""

    def __init__(self, node: RunningNode) -> None:
        self.dice = random.Random(1)
        self.ledger = Ledger(self.dice)
        self._node = node
        self.devices: list[Device] = []
        self.last = 0
        self._settling = asyncio.create_task(self._settle())

    def connect(self, name: str) -> Device:
        node, ledger = self._node, self.ledger
        device = Device(lambda: node.clients_address, "alice", name, node.token("alice"), ledger.complain, self.dice)
        self.devices.append(device)
        device.connect()
        return device

    async def push(self, ttl: int = 3600, size: int = 200_000, attempts: int = 1) -> str:
        address = lambda: self._node.management_address  # noqa: E731
        caller = Caller(
            address, self._node.key, self.ledger, (), (), 0, self.dice, ttl=ttl, size=size, attempts=attempts
        )
        try:
            push = self.ledger.draw("alice")
            self.last = push.number
            return await caller.push(push)
        finally:
            caller.close()

    async def have_all(self, patience: float = 20) -> None:
        async with asyncio.timeout(patience):
            while self.ledger.missing(self.devices) > 0 or not all(device.is_welcome for device in self.devices):
                await asyncio.sleep(0.05)

    async def _settle(self) -> None:
        while True:
            await asyncio.sleep(0.1)
            for device in self.devices:
                device.settle()

    async def stop(self) -> None:
        self._settling.cancel()
        for device in self.devices:
            device.stop()


@pytest_asyncio.fixture
async def scene(node: RunningNode) -> AsyncIterator[Scene]:
    scene = Scene(node)
    yield scene
    await scene.stop()


async def test_the_limits_come_before_the_end_of_the_disk(node: RunningNode, scene: Scene) -> None:
    scene.connect("phone")
    await scene.have_all()
    async with asyncio.timeout(30):
        while await scene.push(ttl=KEPT) == "202":
            pass
    assert scene.ledger.refused == {"429 inbox_full": 1}
    assert len(scene.ledger.accepted) * 200_000 > DISK // 4
    assert room_of(node.data_dir) > DISK // 4, "there is room for everything else"
    scene.connect("tablet")  # which has no cursor yet
    await scene.have_all(KEPT / 2)
    scene.devices[0].cut()
    await scene.have_all(KEPT / 2)
    assert scene.ledger.judge(scene.devices) == []
    assert node.answers_ready()
    assert (await asyncio.to_thread(node.push, "alice")).status_code == 202, "a live one"
    async with asyncio.timeout(2 * KEPT):
        while await scene.push(ttl=KEPT) != "202":  # what is over makes room
            await asyncio.sleep(0.5)
    async with asyncio.timeout(5):
        while not all(device.received[-1][2] == f"alice-{scene.last}" for device in scene.devices):
            await asyncio.sleep(0.05)


async def test_a_full_disk_heals_once_there_is_room(node: RunningNode, scene: Scene) -> None:
    scene.connect("phone")
    await scene.have_all()
    for _ in range(20):
        assert await scene.push() == "202"
    filler = node.data_dir / "filler"
    fill(filler)
    while await scene.push() == "202":
        pass  # into blocks that it has already
    assert await scene.push(size=10) == "503", "not stored, not accepted"
    filler.unlink()
    assert await scene.push(attempts=3) == "202"
    scene.connect("tablet")
    await scene.have_all()
    assert scene.ledger.judge(scene.devices) == []
    assert node.total("nats_server_restarts_total") == 1


def room_of(directory: Path) -> int:
    stat = os.statvfs(directory)
    return stat.f_bavail * stat.f_frsize


def fill(file: Path) -> None:
    """Write until the disk is full."""
    with file.open("wb", buffering=0) as stream, suppress(OSError):
        while True:
            stream.write(bytes(MIB))
    assert room_of(file.parent) == 0
