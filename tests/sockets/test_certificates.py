"""What is read of PEM files and what is refused, and a port whose certificate is replaced."""

import os
import resource
import socket
import ssl
import time
import warnings
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.x509 import load_der_x509_certificate
from msgspec import msgpack

from pushgate.errors import ConfigError
from pushgate.sockets.certificates import Certificate, Certificates, TlsPort, read_certificate
from tests.rig.certificates import Authority, the_authority


def read(paths: tuple[str, str], client_ca: str = "") -> Certificate:
    read = read_certificate("clients", *paths, client_ca)
    assert read is not None
    return read


def write(directory: Path, content: bytes, name: str = "some.pem") -> str:
    path = directory / name
    path.write_bytes(content)
    return str(path)


def shake(
    port: TlsPort, context: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Return the client's and the server's side of a handshake in memory."""
    assert port.context is not None
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(down, up, server_hostname="localhost", session=session)
    server = port.context.wrap_bio(up, down, server_side=True)
    for _ in range(3):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pass
    return client, server


def name_of(client: ssl.SSLObject) -> str:
    """Return whose certificate a client was shown."""
    shown = client.getpeercert(binary_form=True)
    assert shown is not None
    (name,) = load_der_x509_certificate(shown).subject
    return str(name.value)


def error_of(certificate: str, key: str, client_ca: str = "") -> str:
    with pytest.raises(ConfigError) as caught:
        read_certificate("clients", certificate, key, client_ca)
    return str(caught.value)


def test_what_is_read(tmp_path: Path) -> None:
    certificate = read(the_authority().write(tmp_path, "one"))
    assert certificate.chain.count(b"BEGIN CERTIFICATE") == 2
    assert abs(certificate.expires - (time.time() + 30 * 86400)) < 60
    assert "PRIVATE" not in repr(certificate)
    assert msgpack.decode(msgpack.encode(certificate), type=Certificate) == certificate, "it can be sent to workers"
    assert read_certificate("clients", "", "") is None


def test_files_are_not_needed_once_they_are_read(tmp_path: Path) -> None:
    paths = the_authority().write(tmp_path, "one")
    certificate = read(paths)
    files = os.listdir("/proc/self/fd")
    for path in paths:
        os.unlink(path)
    client, _ = shake(TlsPort(certificate), the_authority().trust())
    assert name_of(client) == "one"
    assert os.listdir("/proc/self/fd") == files, "and none is left open"


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_kinds_of_keys(tmp_path: Path, kind: str) -> None:
    key = rsa.generate_private_key(65537, 2048) if kind == "rsa" else ed25519.Ed25519PrivateKey.generate()
    client, _ = shake(TlsPort(read(the_authority().write(tmp_path, kind, key=key))), the_authority().trust())
    assert name_of(client) == kind


def test_one_without_the_other(tmp_path: Path) -> None:
    certificate, key = the_authority().write(tmp_path, "one")
    assert error_of(certificate, "") == (
        "clients.tls_key: expected the path of a PEM file, since TLS is asked for, got nothing"
    )
    assert error_of("", key).startswith("clients.tls_certificate: expected the path")
    assert error_of("", "", certificate).startswith("clients.tls_certificate: expected the path")


def test_files_that_are_not_what_they_should_be(tmp_path: Path) -> None:
    authority = the_authority()
    certificate, key = authority.write(tmp_path, "one")
    _, other = authority.write(tmp_path, "other")
    missing, nonsense = str(tmp_path / "missing"), write(tmp_path, b"nonsense")
    assert error_of(missing, key) == (
        f"clients.tls_certificate: expected a readable PEM file, got {missing!r}: No such file or directory"
    )
    assert error_of(certificate, str(tmp_path)).endswith(f"got {str(tmp_path)!r}: Is a directory")
    assert error_of(certificate, "a\0b").endswith("not a path")
    assert error_of(nonsense, key) == (
        f"clients.tls_certificate: expected certificates in PEM, got {nonsense!r}, which holds something else"
    )
    assert error_of(key, certificate) == (
        f"clients.tls_certificate: expected certificates in PEM, got {key!r}, which holds something else"
    )
    assert error_of(certificate, nonsense) == (
        "clients.tls_key: expected a private key in PEM, without a password, "
        f"got {nonsense!r}, which holds something else"
    )
    assert error_of(certificate, other) == (
        f"clients.tls_key: expected the key of the first certificate in {certificate!r}, got another, {other!r}"
    )
    assert error_of(certificate, key, nonsense) == (
        f"clients.tls_client_ca: expected certificates in PEM, got {nonsense!r}, which holds something else"
    )


def test_a_key_with_a_password(tmp_path: Path) -> None:
    certificate, key = the_authority().write(tmp_path, "one", password=b"hush")
    assert error_of(certificate, key).endswith(f"got {key!r}, which is encrypted")


def test_a_key_too_short_to_be_safe(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        key = rsa.generate_private_key(65537, 1024)
    certificate, path = the_authority().write(tmp_path, "one", key=key)
    assert error_of(certificate, path) == (
        f"clients.tls_certificate: expected a certificate good for TLS, got {certificate!r}: ee key too small"
    )


@pytest.mark.parametrize(
    ("since", "until", "doubts"),
    [(-2, -1, ["the certificate has expired"]), (1, 2, ["the certificate is not valid yet"]), (-1, 1, [])],
)
def test_a_certificate_that_does_not_hold_today_is_read_and_doubted(
    tmp_path: Path, since: float, until: float, doubts: list[str]
) -> None:
    certificate = read(the_authority().write(tmp_path, "one", since=since, until=until))
    for section in ("clients", "management"):
        said = Certificates(**{section: certificate}).doubts(time.time())
        assert said == [f"{section}.tls_certificate: {doubt}" for doubt in doubts]


def test_what_is_spoken(tmp_path: Path) -> None:
    port = TlsPort(read(the_authority().write(tmp_path, "one")))
    trust = the_authority().trust()
    trust.set_alpn_protocols(["h2", "http/1.1"])
    client, _ = shake(port, trust)
    assert (client.version(), client.selected_alpn_protocol()) == ("TLSv1.3", "http/1.1")
    trust.maximum_version = ssl.TLSVersion.TLSv1_2
    client, _ = shake(port, trust)
    assert client.version() == "TLSv1.2"
    assert client.compression() is None
    name, _, _ = client.cipher() or ("", "", 0)
    assert name.startswith("ECDHE-")
    for weak in ("AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-SHA256"):  # no forward secrecy, no authenticated encryption
        trust.set_ciphers(weak)
        with pytest.raises(ssl.SSLError, match="NO_SHARED_CIPHER"):
            shake(port, trust)


def test_old_tls_is_refused(tmp_path: Path) -> None:
    port = TlsPort(read(the_authority().write(tmp_path, "one")))
    trust = the_authority().trust()
    trust.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        trust.minimum_version = ssl.TLSVersion.TLSv1
        trust.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match="UNSUPPORTED_PROTOCOL"):
        shake(port, trust)


def test_who_comes_again_resumes_its_session(tmp_path: Path) -> None:
    port = TlsPort(read(the_authority().write(tmp_path, "one")))
    trust = the_authority().trust()
    trust.maximum_version = ssl.TLSVersion.TLSv1_2  # where Python's client keeps a session without sending anything
    client, _ = shake(port, trust)
    assert not client.session_reused
    again, _ = shake(port, trust, client.session)
    assert again.session_reused


def test_client_certificates(tmp_path: Path) -> None:
    ours, foreign = Authority("ours"), Authority("foreign")
    client_ca = write(tmp_path, b"# \xc3\xbc\n" + ours.pem, "ca.pem")
    port = TlsPort(read(the_authority().write(tmp_path, "one"), client_ca))
    trust = the_authority().trust()
    trust.maximum_version = ssl.TLSVersion.TLSv1_2  # where a refusal shows within the handshake
    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        shake(port, trust)
    trust.load_cert_chain(*foreign.write(tmp_path, "stranger"))
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        shake(port, trust)
    trust.load_cert_chain(*ours.write(tmp_path, "caller"))
    client, _ = shake(port, trust)
    assert client.version() == "TLSv1.2"


def test_a_reload_is_for_new_handshakes(tmp_path: Path) -> None:
    authority = the_authority()
    port = TlsPort(read(authority.write(tmp_path, "one")))
    old_client, old_server = shake(port, authority.trust())
    port.load(read(authority.write(tmp_path, "two")))
    new_client, _ = shake(port, authority.trust())
    assert (name_of(old_client), name_of(new_client)) == ("one", "two")
    for number in range(3):
        old_server.write(b"still %d" % number)
        assert old_client.read() == b"still %d" % number
        old_client.write(b"here")
        assert old_server.read() == b"here"


def test_a_reload_of_the_same_changes_nothing(tmp_path: Path) -> None:
    paths = the_authority().write(tmp_path, "one")
    port = TlsPort(read(paths))
    before = port.context
    assert not port.load(read(paths))
    assert port.context is before, "and clients can still resume their sessions"


def test_a_reload_can_switch_tls_off_and_on(tmp_path: Path) -> None:
    port = TlsPort()
    assert port.context is None
    certificate = read(the_authority().write(tmp_path, "one"))
    assert port.load(certificate)
    assert name_of(shake(port, the_authority().trust())[0]) == "one"
    port.load(None)
    assert port.context is None


def test_a_reload_that_fails_leaves_what_was(tmp_path: Path) -> None:
    port = TlsPort(read(the_authority().write(tmp_path, "one")))
    before = port.context
    with pytest.raises(ssl.SSLError):
        port.load(Certificate(b"nonsense", b"nonsense", b"", 0, 0))
    assert port.context is before


def test_a_reload_without_a_free_descriptor_leaves_what_was(tmp_path: Path) -> None:
    authority = the_authority()
    port, new = TlsPort(read(authority.write(tmp_path, "one"))), read(authority.write(tmp_path, "two"))
    before = port.context
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            port.load(new)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert port.context is before
    port.load(new)
    assert name_of(shake(port, authority.trust())[0]) == "two"


def test_the_keys_survive_a_fork(tmp_path: Path) -> None:
    """Workers are forked with the port that the supervisor made."""
    port = TlsPort(read(the_authority().write(tmp_path, "one")))
    assert port.context is not None
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        try:
            with port.context.wrap_socket(theirs, server_side=True) as server:
                server.send(b"from the child")
        finally:
            os._exit(0)
    theirs.close()
    with the_authority().trust().wrap_socket(ours, server_hostname="localhost") as client:
        assert client.recv(64) == b"from the child"
    os.waitpid(pid, 0)
