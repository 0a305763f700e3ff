"""What a URL says of NATS; with the real server: whom it lets in."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from pushgate.errors import ConfigError
from pushgate.nats.address import Address
from pushgate.nats.connection import Connection
from pushgate.nats.link import NatsLink
from tests.fakes.nats import PlainNats
from tests.fakes.nats_jwt import make_operator
from tests.rig.certificates import the_authority


@pytest.fixture
def pems(tmp_path: Path) -> tuple[str, str, str]:
    """The paths of an authority, a certificate and its key."""
    authority = tmp_path / "ca.pem"
    authority.write_bytes(the_authority().pem)
    return str(authority), *the_authority().write(tmp_path, "own")


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[NatsLink]:
    connection = Connection(url, "bus")
    connection.start()
    try:
        yield await asyncio.wait_for(connection.ready(), 5)
    finally:
        await connection.stop()


def test_servers_and_their_one_user() -> None:
    address = Address("nats://us%40er:p%3Fw@a,b:1,[::1]", "bus.url")
    assert [server.uri.netloc for server in address.servers] == ["a:4222", "b:1", "[::1]:4222"]
    assert address.options() == {"user": "us@er", "password": "p?w"}
    assert Address("nats://t0ken@a", "bus.url").options() == {"token": "t0ken"}


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("tls://a?", ""),
        ("tls://a?cb=x", "expected ca, certificate, key, credentials behind the ?"),
        ("tls://a?ca", "expected ca, certificate, key, credentials"),
        ("tls://a?ca=", "expected ca, certificate, key, credentials"),
        ("tls://a?certificate=x", "expected certificate and key together"),
        ("nats://a?ca=x", "expected tls:// with ca or certificate"),
        ("tls://a?ca=/no/such", "a file of it cannot be used: .*No such file"),
        ("nats://a?credentials=/no/such", "a file of it cannot be used: .*No such file"),
        ("nats://a?credentials=/dev/null", "a file of it cannot be used: it has no NATS USER JWT"),
    ],
)
def test_what_is_wrong_behind_the_question_mark(url: str, error: str) -> None:
    if not error:
        assert Address(url, "bus.url").options() == {}
        return
    with pytest.raises(ConfigError, match=rf"^bus\.url: {error}".replace("?", r"\?")):
        Address(url, "bus.url")


async def test_a_server_of_our_own_authority_that_wants_a_certificate(
    tmp_path: Path, pems: tuple[str, str, str]
) -> None:
    ca, certificate, key = pems
    config = f'tls: {{cert_file: "{certificate}", key_file: "{key}", ca_file: "{ca}", verify: true}}'
    with closing(PlainNats(tmp_path / "nats", config)) as server:
        url = f"tls://localhost:{server.port}?ca={ca}"
        async with connected(f"{url}&certificate={certificate}&key={key}") as link:
            assert await link.send(()) is None
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1), connected(url):
                raise AssertionError("without a certificate nobody is let in")


async def test_credentials_of_an_operator_and_renewed_ones_are_taken_on(tmp_path: Path) -> None:
    config, credentials = make_operator()
    _, others = make_operator()
    file = tmp_path / "user.creds"
    file.write_text(others)
    with closing(PlainNats(tmp_path / "nats", config)) as server:
        connection = Connection(f"nats://127.0.0.1:{server.port}?credentials={file}", "bus")

        connection.start()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(connection.ready(), 0.7)
        file.write_text(credentials)
        link = await asyncio.wait_for(connection.ready(), 5)
        assert await link.send(()) is None
        await connection.stop()
