"""Handshakes with clients: those that end well, in time or not, and those that are none."""

import asyncio
import os
import resource
import socket
import ssl
import warnings
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from pushgate.sockets.certificates import Certificate
from pushgate.sockets.tls import BUDGET
from tests.rig.certificates import the_authority
from tests.rig.client import Refused, WsClient, mask_frame
from tests.rig.gateway import Gateway, make_token
from tests.rig.tls import TlsRig, read_all, retry, send_all

HOME = bytes(10) + b"\xff\xff\x7f\0\0\1"
MakeTls = Callable[..., TlsRig]
MakeGateway = Callable[..., Gateway]
MakeCertificate = Callable[..., Certificate]


async def test_a_handshake_leads_to_the_lobby(make_tls: MakeTls) -> None:
    rig = make_tls()
    _, session = await rig.join()
    assert session.family == socket.AF_UNIX
    assert not os.get_blocking(session.fileno())
    assert rig.addresses == [HOME], "the client's own address"
    assert rig.count("tls_connections") == 1
    assert rig.count("tls_handshakes_total") == 1
    assert rig.count("lobby") == 0, "the lobby counts for itself"


async def test_a_handshake_byte_by_byte(make_tls: MakeTls) -> None:
    rig = make_tls()
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = rig.trust.wrap_bio(down, up, server_hostname="localhost")
    sock = rig.connect()
    while not rig.sessions:
        try:
            client.do_handshake()
        except ssl.SSLWantReadError:
            pass
        for byte in up.read():
            sock.send(bytes([byte]))
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        try:
            down.write(sock.recv(65536))
        except BlockingIOError:
            pass
    assert rig.count("tls_handshakes_total") == 1


async def test_what_comes_with_the_end_of_the_handshake_is_not_lost(make_tls: MakeTls) -> None:
    rig = make_tls()
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = rig.trust.wrap_bio(down, up, server_hostname="localhost")
    sock = rig.connect()
    for _ in range(2):
        try:
            client.do_handshake()
        except ssl.SSLWantReadError:
            sock.send(up.read())
            down.write(await retry(lambda: sock.recv(65536)))
    client.write(b"first")
    client.write(b"second")
    await send_all(sock, up.read())  # the end of the handshake and two records, in one piece
    await rig.until(lambda: bool(rig.sessions))
    received = b""
    while received != b"firstsecond":
        received += await retry(lambda: rig.sessions[0].recv(64))


async def test_no_handshake_in_time(make_tls: MakeTls) -> None:
    rig = make_tls(timeout=1.0)
    silent, slow = rig.connect(), rig.connect()
    slow.send(b"\x16\x03\x01")
    await rig.until(lambda: rig.idle)
    for _ in range(2):
        rig.tls.tick()
    late = rig.connect()
    for _ in range(2):
        rig.tls.tick()
    for sock in (silent, slow):
        assert await read_all(sock) == b""
    assert rig.count("handshakes_refused_total", "tls") == 2
    assert rig.count("lobby") == 1
    client = rig.wrap(late)
    await retry(client.do_handshake)
    await rig.until(lambda: len(rig.sessions) == 1)
    for _ in range(10):
        rig.tls.tick()
    assert rig.count("tls_connections") == 1, "the time is for the handshake alone"


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "PUT"])
async def test_plain_http_is_told_in_plain_text(make_tls: MakeTls, method: str) -> None:
    rig = make_tls()
    sock = rig.connect()
    sock.send(f"{method} /ws HTTP/1.1\r\nHost: x\r\n\r\n".encode() + b"x" * 30_000)
    answer = await read_all(sock)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"this port speaks TLS: use wss:// or https://" in answer
    assert rig.count("handshakes_refused_total", "tls") == 1
    sock.close()
    await rig.until(lambda: rig.poller.leaving == 0)
    assert rig.tls.empty


@pytest.mark.parametrize(
    "garbage", [b"\0" * 100, b"hello, who is there?", b"\x16\x03\x01\x00\x05hello", b"\xff" * 70_000]
)
async def test_garbage(make_tls: MakeTls, garbage: bytes) -> None:
    rig = make_tls()
    sock = rig.connect()
    await send_all(sock, garbage)
    alert = await read_all(sock)
    assert not alert.startswith(b"HTTP")
    assert rig.count("handshakes_refused_total", "tls") == 1
    assert rig.count("lobby") == 0
    sock.close()
    await rig.until(lambda: rig.poller.leaving == 0)


async def test_old_tls_is_told_by_an_alert(make_tls: MakeTls) -> None:
    rig = make_tls()
    rig.trust.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        rig.trust.minimum_version = ssl.TLSVersion.TLSv1
        rig.trust.maximum_version = ssl.TLSVersion.TLSv1_1
    client = rig.wrap(rig.connect())
    with pytest.raises(ssl.SSLError, match="ALERT_PROTOCOL_VERSION"):
        await retry(client.do_handshake)
    await rig.until(lambda: rig.count("handshakes_refused_total", "tls") == 1)


async def test_a_client_that_does_not_trust_us(make_tls: MakeTls) -> None:
    rig = make_tls()
    rig.trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client = rig.wrap(rig.connect())
    with pytest.raises(ssl.SSLCertVerificationError):
        await retry(client.do_handshake)
    await rig.until(lambda: rig.count("handshakes_refused_total", "tls") == 1)
    assert not rig.sessions


async def test_one_that_goes_leaves_nothing(make_tls: MakeTls) -> None:
    rig = make_tls()
    for linger in (None, b"\x01\0\0\0\0\0\0\0"):  # a plain end, and a reset
        sock = rig.connect()
        sock.send(b"\x16\x03")
        await rig.until(lambda: rig.idle)
        if linger:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        sock.close()
        await rig.until(lambda: rig.tls.empty)
    assert rig.count("handshakes_refused_total", "gone") == 2
    assert rig.count("lobby") == 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Python's wrapper just drops the socket
async def test_one_that_went_before_it_was_let_in(make_tls: MakeTls) -> None:
    rig = make_tls()
    with socket.create_server(("127.0.0.1", 0)) as server:
        theirs = socket.create_connection(server.getsockname())
        ours, address = server.accept()
    ours.setblocking(False)
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    theirs.close()
    rig.admit(ours, address)
    await rig.until(lambda: rig.tls.empty)
    assert rig.count("handshakes_refused_total", "gone") == 1


async def test_a_client_that_takes_our_certificate_slowly(make_tls: MakeTls, make_certificate: MakeCertificate) -> None:
    rig = make_tls(make_certificate(names=1000))
    sock = rig.connect(socket.AF_UNIX)
    (fd,) = rig.tls._guests
    with socket.socket(fileno=os.dup(fd)) as twin:
        twin.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    client = rig.wrap(sock)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    await rig.until(lambda: bool(rig.tls._guests[fd].events & 4))
    await rig.until(lambda: rig.idle)  # it waits, and does not spin
    await retry(client.do_handshake)
    await rig.until(lambda: len(rig.sessions) == 1)
    client.send(b"thanks")
    assert await retry(lambda: rig.sessions[0].recv(64)) == b"thanks"


async def test_files_that_run_out_at_the_end_of_a_handshake(make_tls: MakeTls) -> None:
    rig = make_tls()
    client = rig.wrap(rig.connect())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    fillers: list[int] = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(int(name) for name in os.listdir("/proc/self/fd")) + 2, hard))
        with pytest.raises(OSError, match="Too many open files"):
            fillers.extend(iter(lambda: os.open(os.devnull, os.O_RDONLY), -1))
        await retry(client.do_handshake)
        answer = await read_all(client)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in fillers:
            os.close(fd)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert rig.count("handshakes_refused_total", "files") == 1
    assert (rig.count("lobby"), rig.count("tls_connections")) == (0, 0)
    client.close()
    await rig.until(lambda: rig.poller.leaving == 0)


async def test_a_storm_of_handshakes_leaves_others_their_turn(make_tls: MakeTls) -> None:
    rig = make_tls()
    clients = [rig.wrap(rig.connect()) for _ in range(3 * BUDGET)]
    for client in clients:
        with pytest.raises(ssl.SSLWantReadError):
            client.do_handshake()
    rig.poller._handle_batch()
    answered = 0
    for client in clients:
        with socket.socket(fileno=os.dup(client.fileno())) as twin:
            try:
                answered += bool(twin.recv(1, socket.MSG_PEEK))
            except BlockingIOError:
                pass
    assert answered == BUDGET
    for client in clients:
        await retry(client.do_handshake)
    await rig.until(lambda: len(rig.sessions) == len(clients))


async def test_a_fault_costs_its_own_client_alone(make_tls: MakeTls, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = make_tls()
    other, session = await rig.join()

    def boom(*_: object) -> None:
        raise RuntimeError("a bug")

    sock = rig.connect()
    with monkeypatch.context() as patch, capture_logs() as logs:
        patch.setattr(rig.tls, "_refuse", boom)
        sock.send(b"hello")
        assert await read_all(sock) == b""
    assert len(logs) == 1
    assert rig.count("handshakes_refused_total", "fault") == 1
    other.send(b"still here")
    assert await retry(lambda: session.recv(64)) == b"still here"


async def test_a_stopping_worker_ends_handshakes(make_tls: MakeTls) -> None:
    rig = make_tls()
    waiting = rig.connect()
    assert not rig.tls.empty
    rig.tls.cut_handshakes()
    assert rig.tls.empty
    assert await read_all(waiting) == b""


# With all of a worker's rooms behind it


async def test_a_client_over_tls_is_a_client_like_any_other(
    make_gateway: MakeGateway, make_certificate: MakeCertificate
) -> None:
    gateway = make_gateway(tls=make_certificate())
    client = await gateway.join("alice", tls=the_authority().trust(), behind=mask_frame(9, b"early"))
    assert await client.receive_frame() == (10, b"early")
    gateway.push("alice", data="x" * 300_000)
    assert (await client.receive())["data"] == "x" * 300_000
    client.send({"type": "ping", "padding": "y" * 60_000})
    assert await client.receive() == {"type": "pong", "spread": 0.5}
    (session,) = gateway.sessions.find("default", "alice")
    assert gateway.sessions.describe(session).address == "127.0.0.1"
    client.send_frame(8, b"\x03\xe8")
    assert await client.receive_close() == (1000, "")
    await client.close()
    await gateway.until(lambda: gateway.tls.empty and gateway.poller.leaving == 0)
    assert gateway.count("connections") == 0


async def test_a_close_from_our_side_reaches_the_client(
    make_gateway: MakeGateway, make_certificate: MakeCertificate
) -> None:
    gateway = make_gateway(tls=make_certificate())
    trust = the_authority().trust()
    client = await gateway.join("alice", tls=trust)
    (session,) = gateway.sessions.find("default", "alice")
    gateway.sessions.send_away(session, 1.5)
    assert await client.receive() == {"type": "reconnect", "after": 1.5}
    assert (await client.receive_close())[0] == 4000
    refused = await WsClient.open(gateway.port, "/ws?token=nonsense", tls=trust)
    assert (await refused.receive_close())[0] == 4500
    with pytest.raises(Refused) as nothing:
        await WsClient.open(gateway.port, "/nothing", tls=trust)
    assert nothing.value.status == 404


async def test_a_client_that_does_not_read_is_closed(
    make_gateway: MakeGateway, make_certificate: MakeCertificate
) -> None:
    gateway = make_gateway(tls=make_certificate(), write_bound=100_000)
    slow = await gateway.join("alice", tls=the_authority().trust())
    slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
    pushed = 0
    async with asyncio.timeout(10):
        while gateway.count("connections"):
            gateway.push("alice", data="x" * 50_000)
            pushed += 1
            await asyncio.sleep(0)
    assert pushed < 1000
    slow.writer.transport.resume_reading()  # type: ignore[attr-defined]
    assert (await slow.receive_close())[0] == 4001
    await slow.close()
    await gateway.until(lambda: gateway.tls.empty)
    assert gateway.count("write_buffer_bytes") == 0


async def test_a_reload_keeps_who_is_connected(make_gateway: MakeGateway, make_certificate: MakeCertificate) -> None:
    gateway = make_gateway(tls=make_certificate("one"))
    trust = the_authority().trust()
    old = await gateway.join("alice", tls=trust)
    gateway.tls_port.load(make_certificate("two"))
    new = await gateway.join("alice", tls=trust)
    names = []
    for client in (old, new):
        shown = client.writer.get_extra_info("peercert")
        names.append(shown["subject"][0][0][1])
    assert names == ["one", "two"]
    gateway.push("alice", data="to both")
    for client in (old, new):
        assert (await client.receive())["data"] == "to both"
    gateway.tls_port.load(None)
    plain = await WsClient.join(gateway.port, f"/ws?token={make_token('bob')}")
    gateway.push(data="to all")
    for client in (old, new, plain):
        assert (await client.receive())["data"] == "to all"
