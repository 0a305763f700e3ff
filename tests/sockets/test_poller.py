import asyncio
import os
import socket
import struct
from collections.abc import Callable, Iterator
from select import EPOLLIN, EPOLLOUT

import pytest
from structlog.testing import capture_logs

from pushgate.metrics.rows import Rows
from pushgate.sockets.poller import LINGER_TICKS, Poller


class Recorder:
    """A handler that keeps what it reads, by descriptor; None marks the end."""

    def fail(self, fd: int) -> None:
        self.failed.append(fd)
        self.poller.close(fd)

    def __init__(self, poller: Poller) -> None:
        self.poller = poller
        self.read: dict[int, list[bytes | None]] = {}
        self.failed: list[int] = []
        self.on_read: Callable[[int], None] = lambda fd: None

    def readable(self, fd: int) -> None:
        size = self.poller.read(fd)
        if size < 0:
            return
        self.read.setdefault(fd, []).append(bytes(self.poller.buffer[:size]) if size else None)
        if size == 0:
            self.poller.close(fd)
        self.on_read(fd)


@pytest.fixture
def pairs() -> Iterator[Callable[[], tuple[int, socket.socket]]]:
    peers: list[socket.socket] = []

    def make() -> tuple[int, socket.socket]:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        peers.append(theirs)
        return ours.detach(), theirs

    yield make
    for peer in peers:
        peer.close()


def make_poller(bound: int = 1024) -> tuple[Poller, Recorder]:
    poller = Poller(asyncio.get_running_loop(), bound, Rows(1).row(0))
    return poller, Recorder(poller)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


async def test_reads_and_sees_the_end(pairs: Callable[[], tuple[int, socket.socket]]) -> None:
    poller, recorder = make_poller()
    fd, peer = pairs()
    poller.add(fd, recorder)
    peer.send(b"one")
    await until(lambda: fd in recorder.read)
    peer.close()
    await until(lambda: recorder.read[fd] == [b"one", None])
    assert poller.handlers[fd] is None
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    poller.stop()


async def test_a_number_never_means_two_sockets_in_one_batch(pairs: Callable[[], tuple[int, socket.socket]]) -> None:
    """The first of two ready sockets closes the second: its event must not reach whoever gets its number."""
    poller, recorder = make_poller()
    (first, first_peer), (second, second_peer) = pairs(), pairs()
    newcomers: list[tuple[int, socket.socket]] = []

    def close_the_other(fd: int) -> None:
        other = second if fd == first else first
        if not newcomers:
            poller.close(other)
            newcomers.append(pairs())
            poller.add(newcomers[0][0], recorder)
            assert newcomers[0][0] != other, "the number is kept from reuse until the batch is done"

    recorder.on_read = close_the_other
    poller.add(first, recorder)
    poller.add(second, recorder)
    first_peer.send(b"a")
    second_peer.send(b"b")
    await until(lambda: bool(recorder.read))
    await asyncio.sleep(0)
    assert len(recorder.read) == 1
    reused, peer = pairs()
    assert reused in (first, second), "afterwards the number is free again"
    poller.add(reused, recorder)
    recorder.read.clear()
    peer.send(b"new")
    await until(lambda: recorder.read.get(reused) == [b"new"])
    poller.stop()


async def test_parks_what_a_socket_does_not_take(pairs: Callable[[], tuple[int, socket.socket]]) -> None:
    poller, recorder = make_poller(bound=5_000_000)
    fd, peer = pairs()
    poller.add(fd, recorder)
    sent = b""
    for number in range(60):
        chunk = bytes([number]) * 20_000
        assert poller.write(fd, chunk)
        sent += chunk
    assert poller.is_parked(fd)
    received = bytearray()
    async with asyncio.timeout(5):
        while len(received) < len(sent):
            try:
                received += peer.recv(65536)
            except BlockingIOError:
                await asyncio.sleep(0)
    assert bytes(received) == sent
    assert not poller.is_parked(fd)
    poller.close(fd)
    poller.stop()


async def test_the_bound(pairs: Callable[[], tuple[int, socket.socket]]) -> None:
    poller, recorder = make_poller(bound=10_000)
    fd, _ = pairs()
    poller.add(fd, recorder)
    while not poller.is_parked(fd):
        assert poller.write(fd, b"x" * 5_000)
    while poller.write(fd, b"y" * 3_000):
        pass
    assert not poller.write(fd, b"z" * 3_000)
    assert poller._parked[fd].size <= 10_000
    poller.close(fd)
    poller.stop()


async def test_who_is_turned_away_gets_the_last_word_and_the_end(
    pairs: Callable[[], tuple[int, socket.socket]],
) -> None:
    poller, _ = make_poller()
    fd, theirs = pairs()
    theirs.send(b"unread")
    poller.turn_away(fd, b"no")
    assert (theirs.recv(10), theirs.recv(10)) == (b"no", b"")
    assert poller.leaving == 1
    theirs.close()
    await until(lambda: poller.leaving == 0)
    poller.stop()


async def test_finish_sends_all_then_ends_and_waits_for_the_peer(
    pairs: Callable[[], tuple[int, socket.socket]],
) -> None:
    poller, recorder = make_poller(bound=1_000_000)
    fd, peer = pairs()
    poller.add(fd, recorder)
    total = 0
    while not poller.is_parked(fd):
        poller.write(fd, b"x" * 50_000)
        total += 50_000
    poller.finish(fd, b"last")
    assert poller.leaving == 1
    received = bytearray()
    async with asyncio.timeout(5):
        while True:
            try:
                data = peer.recv(65536)
            except BlockingIOError:
                await asyncio.sleep(0)
                continue
            if not data:
                break
            received += data
    assert len(received) == total + 4
    assert received.endswith(b"last")
    peer.send(b"still talking")
    peer.close()
    await until(lambda: poller.leaving == 0)
    assert poller.handlers[fd] is None
    poller.stop()


async def test_a_peer_that_never_closes_is_closed_in_the_end(pairs: Callable[[], tuple[int, socket.socket]]) -> None:
    poller, recorder = make_poller()
    fd, _ = pairs()
    poller.add(fd, recorder)
    poller.finish(fd, b"bye")
    for _ in range(LINGER_TICKS - 1):
        poller.tick()
    assert poller.leaving == 1
    poller.tick()
    assert poller.leaving == 0
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    poller.stop()


async def test_writing_to_a_peer_that_is_gone(pairs: Callable[[], tuple[int, socket.socket]]) -> None:
    poller, recorder = make_poller()
    fd, peer = pairs()
    poller.add(fd, recorder)
    peer.close()
    assert poller.write(fd, b"x")
    assert poller.write(fd, b"x")
    await until(lambda: recorder.read.get(fd) == [None])
    poller.stop()


async def test_a_released_descriptor_is_no_longer_watched(pairs: Callable[[], tuple[int, socket.socket]]) -> None:
    poller, recorder = make_poller()
    fd, peer = pairs()
    twin = os.dup(fd)  # as when another process holds it: closing alone would leave it in the epoll
    poller.add(fd, recorder)
    poller.release(fd)
    os.close(fd)
    peer.send(b"not for us")
    other, other_peer = pairs()
    poller.add(other, recorder)
    other_peer.send(b"for us")
    await until(lambda: bool(recorder.read))
    assert recorder.read == {other: [b"for us"]}
    os.close(twin)
    poller.close(other)
    poller.stop()


async def test_many_busy_sockets_are_served_in_slices(pairs: Callable[[], tuple[int, socket.socket]]) -> None:
    """A batch is bounded: between two of them the loop does other things."""
    poller, recorder = make_poller()
    made = [pairs() for _ in range(600)]
    for fd, peer in made:
        poller.add(fd, recorder)
        peer.send(b"x")
    turns = 0
    async with asyncio.timeout(5):
        while len(recorder.read) < 600:
            await asyncio.sleep(0)
            turns += 1
    assert turns >= 3
    for fd, _ in made:
        poller.close(fd)
    poller.stop()


async def test_a_fault_costs_its_own_descriptor_alone(pairs: Callable[[], tuple[int, socket.socket]]) -> None:
    poller, recorder = make_poller()
    (first, first_peer), (second, second_peer) = pairs(), pairs()

    def boom(fd: int) -> None:
        if fd == first:
            raise RuntimeError("a bug")

    recorder.on_read = boom
    poller.add(first, recorder)
    poller.add(second, recorder)
    with capture_logs() as logs:
        first_peer.send(b"a")
        second_peer.send(b"b")
        await until(lambda: len(recorder.read) == 2)
    assert recorder.failed == [first]
    assert len(logs) == 1
    second_peer.send(b"c")
    await until(lambda: recorder.read[second] == [b"b", b"c"])
    poller.close(second)
    poller.stop()


async def test_a_fault_after_a_batch_leaks_nothing(pairs: Callable[[], tuple[int, socket.socket]]) -> None:
    poller, recorder = make_poller()
    loop = asyncio.get_running_loop()
    faults: list[object] = []
    loop.set_exception_handler(lambda _, context: faults.append(context["exception"]))

    def boom() -> None:
        raise RuntimeError("a bug")

    poller.after_batch(boom)
    fd, peer = pairs()
    poller.add(fd, recorder)
    peer.close()
    await until(lambda: bool(faults))
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    poller.stop()


async def test_a_socket_that_takes_its_last_bytes_slowly_is_given_the_time(
    pairs: Callable[[], tuple[int, socket.socket]],
) -> None:
    poller, recorder = make_poller(bound=5_000_000)
    fd, peer = pairs()
    poller.add(fd, recorder)
    while not poller.is_parked(fd):
        poller.write(fd, b"x" * 100_000)
    for _ in range(8):
        poller.write(fd, b"x" * 100_000)
    poller.finish(fd, b"last")
    received = b""
    for _ in range(200):
        for _ in range(LINGER_TICKS - 1):
            poller.tick()
        try:
            data = peer.recv(1_000_000)
        except BlockingIOError:
            data = b""
        received += data
        for _ in range(3):
            await asyncio.sleep(0)
        if received.endswith(b"last"):
            break
    assert received.endswith(b"last")
    peer.close()
    await until(lambda: poller.leaving == 0)
    poller.stop()


async def test_what_is_watched_can_change(pairs: Callable[[], tuple[int, socket.socket]]) -> None:
    poller, recorder = make_poller()
    fd, peer = pairs()
    poller.add(fd, recorder)
    poller.change(fd, EPOLLIN, 0)
    peer.send(b"one")
    peer.shutdown(socket.SHUT_RDWR)
    assert not poller._epoll.poll(0), "not even the end is told"
    poller.change(fd, 0, EPOLLIN)
    await until(lambda: recorder.read.get(fd) == [b"one", None])
    other, _ = pairs()
    called: list[int] = []

    class Writer(Recorder):
        def readable(self, fd: int) -> None:
            called.append(fd)

    poller.add(other, Writer(poller))
    poller.change(other, EPOLLIN, EPOLLOUT)
    await until(lambda: called[:1] == [other])  # there is room
    poller.close(other)
    poller.stop()


async def test_who_has_left_is_known_though_not_on_the_poller(pairs: Callable[[], tuple[int, socket.socket]]) -> None:
    poller, _ = make_poller()
    fd, peer = pairs()
    peer.send(b"something to read first")
    assert not poller.has_left(fd)
    peer.close()
    assert poller.has_left(fd)
    os.close(fd)
    server = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(server.getsockname())
    connection, _ = server.accept()
    assert not poller.has_left(connection.fileno())
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()  # by a reset
    await until(lambda: poller.has_left(connection.fileno()))
    connection.close()
    server.close()
    poller.stop()
