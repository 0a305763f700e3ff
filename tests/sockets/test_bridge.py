"""Copying between a client's TLS and its session: all of it, in order, bounded, up to the end of either."""

import asyncio
import os
import random
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from hashlib import sha256

import pytest
from structlog.testing import capture_logs

from pushgate.sockets.poller import BUFFER
from tests.rig.tls import TlsRig, read_all, retry, send_all

MakeTls = Callable[..., TlsRig]
KERNEL = 16 * 1024 * 1024
"""More than the kernel keeps of what nobody reads."""


async def fill(sock: socket.socket, chunk: bytes, rig: TlsRig) -> int:
    """Write until nothing more is taken and everything in between has come to rest; returns how much it was."""
    total = 0
    async with asyncio.timeout(20):
        while True:
            try:
                total += sock.send(chunk)
            except (ssl.SSLWantWriteError, BlockingIOError):
                if rig.idle:
                    return total
                await asyncio.sleep(0)
            assert total < KERNEL


async def read_exactly(sock: socket.socket, size: int) -> bytes:
    received = bytearray()
    while len(received) < size:
        received += await retry(partial(sock.recv, min(65536, size - len(received))))
    return bytes(received)


async def test_what_either_side_says_reaches_the_other(make_tls: MakeTls) -> None:
    rig = make_tls()
    client, session = await rig.join()
    for number in range(10):
        client.send(b"up %d" % number)
        assert await retry(lambda: session.recv(64)) == b"up %d" % number
        session.send(b"down %d" % number)
        assert await retry(lambda: client.recv(64)) == b"down %d" % number
    assert rig.idle


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_much_both_ways_at_once(make_tls: MakeTls, version: ssl.TLSVersion) -> None:
    rig = make_tls()
    rig.trust.maximum_version = version
    client, session = await rig.join()
    assert client.version() == version.name.replace("v1_", "v1.")
    up, down = random.Random(1).randbytes(5_000_000), random.Random(2).randbytes(5_000_000)
    _, _, came_up, came_down = await asyncio.gather(
        send_all(client, up), send_all(session, down), read_exactly(session, len(up)), read_exactly(client, len(down))
    )
    assert sha256(came_up).digest() == sha256(up).digest()
    assert sha256(came_down).digest() == sha256(down).digest()
    await rig.until(lambda: rig.idle)


async def test_pieces_of_every_size(make_tls: MakeTls) -> None:
    rig = make_tls()
    client, session = await rig.join()
    for source, sink in ((client, session), (session, client)):
        for size in (1, 16_383, 16_384, 16_385, BUFFER - 1, BUFFER, BUFFER + 1, 200_000):
            piece = random.Random(size).randbytes(size)
            _, came = await asyncio.gather(send_all(source, piece), read_exactly(sink, size))
            assert came == piece


async def test_a_client_that_does_not_read_stops_its_session(make_tls: MakeTls) -> None:
    rig = make_tls()
    client, session = await rig.join()
    total = await fill(session, b"x" * 10_000, rig)
    assert 0 < rig.count("write_buffer_bytes") <= BUFFER
    assert rig.idle, "nothing spins while it waits"
    client.send(b"but it writes")
    assert await retry(lambda: session.recv(64)) == b"but it writes"
    assert await read_exactly(client, total) == b"x" * total
    await rig.until(lambda: rig.count("write_buffer_bytes") == 0 and rig.idle)
    session.send(b"goes on")
    assert await retry(lambda: client.recv(64)) == b"goes on"


async def test_a_session_that_does_not_read_stops_its_client(make_tls: MakeTls) -> None:
    rig = make_tls()
    client, session = await rig.join()
    # The bytes of one record go out with the next send, whatever that is: nothing is sent after the last.
    total = await fill(client, b"x" * 10_000, rig)
    (pair,) = set(rig.tls._bridge._pairs.values())
    assert 0 < len(pair.up) <= BUFFER
    session.send(b"but it writes")
    assert await retry(lambda: client.recv(64)) == b"but it writes"
    received = bytearray()
    async with asyncio.timeout(10):
        while len(received) < total:
            with suppress(BlockingIOError):
                received += session.recv(65536)
            with suppress(ssl.SSLWantWriteError):
                total += client.send(b"x" * 10_000) if len(received) < total // 2 else 0
            await asyncio.sleep(0)
    assert bytes(received) == b"x" * total
    await rig.until(lambda: rig.idle)


@pytest.mark.parametrize("closes", [True, False])
async def test_the_last_bytes_of_a_session_reach_a_slow_client(make_tls: MakeTls, closes: bool) -> None:
    """The session ends while much is on its way: by closing, or by its half, as the poller does."""
    rig = make_tls()
    client, session = await rig.join()
    total = await fill(session, b"x" * 10_000, rig)
    if closes:
        session.close()
    else:
        session.shutdown(socket.SHUT_WR)
    await rig.until(lambda: rig.idle)
    assert rig.count("tls_connections") == 1
    assert await read_exactly(client, total) == b"x" * total
    assert await retry(lambda: client.recv(64)) == b"", "close_notify"
    assert rig.count("tls_connections") == 0
    raw = socket.socket(fileno=client.detach())
    assert await read_all(raw) == b"", "and then the end of the stream"
    raw.close()
    await rig.until(lambda: rig.poller.leaving == 0)
    if not closes:
        assert await read_all(session) == b""


async def test_a_close_frame_is_not_lost_with_a_client_that_goes_on_writing(make_tls: MakeTls) -> None:
    rig = make_tls()
    client, session = await rig.join()
    session.send(b"the close frame")
    session.close()
    for _ in range(50):
        with suppress(OSError):
            client.send(b"still talking" * 1000)
        await asyncio.sleep(0)
    assert await read_all(client) == b"the close frame"
    client.close()
    await rig.until(lambda: rig.poller.leaving == 0 and rig.idle)


async def test_a_client_that_is_told_the_end_and_never_closes(make_tls: MakeTls) -> None:
    rig = make_tls()
    client, session = await rig.join()
    session.close()
    assert await read_all(client) == b""
    assert rig.poller.leaving == 1
    for _ in range(20):
        rig.poller.tick()
    assert rig.poller.leaving == 0


async def test_a_client_that_ends_by_close_notify_hears_the_answer(make_tls: MakeTls) -> None:
    rig = make_tls()
    client, session = await rig.join()
    client.send(b"last words")
    with pytest.raises(ssl.SSLWantReadError):
        client.unwrap()
    assert await read_all(session) == b"last words"
    session.send(b"an answer")
    session.close()
    assert await retry(lambda: client.recv(64)) == b"an answer"
    with pytest.raises(ssl.SSLZeroReturnError):  # Python's word for close_notify on both sides
        await retry(lambda: client.recv(64))
    client.close()
    await rig.until(lambda: rig.tls.empty and rig.poller.leaving == 0)


async def test_a_client_that_ends_without_close_notify(make_tls: MakeTls) -> None:
    rig = make_tls()
    client, session = await rig.join()
    client.send(b"last words")
    with socket.socket(fileno=os.dup(client.fileno())) as raw:
        raw.shutdown(socket.SHUT_WR)
    assert await read_all(session) == b"last words"
    session.send(b"an answer")
    session.close()
    assert await read_all(client) == b"an answer"
    client.close()
    await rig.until(lambda: rig.tls.empty and rig.poller.leaving == 0)


async def test_last_words_of_a_client_reach_a_session_that_is_slow(make_tls: MakeTls) -> None:
    rig = make_tls()
    client, session = await rig.join()
    session.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    await send_all(client, b"x" * 400_000)
    with suppress(ssl.SSLWantReadError):
        client.unwrap()
    await rig.until(lambda: rig.idle)
    assert await read_all(session) == b"x" * 400_000


@pytest.mark.parametrize("blocked", [False, True])
async def test_a_client_that_is_reset(make_tls: MakeTls, blocked: bool) -> None:
    rig = make_tls()
    client, session = await rig.join()
    if blocked:
        await fill(session, b"x" * 10_000, rig)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    client.close()
    with suppress(ConnectionResetError):  # what it had not taken is lost with it
        assert await read_all(session) == b""
    session.close()
    await rig.until(lambda: rig.tls.empty)
    assert (rig.count("tls_connections"), rig.count("write_buffer_bytes")) == (0, 0)


async def test_a_client_that_breaks_tls_is_cut_off_and_no_other(make_tls: MakeTls) -> None:
    rig = make_tls()
    (client, session), (other, others_session) = await rig.join(), await rig.join()
    os.write(client.fileno(), b"\x17\x03\x03\x00\x20" + b"x" * 32)
    assert await read_all(session) == b""
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        await read_all(client)
    other.send(b"still here")
    assert await retry(lambda: others_session.recv(64)) == b"still here"
    assert rig.count("tls_connections") == 1


async def test_a_session_that_dies_with_unread_bytes(make_tls: MakeTls) -> None:
    """As when its worker is killed: the client reads what the session had written, and the end."""
    rig = make_tls()
    client, session = await rig.join()
    await fill(client, b"x" * 10_000, rig)
    session.send(b"written before")
    session.close()
    assert await read_all(client) == b"written before"
    client.close()
    await rig.until(lambda: rig.tls.empty and rig.poller.leaving == 0)


async def test_a_session_that_dies_while_both_sides_are_full(make_tls: MakeTls) -> None:
    rig = make_tls()
    client, session = await rig.join()
    total = await fill(session, b"x" * 10_000, rig)
    await fill(client, b"y" * 10_000, rig)
    session.close()
    await rig.until(lambda: rig.idle)
    assert await read_all(client) == b"x" * total
    client.close()
    await rig.until(lambda: rig.tls.empty and rig.poller.leaving == 0)


async def test_close_notify_waits_for_room(make_tls: MakeTls) -> None:
    rig = make_tls()
    client, session = await rig.join()
    (pair,) = set(rig.tls._bridge._pairs.values())
    raw = socket.socket(fileno=client.detach())
    with suppress(BlockingIOError):
        while True:
            os.write(pair.outer.fileno(), b"j" * 10_000)
    session.close()
    await rig.until(lambda: pair.inner < 0 and rig.idle)
    assert rig.count("tls_connections") == 1
    received = await read_all(raw)
    assert received[-25:-19] == b"j\x17\x03\x03\x00\x13", "the record of close_notify, behind what was in its way"
    raw.close()
    await rig.until(lambda: rig.tls.empty and rig.poller.leaving == 0)


async def test_a_fault_costs_its_own_client_alone(make_tls: MakeTls, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = make_tls()
    (client, session), (other, others_session) = await rig.join(), await rig.join()

    def boom(*_: object) -> None:
        raise RuntimeError("a bug")

    with monkeypatch.context() as patch, capture_logs() as logs:
        patch.setattr(rig.tls._bridge, "_give_session", boom)
        client.send(b"x")
        assert await read_all(session) == b""
    assert len(logs) == 1
    other.send(b"still here")
    assert await retry(lambda: others_session.recv(64)) == b"still here"
    assert rig.count("tls_connections") == 1


async def test_many_clients_at_once(make_tls: MakeTls) -> None:
    rig = make_tls()
    joined = [await rig.join() for _ in range(50)]
    for number, (client, session) in enumerate(joined):
        client.send(b"up %d" % number)
        session.send(b"down %d" % number)
    for number, (client, session) in enumerate(joined):
        assert await retry(partial(client.recv, 64)) == b"down %d" % number
        assert await retry(partial(session.recv, 64)) == b"up %d" % number
    for client, session in joined[::2]:
        client.close()
        assert await read_all(session) == b""
        session.close()
    for client, session in joined[1::2]:
        session.close()
        assert await read_all(client) == b""
        client.close()
    await rig.until(lambda: rig.tls.empty and rig.poller.leaving == 0)
    assert rig.count("tls_connections") == 0
