"""What only the NATS backend promises, and what it does with a server that is ill."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from structlog.testing import capture_logs

from pushgate.bus import Parcel, create_bus
from pushgate.bus.nats import NatsBus
from pushgate.errors import BusUnavailable, Problem
from pushgate.nats import link as nats_link
from tests.fakes.nats import PlainNats, free_ports
from tests.fakes.scripted_nats import ScriptedNats
from tests.fakes.subscriber import Subscriber, until


@asynccontextmanager
async def running(url: str, shards: tuple[int, ...] = (1,)) -> AsyncIterator[tuple[NatsBus, Subscriber]]:
    bus, subscriber = NatsBus(url), Subscriber()
    await bus.start(shards, subscriber.receive, subscriber.on_gap)
    try:
        yield bus, subscriber
    finally:
        await bus.stop()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let time go ten times as fast for what watches a connection: a PONG is overdue after 0.2 s."""
    monkeypatch.setattr(nats_link, "TICK", 0.025)


async def test_calls_of_one_iteration_go_out_in_one_write_with_one_ping() -> None:
    async with ScriptedNats() as server, running(server.url) as (bus, _):
        server.reads.clear()
        await asyncio.gather(*(bus.publish([Parcel(number, b"%d" % number)]) for number in range(3)))
        await bus.publish([Parcel(None, b"x"), Parcel(255, b"")])
        assert server.reads == [
            b"PUB pushgate.live.0 1\r\n0\r\nPUB pushgate.live.1 1\r\n1\r\nPUB pushgate.live.2 1\r\n2\r\nPING\r\n",
            b"PUB pushgate.live.all 1\r\nx\r\nPUB pushgate.live.255 0\r\n\r\nPING\r\n",
        ]


async def test_a_payload_over_the_servers_limit_is_too_large_and_nothing_of_its_group_goes_out() -> None:
    async with ScriptedNats(max_payload=10) as server, running(server.url) as (bus, _):
        server.reads.clear()
        with pytest.raises(Problem) as caught:
            await bus.publish([Parcel(0, b"fits"), Parcel(0, bytes(11))])
        assert caught.value.code == "too_large"
        await bus.publish([Parcel(0, bytes(10))])
        assert server.reads == [b"PUB pushgate.live.0 10\r\n" + bytes(10) + b"\r\nPING\r\n"]


async def test_messages_of_all_subscriptions_arrive_in_the_order_of_the_wire() -> None:
    async with ScriptedNats() as server, running(server.url, tuple(range(10))) as (_, subscriber):
        wire = b"".join(b"MSG pushgate.live.x %d 3\r\n%03d\r\n" % (number % 11 + 1, number) for number in range(500))
        for start in range(0, len(wire), 37):
            server.say(wire[start : start + 37])
        await subscriber.has(500)
        assert subscriber.received == [b"%03d" % number for number in range(500)]


async def test_a_receiver_that_raises_is_logged_and_does_not_end_the_bus() -> None:
    received = []

    def receive(payload: bytes) -> None:
        if payload == b"bad":
            raise ZeroDivisionError
        received.append(payload)

    async with ScriptedNats() as server:
        bus = NatsBus(server.url)
        with capture_logs() as logs:
            await bus.start([1], receive, lambda: None)
            server.say(b"MSG a 1 3\r\nbad\r\nMSG a 1 4\r\ngood\r\n")
            await until(lambda: received == [b"good"])
        await bus.stop()
    assert "receiver failed" in [line["event"] for line in logs]


@pytest.mark.usefixtures("quick")
async def test_a_server_that_talks_but_does_not_confirm_fails_the_call_and_keeps_the_connection() -> None:
    async with ScriptedNats() as server, running(server.url) as (bus, subscriber):
        server.pongs = False
        call = asyncio.create_task(bus.publish([Parcel(1, b"unconfirmed")]))
        while not call.done():
            server.say(b"MSG a 1 2\r\nhi\r\n")
            await asyncio.sleep(0.01)  # the server's pace
        with pytest.raises(BusUnavailable, match="confirm"):
            await call
        assert bus.connected
        server.pongs = True
        server.say(b"PONG\r\n")  # too late for that one, and not taken for the next one's
        await bus.publish([Parcel(1, b"confirmed")])
        assert subscriber.gaps == 0


@pytest.mark.usefixtures("quick")
async def test_a_silent_server_is_dropped_and_asked_first_when_nothing_is_published() -> None:
    async with ScriptedNats() as server, running(server.url) as (bus, subscriber):
        pings = sum(data.count(b"PING") for data in server.reads)
        await until(lambda: sum(data.count(b"PING") for data in server.reads) > pings, 1)
        assert bus.connected
        server.pongs = False
        await until(lambda: not bus.connected, 1)
        server.pongs = True
        await until(lambda: bus.connected, 5)
        assert subscriber.gaps == 1


@pytest.mark.usefixtures("quick")
async def test_a_stall_of_our_own_loop_is_not_taken_for_a_silent_server() -> None:
    async with ScriptedNats() as server, running(server.url) as (bus, subscriber):
        call = asyncio.create_task(bus.publish([Parcel(1, b"")]))
        await asyncio.sleep(0)
        time.sleep(0.5)  # the fault itself: more than twice what makes a PONG overdue
        await call
        assert bus.connected
        assert subscriber.gaps == 0


@pytest.mark.parametrize(
    "error", ["Slow Consumer", "Stale Connection", "Authorization Violation", "Maximum Payload Violation"]
)
async def test_an_error_of_the_server_ends_the_connection_never_the_bus(error: str) -> None:
    async with ScriptedNats() as server, running(server.url) as (bus, subscriber):
        server.pongs = False
        call = asyncio.create_task(bus.publish([Parcel(1, b"")]))
        await asyncio.sleep(0)
        server.say(f"-ERR '{error}'\r\n".encode())
        server.pongs = True
        with pytest.raises(BusUnavailable, match=f"(?i){error}"):
            await call
        await until(lambda: subscriber.gaps == 1, 2)
        await bus.publish([Parcel(1, b"")])


async def test_stop_works_at_any_moment_of_a_start() -> None:
    """Also when the cancellation meets the end of a wait_for, which swallows it in Python 3.11."""
    async with ScriptedNats() as server:
        for moment in range(80):
            bus = NatsBus(server.url)
            start = asyncio.create_task(bus.start([1], lambda payload: None, lambda: None))
            for _ in range(moment):
                await asyncio.sleep(0)
            await asyncio.wait_for(bus.stop(), 2)
            assert not bus.connected
            await asyncio.gather(start, return_exceptions=True)


async def test_a_refused_publish_is_not_confirmed(tmp_path: Path) -> None:
    config = """authorization: {users: [{user: u, password: "p", permissions: {
        publish: {deny: "pushgate.live.9"}, subscribe: ">"}}]}"""
    with closing(PlainNats(tmp_path, config)) as server:
        async with running(f"nats://u:p@127.0.0.1:{server.port}") as (bus, _):
            with pytest.raises(BusUnavailable, match=r"(?i)permissions violation"):
                await bus.publish([Parcel(9, b"")])


@pytest.mark.parametrize(
    ("config", "login"),
    [
        ('authorization: {user: "us@er", password: "p,a:s/s"}', "us%40er:p%2Ca%3As%2Fs"),
        ("authorization: {token: s3cret}", "s3cret"),
    ],
)
async def test_credentials_of_the_url_are_used_and_never_logged(tmp_path: Path, config: str, login: str) -> None:
    with closing(PlainNats(tmp_path, config)) as server, capture_logs() as logs:
        wrong = NatsBus(f"nats://user:s3cret2@127.0.0.1:{server.port}")
        start = asyncio.create_task(wrong.start([1], lambda payload: None, lambda: None))
        await until(lambda: logs)
        await wrong.stop()
        with pytest.raises(BusUnavailable):
            await start
        async with running(f"nats://{login}@127.0.0.1:{server.port}") as (bus, _):
            await bus.publish([Parcel(1, b"")])
    text = str(logs)
    assert "authorization violation" in text.lower()
    assert "s3cret" not in text
    assert "p,a" not in text


async def test_reasons_for_being_away_are_logged_once_in_a_while() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"nats://127.0.0.1:{probe.getsockname()[1]}"
        bus = create_bus(url)
        with capture_logs() as logs:
            start = asyncio.create_task(bus.start([1], lambda payload: None, lambda: None))
            done, _ = await asyncio.wait([start], timeout=1)  # several attempts
            assert not done
            await bus.stop()
        with pytest.raises(BusUnavailable):
            await start
    assert [line["event"] for line in logs] == ["bus away"]


async def test_tls_is_not_given_up_for_a_server_that_offers_none() -> None:
    async with ScriptedNats() as server:
        bus = NatsBus(server.url.replace("nats://", "tls://u:s3cret@"))
        with capture_logs() as logs:
            start = asyncio.create_task(bus.start([1], lambda payload: None, lambda: None))
            await until(lambda: logs)
            await bus.stop()
        with pytest.raises(BusUnavailable):
            await start
        assert server.reads == []
    assert "TLS" in str(logs)


async def test_tls_carries_it_when_the_server_has_a_certificate_that_the_system_trusts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = self_signed(tmp_path)
    config = f'tls: {{cert_file: "{certificate}", key_file: "{key}"}}\nmax_payload: 8388608'
    with closing(PlainNats(tmp_path / "nats", config)) as server:
        url = f"tls://localhost:{server.port}"
        distrusting = NatsBus(url)
        with capture_logs() as logs:
            start = asyncio.create_task(distrusting.start([1], lambda payload: None, lambda: None))
            await until(lambda: logs)
            await distrusting.stop()
        assert "CERTIFICATE_VERIFY_FAILED" in str(logs)
        with pytest.raises(BusUnavailable):
            await start

        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        async with running(url) as (bus, subscriber):
            await bus.publish([Parcel(1, bytes(2**22)), Parcel(None, b"end")])
            await subscriber.has(2)
            assert subscriber.received == [bytes(2**22), b"end"]


async def test_another_server_of_the_cluster_takes_over_though_the_url_names_but_one(tmp_path: Path) -> None:
    def config(name: str, own: int, other: int) -> str:
        return f"""server_name: {name}
            authorization: {{user: u, password: p}}
            cluster: {{name: c, listen: "127.0.0.1:{own}", routes: ["nats://127.0.0.1:{other}"]}}"""

    first_route, second_route = free_ports(2)
    with (
        closing(PlainNats(tmp_path / "1", config("one", first_route, second_route))) as first,
        closing(PlainNats(tmp_path / "2", config("two", second_route, first_route))),
    ):
        async with running(f"nats://u:p@127.0.0.1:{first.port}") as (bus, subscriber):
            await until(lambda: len(bus._connection.link.pool) > 1 if bus._connection.link else False)
            first.close()
            await until(lambda: not bus.connected, 2)
            await until(lambda: bus.connected, 2)
            await bus.publish([Parcel(1, b"by the other")])
            await subscriber.has(1)
            assert subscriber.gaps == 1


def self_signed(path: Path) -> tuple[Path, Path]:
    """Return the files of a certificate for localhost and of its key."""
    private = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, private.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(private, SHA256())
    )
    certificate, key = path / "certificate.pem", path / "key.pem"
    certificate.write_bytes(signed.public_bytes(Encoding.PEM))
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return certificate, key
