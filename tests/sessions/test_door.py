"""The door: who is let in, who is refused and how, and the PROXY header that is read first."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from pushgate.config import LimitsConfig
from pushgate.metrics.catalogue import CONNECTIONS, HANDSHAKES, LOBBY
from pushgate.sessions import door
from pushgate.sockets.certificates import Certificate, read_certificate
from pushgate.wire.address import V4_IN_V6
from tests.rig.certificates import the_authority
from tests.rig.client import Refused, WsClient
from tests.rig.gateway import Gateway, make_token

MakeGateway = Callable[..., Gateway]
Clock = Callable[[float], None]
HOME = V4_IN_V6 + IPv4Address("127.0.0.1").packed
PROXY = {"trusted_proxies": ["127.0.0.1"], "proxy_header": "proxy-protocol"}
LINE = b"PROXY TCP4 203.0.113.9 127.0.0.1 4711 8000\r\n"
BINARY = bytes.fromhex("0d0a0d0a000d0a515549540a 2111 0010 cb007109 7f000001 1267 1f40 e0000100")
LOCAL = bytes.fromhex("0d0a0d0a000d0a515549540a 2000 0000")


def request(user: str = "alice") -> bytes:
    return (
        f"GET /ws?token={make_token(user)} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


async def speak(gateway: Gateway, *pieces: bytes) -> WsClient:
    """Connect and send pieces, each read before the next is sent; returns whom the answer welcomes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    for piece in pieces:
        writer.write(piece)
        await asyncio.sleep(0)
    async with asyncio.timeout(10):
        client = WsClient(reader, writer, (await reader.readuntil(b"\r\n\r\n")).decode())
    client.welcome = await client.receive()
    return client


async def ask(gateway: Gateway, data: bytes, host: str = "127.0.0.1") -> bytes:
    """Send bytes and return everything that comes back."""
    reader, writer = await asyncio.open_connection(host, gateway.port)
    writer.write(data)
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    return answer


def address_of(gateway: Gateway, user: str) -> str:
    (session,) = gateway.sessions.find("default", user)
    return gateway.sessions.describe(session).address


async def refuse(gateway: Gateway) -> Refused:
    with pytest.raises(Refused) as refused:
        await WsClient.open(gateway.port, f"/ws?token={make_token('alice')}")
    assert "retry-after: " in refused.value.head.lower()
    return refused.value


async def test_an_address_has_so_many_connections_and_no_more(make_gateway: MakeGateway) -> None:
    gateway = make_gateway(limits=LimitsConfig(connections_per_address=3))
    clients = [await gateway.join("alice"), await WsClient.open(gateway.port)]
    gateway.counts.worker(1).enter(HOME)  # the other worker's
    refused = await refuse(gateway)
    assert refused.status == 429
    assert "connections" in refused.body
    assert gateway.count("handshakes_refused_total", "address_connections") == 1
    await clients[1].close()
    await gateway.until(lambda: gateway.count("lobby") == 0)
    await gateway.join("bob")
    assert (await refuse(gateway)).status == 429
    gateway.counts.clear(1)
    await gateway.join("carol")
    assert gateway.count("lobby") == 0


async def test_a_node_has_so_many_connections_and_no_more(make_gateway: MakeGateway) -> None:
    gateway = make_gateway(limits=LimitsConfig(connections=6))
    other = gateway.rows.row(1)
    other[CONNECTIONS], other[LOBBY] = 2, 2
    await gateway.join("alice")
    waiting = await WsClient.open(gateway.port)
    assert (await refuse(gateway)).status == 503
    assert gateway.count("handshakes_refused_total", "connections") == 1
    await waiting.close()
    await gateway.until(lambda: gateway.count("lobby") == 0)
    await gateway.join("bob")


async def test_a_node_begins_so_many_handshakes_in_a_second(make_gateway: MakeGateway, clock: Clock) -> None:
    gateway = make_gateway(limits=LimitsConfig(handshakes_per_second=5))
    clock(100.2)
    gateway.rows.row(1)[HANDSHAKES], gateway.rows.row(1)[HANDSHAKES + 1] = 100, 3
    await gateway.join("alice")
    await gateway.join("bob")
    assert (await refuse(gateway)).status == 503
    assert gateway.count("handshakes_refused_total", "handshakes") == 1
    clock(101.1)
    await gateway.join("carol")


async def test_an_address_begins_so_many_handshakes_in_a_second(make_gateway: MakeGateway, clock: Clock) -> None:
    gateway = make_gateway(limits=LimitsConfig(handshakes_per_address=5, handshakes_per_second=6))
    clock(100.2)
    other = gateway.counts.worker(1)
    assert [other.knock(HOME, 100) for _ in range(3)] == [1, 2, 3]
    await gateway.join("alice")
    await gateway.join("bob")
    for _ in range(10):
        assert (await refuse(gateway)).status == 429
    assert gateway.count("handshakes_refused_total", "address_handshakes") == 10
    assert gateway.row[HANDSHAKES + 1] == 2, "what an address has too much of takes nothing from others"
    clock(101.1)
    await gateway.join("carol")


async def test_0_is_no_limit(make_gateway: MakeGateway, clock: Clock) -> None:
    gateway = make_gateway(limits=LimitsConfig(0, 0, 0, 0))
    clock(100.0)
    for _ in range(20):
        await WsClient.open(gateway.port)


async def test_new_limits_hold_at_once(gateway: Gateway) -> None:
    await gateway.join("alice")
    gateway.terms.load(gateway.config, LimitsConfig(connections_per_address=1))
    assert (await refuse(gateway)).status == 429
    gateway.terms.load(gateway.config, LimitsConfig(connections_per_address=2))
    await gateway.join("bob")


async def test_all_that_is_counted_in_is_counted_out(make_gateway: MakeGateway) -> None:
    gateway = make_gateway(limits=LimitsConfig(connections_per_address=8), sessions_per_user=2)
    for _ in range(3):
        client = await gateway.join("alice")  # the third replaces the first
    await client.close()
    for data in (b"garbage", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"):
        await ask(gateway, data)
    with socket.create_connection(("127.0.0.1", gateway.port)):
        await gateway.until(lambda: gateway.count("lobby") == 1)
    await WsClient.open(gateway.port)
    bad = await WsClient.open(gateway.port, "/ws?token=bad")
    await bad.receive_close()
    gateway.tick(40)
    await WsClient.close_all()
    await gateway.until(lambda: gateway.count("connections") == gateway.count("lobby") == 0)
    assert not any(gateway.counts._connections)


async def test_who_says_nothing_yet_is_answered_and_not_waited_for_by_hundreds(
    make_gateway: MakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "LINGERING", 2)
    gateway = make_gateway(limits=LimitsConfig(connections_per_address=1))
    await gateway.join("alice")
    silent = []
    for number in range(1, 6):
        silent.append(await asyncio.open_connection("127.0.0.1", gateway.port))
        await gateway.until(lambda: gateway.count("handshakes_refused_total", "address_connections") == number)  # noqa: B023
    assert gateway.poller.leaving == 2
    for reader, writer in silent:
        async with asyncio.timeout(10):
            assert (await reader.read()).startswith(b"HTTP/1.1 429 ")
        writer.close()
    await gateway.until(lambda: gateway.poller.leaving == 0)


async def test_who_went_before_being_refused(make_gateway: MakeGateway) -> None:
    gateway = make_gateway(limits=LimitsConfig(connections_per_address=1))
    await gateway.join("alice")
    for linger in (None, b"\x01\0\0\0\0\0\0\0"):  # a plain end, and a reset
        with socket.create_connection(("127.0.0.1", gateway.port)) as knocker:
            if linger:
                knocker.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    await gateway.until(lambda: gateway.count("handshakes_refused_total", "address_connections") == 2)
    assert gateway.poller.leaving == 0


@pytest.mark.parametrize(
    ("header", "address"),
    [(LINE, "203.0.113.9"), (BINARY, "203.0.113.9"), (LOCAL, "127.0.0.1")],
    ids=["version 1", "version 2", "health check"],
)
async def test_a_proxy_header_names_the_client(make_gateway: MakeGateway, header: bytes, address: str) -> None:
    gateway = make_gateway(**PROXY)
    client = await speak(gateway, header + request())
    assert client.welcome["user"] == "alice"
    assert address_of(gateway, "alice") == address


@pytest.mark.parametrize("header", [LINE, BINARY], ids=["version 1", "version 2"])
async def test_a_proxy_header_byte_by_byte_takes_nothing_of_what_follows(
    make_gateway: MakeGateway, header: bytes
) -> None:
    gateway = make_gateway(**PROXY)
    pieces = [header[position : position + 1] for position in range(len(header) - 1)]
    await speak(gateway, *pieces, header[-1:] + request())
    assert address_of(gateway, "alice") == "203.0.113.9"


async def test_a_trusted_proxy_must_send_its_header(make_gateway: MakeGateway) -> None:
    gateway = make_gateway(**PROXY)
    for data in (request(), b"PROXY TCP4 nonsense\r\n" + request(), b"\x16\x03\x01"):
        assert (await ask(gateway, data)).startswith(b"HTTP/1.1 400 ")
    assert gateway.count("handshakes_refused_total", "proxy") == 3
    assert gateway.count("lobby") == 0
    await gateway.until(lambda: gateway.poller.leaving == 0)
    assert not any(gateway.counts._connections)


async def test_x_forwarded_for_means_nothing_where_the_proxy_protocol_is_spoken(make_gateway: MakeGateway) -> None:
    gateway = make_gateway(**PROXY)
    head = request().replace(b"Host: x\r\n", b"Host: x\r\nX-Forwarded-For: 198.51.100.1\r\n")
    await speak(gateway, LOCAL + head)
    assert address_of(gateway, "alice") == "127.0.0.1"


async def test_strangers_may_not_send_a_proxy_header(make_gateway: MakeGateway) -> None:
    gateway = make_gateway(trusted_proxies=["192.0.2.1"], proxy_header="proxy-protocol")
    for header in (LINE, BINARY):
        assert (await ask(gateway, header + request())).startswith(b"HTTP/1.1 400 ")
    assert gateway.count("handshakes_refused_total", "malformed") == 2


async def test_no_proxy_header_in_time(make_gateway: MakeGateway) -> None:
    gateway = make_gateway(**PROXY)
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(b"PROXY TCP4")
    await gateway.until(lambda: gateway.count("lobby") == 1)
    gateway.tick(39)
    assert gateway.count("lobby") == 1
    gateway.tick()
    assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
    assert gateway.count("handshakes_refused_total", "timeout") == 1
    writer.close()


async def test_behind_the_header_the_handshake_has_its_own_time(make_gateway: MakeGateway) -> None:
    gateway = make_gateway(**PROXY)
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    await gateway.until(lambda: gateway.count("lobby") == 1)
    gateway.tick(30)
    writer.write(LINE)
    await gateway.until(lambda: not gateway.door._proxied)
    gateway.tick(30)
    assert gateway.count("lobby") == 1
    writer.write(request())
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
    writer.close()


async def test_a_proxy_that_goes_leaves_nothing(make_gateway: MakeGateway) -> None:
    gateway = make_gateway(**PROXY)
    for linger in (None, b"\x01\0\0\0\0\0\0\0"):  # a plain end, and a reset
        with socket.create_connection(("127.0.0.1", gateway.port)) as proxy:
            proxy.send(LINE[:9])
            await gateway.until(lambda: gateway.count("lobby") == 1)
            if linger:
                proxy.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        await gateway.until(lambda: gateway.count("lobby") == 0)
    assert gateway.count("handshakes_refused_total", "gone") == 2
    assert not any(gateway.counts._connections)


async def test_a_stopping_worker_turns_proxies_away(make_gateway: MakeGateway) -> None:
    gateway = make_gateway(**PROXY)
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    await gateway.until(lambda: gateway.count("lobby") == 1)
    gateway.door.empty()
    assert (await reader.read()).startswith(b"HTTP/1.1 503 ")
    writer.close()


async def test_a_fault_while_a_header_is_read_costs_one_connection(
    make_gateway: MakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = make_gateway(**PROXY)

    def fail(data: bytes) -> None:
        raise RuntimeError

    with monkeypatch.context() as patch, capture_logs() as logs:
        patch.setattr(door, "read_proxy_header", fail)
        with pytest.raises(ConnectionResetError):
            await ask(gateway, LINE)
    assert [entry["log_level"] for entry in logs] == ["error"]
    assert gateway.count("handshakes_refused_total", "fault") == 1
    assert gateway.count("lobby") == 0
    await speak(gateway, LINE + request())


async def test_a_clients_limits_hold_behind_the_proxy_protocol(make_gateway: MakeGateway) -> None:
    gateway = make_gateway(limits=LimitsConfig(connections_per_address=1), **PROXY)
    await speak(gateway, LINE + request("alice"))
    assert (await ask(gateway, LINE + request("bob"))).startswith(b"HTTP/1.1 429 ")
    assert gateway.count("handshakes_refused_total", "address_connections") == 1
    await speak(gateway, LINE.replace(b"203.0.113.9", b"203.0.113.10") + request("bob"))
    for _ in range(3):
        await speak(gateway, LOCAL + request("healthy"))


@pytest.fixture
def tls(tmp_path: Path) -> Certificate:
    certificate = read_certificate("clients", *the_authority().write(tmp_path, "door"))
    assert certificate is not None
    return certificate


async def test_a_port_that_speaks_tls_has_no_words_for_those_it_refuses(
    make_gateway: MakeGateway, tls: Certificate
) -> None:
    gateway = make_gateway(tls=tls, limits=LimitsConfig(connections_per_address=1))
    await gateway.join("alice", tls=the_authority().trust())
    assert await ask(gateway, b"") == b""
    assert gateway.count("handshakes_refused_total", "address_connections") == 1
    assert gateway.poller.leaving == 0


async def test_in_its_tls_handshake_a_connection_counts(make_gateway: MakeGateway, tls: Certificate) -> None:
    gateway = make_gateway(tls=tls, limits=LimitsConfig(connections_per_address=1))
    _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    await gateway.until(lambda: gateway.count("lobby") == 1)
    assert await ask(gateway, b"") == b""
    writer.close()
    await gateway.until(lambda: gateway.count("lobby") == 0)
    client = await gateway.join("alice", tls=the_authority().trust())
    assert await ask(gateway, b"") == b""
    await client.close()
    await gateway.until(lambda: gateway.count("connections") == 0)
    assert not any(gateway.counts._connections)


@pytest.mark.parametrize("header", [LINE, BINARY], ids=["version 1", "version 2"])
async def test_a_proxy_header_stands_in_the_clear_before_tls(
    make_gateway: MakeGateway, tls: Certificate, header: bytes
) -> None:
    gateway = make_gateway(tls=tls, **PROXY)
    with socket.create_connection(("127.0.0.1", gateway.port)) as sock:
        sock.setblocking(False)
        await gateway.loop.sock_sendall(sock, header)
        reader, writer = await asyncio.open_connection(
            sock=sock.dup(), ssl=the_authority().trust(), server_hostname="localhost"
        )
    writer.write(request())
    client = WsClient(reader, writer, (await reader.readuntil(b"\r\n\r\n")).decode())
    assert (await client.receive())["user"] == "alice"
    assert address_of(gateway, "alice") == "203.0.113.9"


async def test_a_header_and_the_first_of_tls_in_one_piece(make_gateway: MakeGateway, tls: Certificate) -> None:
    gateway = make_gateway(tls=tls, **PROXY)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = the_authority().trust().wrap_bio(down, up, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    with socket.create_connection(("127.0.0.1", gateway.port)) as sock:
        sock.setblocking(False)
        await gateway.loop.sock_sendall(sock, BINARY + up.read())
        async with asyncio.timeout(10):
            down.write(await gateway.loop.sock_recv(sock, 65536))
        client.do_handshake()
        await gateway.loop.sock_sendall(sock, up.read())
        await gateway.until(lambda: gateway.count("tls_handshakes_total") == 1)


async def test_a_tls_port_without_its_header_says_nothing(make_gateway: MakeGateway, tls: Certificate) -> None:
    gateway = make_gateway(tls=tls, **PROXY)
    with pytest.raises(ConnectionResetError):
        await ask(gateway, b"\x16\x03\x01\x02\x00\x01")
    assert gateway.count("handshakes_refused_total", "proxy") == 1
