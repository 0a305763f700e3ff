import asyncio
import os
import resource
import socket
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from pushgate.errors import StartError
from pushgate.sockets.listener import open_listener
from tests.rig.client import Refused, WsClient
from tests.rig.gateway import Gateway, make_token


async def test_accepted_sockets_inherit_their_options(gateway: Gateway) -> None:
    await gateway.join("alice")
    (session,) = gateway.sessions.find("default", "alice")
    with socket.socket(fileno=os.dup(session.fd)) as sock:
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert not os.get_blocking(session.fd)


async def test_out_of_files_is_answered_and_does_not_spin(gateway: Gateway) -> None:
    known = await gateway.join("alice")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # A client's own socket needs a number too: it is made before files run out.
    waiting = [socket.socket() for _ in range(3)]
    for sock in waiting:
        sock.setblocking(False)
    fillers: list[int] = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(int(name) for name in os.listdir("/proc/self/fd")) + 8, hard))
        try:
            while True:
                fillers.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            pass
        for sock in waiting:
            await gateway.loop.sock_connect(sock, ("127.0.0.1", gateway.port))
        for sock in waiting:
            async with asyncio.timeout(5):
                assert (await gateway.loop.sock_recv(sock, 4096)).startswith(b"HTTP/1.1 503 ")
        assert gateway.count("handshakes_refused_total", "files") == 3
        assert await known.is_quiet(), "those who are in notice nothing"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in fillers:
            os.close(fd)
        for sock in waiting:
            sock.close()
    assert (await gateway.join("bob")).welcome["user"] == "bob"


async def test_when_even_the_reserve_does_not_help_accepting_rests(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Exhausted:
        """A listening socket on a machine whose file table is full."""

        def __init__(self, real: socket.socket) -> None:
            self.real = real
            self.calls = 0

        def fileno(self) -> int:
            return self.real.fileno()

        def accept(self) -> tuple[socket.socket, object]:
            self.calls += 1
            if self.calls <= 2:
                raise OSError(23, "Too many open files in system")
            return self.real.accept()

    exhausted = Exhausted(gateway.socket)
    monkeypatch.setattr(gateway.listener, "_socket", exhausted)
    with capture_logs() as logs:
        client = await gateway.join("alice")
    assert client.welcome["user"] == "alice", "it went on by itself"
    assert exhausted.calls >= 3
    assert ["accepting rests" in entry["event"] for entry in logs] == [True]


async def test_stopping_leaves_the_socket_to_the_others(gateway: Gateway) -> None:
    gateway.listener.stop()
    connecting = asyncio.create_task(WsClient.open(gateway.port, f"/ws?token={make_token('alice')}"))
    await asyncio.sleep(0)
    gateway.listener.start()
    assert (await connecting).head.startswith("HTTP/1.1 101")


async def test_ports_that_cannot_be_had() -> None:
    with open_listener("127.0.0.1", 0, 1) as taken, pytest.raises(StartError, match=r"cannot listen on .*in use"):
        open_listener("127.0.0.1", taken.getsockname()[1], 1)
    with pytest.raises(StartError, match="cannot listen on"):
        open_listener("192.0.2.1", 0, 1)
    with pytest.raises(StartError, match="cannot listen on"):
        open_listener("no such host.invalid", 0, 1)


async def test_ipv6(make_gateway: Callable[..., Gateway]) -> None:
    gateway = make_gateway(host="::1")
    client = await WsClient.join(gateway.port, f"/ws?token={make_token('alice')}", host="::1")
    assert client.welcome["user"] == "alice"
    (session,) = gateway.sessions.find("default", "alice")
    assert gateway.sessions.describe(session).address == "::1"


async def test_refused_requests_end_cleanly(gateway: Gateway) -> None:
    for _ in range(50):
        with pytest.raises(Refused):
            await WsClient.open(gateway.port, "/nothing")
    await gateway.until(lambda: gateway.poller.leaving == 0)


async def test_a_connection_that_cannot_be_admitted_does_not_end_the_listening(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    admit = gateway.listener._admit
    failures = 2

    def fail_at_first(connection: socket.socket, address: object) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            connection.close()
            raise OSError(28, "No space left on device")
        admit(connection, address)

    monkeypatch.setattr(gateway.listener, "_admit", fail_at_first)
    with capture_logs() as logs:
        for _ in range(2):
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await WsClient.open(gateway.port)
        client = await gateway.join("alice")
    assert client.welcome["user"] == "alice"
    assert [entry["log_level"] for entry in logs] == ["error", "warning", "error", "warning"]
