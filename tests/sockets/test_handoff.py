import asyncio
import os
import socket
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from pushgate.metrics.rows import Rows
from pushgate.sockets import handoff
from pushgate.sockets.handoff import HandOffs, open_channel
from pushgate.sockets.poller import Poller


class Node:
    """Two workers' ends in one loop: number 0 sends, number 1 receives."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.channels = [open_channel() for _ in range(2)]
        self.rows = Rows(2)
        self.arrived: list[tuple[int, bytes]] = []
        self.pollers = [Poller(loop, 1024, self.rows.row(index)) for index in range(2)]
        sending = [end for _, end in self.channels]
        self.handoffs = [
            HandOffs(
                self.channels[index][0],
                sending,
                self.pollers[index],
                self.rows.row(index),
                lambda fd, record: self.arrived.append((fd, record)),
                loop.call_later,
            )
            for index in range(2)
        ]
        for handoffs in self.handoffs:
            handoffs.start()

    async def until_arrived(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.arrived) < count:
                await asyncio.sleep(0)

    def stop(self) -> None:
        for poller in self.pollers:
            poller.stop()
        for receiving, sending in self.channels:
            receiving.close()
            sending.close()
        for fd, _ in self.arrived:
            os.close(fd)


async def test_sockets_arrive_with_their_records() -> None:
    node = Node()
    peers = []
    for number in range(150):
        ours, theirs = socket.socketpair()
        peers.append(theirs)
        assert node.handoffs[0].send(1, ours.detach(), b"record %d" % number)
    node.handoffs[0].flush()
    await node.until_arrived(150)
    assert [record for _, record in node.arrived] == [b"record %d" % number for number in range(150)]
    for (fd, record), peer in zip(node.arrived, peers, strict=True):
        os.write(fd, record)
        assert peer.recv(100) == record
        assert not os.get_inheritable(fd)
        peer.close()
    node.stop()


async def test_large_records_are_split_over_packets() -> None:
    node = Node()
    for number in range(12):
        ours, theirs = socket.socketpair()
        theirs.close()
        node.handoffs[0].send(1, ours.detach(), bytes([number]) * 60_000)
    node.handoffs[0].flush()
    await node.until_arrived(12)
    assert [record[0] for _, record in node.arrived] == list(range(12))
    node.stop()


async def test_a_full_channel_waits_and_a_fuller_one_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handoff, "WAITING_BOUND", 50)
    node = Node()
    node.pollers[1].release(node.channels[1][0].fileno())  # the receiver stands still
    sent = 0
    while True:
        ours, theirs = socket.socketpair()
        theirs.close()
        fd = ours.detach()
        if not node.handoffs[0].send(1, fd, b"x" * 20_000):
            os.close(fd)
            break
        sent += 1
        node.handoffs[0].flush()
        assert sent < 10_000
    assert not node.arrived
    node.pollers[1].add(node.channels[1][0].fileno(), node.handoffs[1])
    await node.until_arrived(sent)
    node.stop()


async def test_what_waits_for_a_dead_worker_reaches_its_successor() -> None:
    node = Node()
    ours, theirs = socket.socketpair()
    node.pollers[1].stop()  # the worker dies; the supervisor holds its channel
    node.handoffs[0].send(1, ours.detach(), b"patient")
    node.handoffs[0].flush()
    await asyncio.sleep(0)
    poller = node.pollers[1] = Poller(asyncio.get_running_loop(), 1024, node.rows.row(1))
    HandOffs(
        node.channels[1][0],
        [],
        poller,
        node.rows.row(1),
        lambda fd, record: node.arrived.append((fd, record)),
        asyncio.get_running_loop().call_later,
    ).start()
    await node.until_arrived(1)
    assert node.arrived[0][1] == b"patient"
    theirs.close()
    node.stop()


async def test_a_packet_that_nobody_understands_is_dropped() -> None:
    node = Node()
    ours, theirs = socket.socketpair()
    with ours, theirs, capture_logs() as logs:
        socket.send_fds(node.channels[1][1], [b"nonsense"], [ours.fileno()])
        ours.close()
        theirs.settimeout(5)
        for _ in range(5):
            await asyncio.sleep(0)
        assert theirs.recv(1) == b"", "the descriptor was closed"
    assert not node.arrived
    assert [entry["event"] for entry in logs] == ["a hand-off could not be read"]
    node.stop()


async def test_files_that_run_out_on_arrival(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel drops descriptors that do not fit: those clients go, the others are served."""
    node = Node()
    made: list[tuple[int, bytes]] = []
    for number in range(3):
        ours, theirs = socket.socketpair()
        theirs.close()
        made.append((ours.detach(), b"%d" % number))
    real: Callable[..., tuple[bytes, list[tuple[int, int, bytes]], int, object]] = node.channels[1][0].recvmsg

    class Cramped:
        """A channel whose second and third descriptor did not fit."""

        def fileno(self) -> int:
            return node.channels[1][0].fileno()

        def recvmsg(self, *args: int) -> tuple[bytes, list[tuple[int, int, bytes]], int, object]:
            packet, ancillary, flags, address = real(*args)
            ((level, kind, data),) = ancillary
            for position in (4, 8):
                os.close(int.from_bytes(data[position : position + 4], "little"))
            return packet, [(level, kind, data[:4])], flags, address

    monkeypatch.setattr(node.handoffs[1], "_receiving", Cramped())
    for fd, record in made:
        node.handoffs[0].send(1, fd, record)
    node.handoffs[0].flush()
    await node.until_arrived(1)
    assert [record for _, record in node.arrived] == [b"0"]
    node.stop()


async def test_one_arrival_that_fails_takes_no_other_along() -> None:
    node = Node()
    arrived: list[bytes] = []

    def take(fd: int, record: bytes) -> None:
        if record == b"1":
            raise RuntimeError("a bug")
        arrived.append(record)
        os.close(fd)

    node.handoffs[1]._on_arrival = take
    peers = []
    for number in range(3):
        ours, theirs = socket.socketpair()
        theirs.settimeout(5)
        peers.append(theirs)
        node.handoffs[0].send(1, ours.detach(), b"%d" % number)
    with capture_logs() as logs:
        node.handoffs[0].flush()
        async with asyncio.timeout(5):
            while len(arrived) < 2:
                await asyncio.sleep(0)
    assert arrived == [b"0", b"2"]
    assert [entry["event"] for entry in logs] == ["a connection could not be taken over"]
    for peer in peers:
        assert peer.recv(1) == b"", "no descriptor leaked"
        peer.close()
    node.stop()
