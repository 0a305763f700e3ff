"""The management port over TLS: pushes, certificates of callers, handshakes that end badly, and stopping."""

import asyncio
import json
import socket
import ssl
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from pushgate.api import server
from pushgate.sockets.certificates import read_certificate
from tests.api.rig import AUTH, Rig, push_of, request
from tests.rig.certificates import Authority, the_authority

MakeTrust = Callable[..., ssl.SSLContext]


@pytest.fixture
def load(rig: Rig, tmp_path: Path) -> Callable[..., None]:
    """Have the rig's port speak TLS, asking for certificates that an authority signed."""

    def load(client_ca: bytes = b"", name: str = "one") -> None:
        ca = tmp_path / "ca.pem"
        ca.write_bytes(client_ca)
        rig.tls.load(
            read_certificate("management", *the_authority().write(tmp_path, name), str(ca) if client_ca else "")
        )

    return load


@pytest.fixture
def url(rig: Rig, load: Callable[..., None]) -> str:
    load()
    return f"https://127.0.0.1:{rig.port}"


@pytest.fixture
def https(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, headers=AUTH, verify=the_authority().trust(), timeout=10) as client:
        yield client


def connect(rig: Rig, trust: ssl.SSLContext | None = None) -> ssl.SSLSocket:
    sock = socket.create_connection(("127.0.0.1", rig.port), timeout=10)
    return (trust or the_authority().trust()).wrap_socket(sock, server_hostname="localhost")


def read_all(sock: socket.socket) -> bytes:
    received = b""
    while data := sock.recv(65536):
        received += data
    return received


def test_push_and_everything_else(https: httpx.Client, rig: Rig) -> None:
    for number in range(3):
        answer = https.post("/v1/push", json={"user": "alice", "id": f"m{number}", "data": "x" * 100_000})
        assert (answer.status_code, answer.json()) == (202, {"id": f"m{number}"})
    assert https.get("/healthz").json() == {"status": "ok"}
    assert https.get("/docs").status_code == 200
    assert [push.id for push in rig.bus.pushes] == ["m0", "m1", "m2"]


def test_pipelined_pushes(rig: Rig, url: str) -> None:
    names = [f"push-{number}" for number in range(500)]
    with connect(rig) as caller:
        caller.sendall(b"".join(map(push_of, names)))
        file = caller.makefile("rb")
        for name in names:
            while (line := file.readline()) != b"\r\n":
                assert line
            assert json.loads(file.read(len(name) + 9)) == {"id": name}
        file.close()


def test_a_body_that_is_too_large_is_told(rig: Rig, url: str) -> None:
    """The answer comes while the body is being sent, and is not lost."""
    with connect(rig) as caller:
        caller.sendall(request(b"x" * 200_000, length=50_000_000))
        for _ in range(30):
            try:
                caller.sendall(b"x" * 10_000)
            except OSError:
                break
        assert caller.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_plain_http_and_garbage_get_nothing(rig: Rig, https: httpx.Client) -> None:
    for said in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\0" * 50, b""):
        with socket.create_connection(("127.0.0.1", rig.port), timeout=10) as sock:
            sock.sendall(said)
            sock.shutdown(socket.SHUT_WR)
            try:
                assert b"HTTP/1.1 200" not in read_all(sock)
            except ConnectionResetError:
                pass
    assert https.get("/healthz").status_code == 200
    assert rig.call(lambda: len(rig.server._adopting)) == 0


def test_old_tls_is_refused(rig: Rig, url: str) -> None:
    trust = the_authority().trust()
    trust.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        trust.minimum_version = trust.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match="UNEXPECTED_EOF"):  # uvloop sends no alert
        connect(rig, trust)


def test_no_handshake_in_time(rig: Rig, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HANDSHAKE_TIMEOUT", 0.2)
    with socket.create_connection(("127.0.0.1", rig.port), timeout=10) as sock:
        sock.sendall(b"\x16\x03\x01")
        assert read_all(sock) == b""


def test_certificates_of_callers(rig: Rig, load: Callable[..., None], tmp_path: Path) -> None:
    ours, foreign = Authority("ours"), Authority("foreign")
    load(ours.pem)
    url = f"https://127.0.0.1:{rig.port}/healthz"
    nobody, stranger, caller = (the_authority().trust() for _ in range(3))
    stranger.load_cert_chain(*foreign.write(tmp_path, "stranger"))
    caller.load_cert_chain(*ours.write(tmp_path, "caller"))
    for refused in (nobody, stranger):
        with pytest.raises(httpx.TransportError):
            httpx.get(url, verify=refused)
    assert httpx.get(url, verify=caller).status_code == 200
    load()
    assert httpx.get(url, verify=nobody).status_code == 200, "and not any more after a reload"


def test_a_reload_keeps_connections(rig: Rig, https: httpx.Client, load: Callable[..., None]) -> None:
    assert https.get("/healthz").status_code == 200
    (before,) = rig.call(lambda: list(rig.server._state.connections))
    load(name="two")
    assert https.get("/healthz").status_code == 200
    assert rig.call(lambda: list(rig.server._state.connections)) == [before]
    with connect(rig) as caller:
        shown = caller.getpeercert()
        assert shown is not None
        assert shown["subject"] == ((("commonName", "two"),),)


def test_stopping(rig: Rig, https: httpx.Client) -> None:
    """Idle callers and those in their handshake do not hold a stop up; who asked is answered."""
    assert https.get("/healthz").status_code == 200  # and its connection is kept
    rig.bus.stalling = True
    with socket.create_connection(("127.0.0.1", rig.port), timeout=10) as early, connect(rig) as asking:
        early.sendall(b"\x16\x03\x01")
        asking.sendall(push_of("last"))
        rig.release(expected=1)
        answer = asking.recv(65536)
        assert answer.startswith(b"HTTP/1.1 202 ")
        began = time.monotonic()
        asyncio.run_coroutine_threadsafe(rig.server.stop(5.0), rig.loop).result(10)
        assert time.monotonic() - began < 4.5
        assert read_all(early) == b""
