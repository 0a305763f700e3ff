"""Certificates: PEM files read and checked as a whole, and the TLS of a port, which a reload can replace."""

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from msgspec import Struct

from pushgate.config import Config
from pushgate.errors import ConfigError
from pushgate.metrics.catalogue import CERTIFICATES
from pushgate.metrics.rows import Row

CIPHERS = "@SECLEVEL=2:ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2: forward secrecy and authenticated encryption alone. All suites of TLS 1.3 are like that."""


class Certificate(Struct, frozen=True):
    """What a port needs to speak TLS, as PEM bytes: whoever starts later gets what was checked, and not the files.

    `chain` begins with the port's own certificate, which holds from `begins` to `expires`, seconds since 1970. With a
    `client_ca` who connects must show a certificate that it signed.
    """

    chain: bytes
    key: bytes
    client_ca: bytes
    begins: int
    expires: int

    def __repr__(self) -> str:
        return f"Certificate(begins={self.begins}, expires={self.expires})"


class Certificates(Struct, frozen=True):
    """The certificates of both ports; None where one speaks plain text."""

    clients: Certificate | None = None
    management: Certificate | None = None

    def doubts(self, now: float) -> list[str]:
        """Say which of them do not hold at a moment, in seconds since 1970: a node comes up with them all the same."""
        doubts = []
        for section, certificate in (("clients", self.clients), ("management", self.management)):
            if certificate is not None and certificate.expires < now:
                doubts.append(f"{section}.tls_certificate: the certificate has expired")
            elif certificate is not None and certificate.begins > now:
                doubts.append(f"{section}.tls_certificate: the certificate is not valid yet")
        return doubts


def note_expiry(certificates: Certificates, row: Row) -> None:
    """Write into a row when they expire."""
    for port, certificate in (("clients", certificates.clients), ("management", certificates.management)):
        row[CERTIFICATES[port]] = certificate.expires if certificate is not None else 0


class TlsPort:
    """The TLS of a port: `context` is for the next handshake, None where the port speaks plain text.

    A connection keeps the context that it began with.
    """

    def __init__(self, certificate: Certificate | None = None) -> None:
        self.context: ssl.SSLContext | None = None
        self._certificate: Certificate | None = None
        self.load(certificate)

    def load(self, certificate: Certificate | None) -> bool:
        """Have this certificate in place of the one before; returns whether it is another one.

        Raises OSError, and then the one before stays, when no descriptor is free to have OpenSSL read from.
        """
        if certificate == self._certificate:
            return False
        self.context = _make_context(certificate) if certificate is not None else None
        self._certificate = certificate
        return True


class Tls:
    """The TLS of both ports."""

    def __init__(self, certificates: Certificates) -> None:
        self.clients = TlsPort(certificates.clients)
        self.management = TlsPort(certificates.management)

    def load(self, certificates: Certificates) -> list[str]:
        """Have these certificates in place of those before; returns the ports that have another one.

        Raises OSError as `TlsPort.load` does.
        """
        loaded = {
            "clients": self.clients.load(certificates.clients),
            "management": self.management.load(certificates.management),
        }
        return [port for port, is_new in loaded.items() if is_new]


def read_certificates(config: Config) -> Certificates:
    """Return the certificates that a configuration asks for; raises ConfigError as `read_certificate` does."""
    clients, management = config.clients, config.management
    return Certificates(
        read_certificate("clients", clients.tls_certificate, clients.tls_key),
        read_certificate("management", management.tls_certificate, management.tls_key, management.tls_client_ca),
    )


def read_certificate(section: str, certificate: str, key: str, client_ca: str = "") -> Certificate | None:
    """Return what the files at these paths hold, checked; None where all paths are empty.

    `section` is where the settings `tls_certificate`, `tls_key` and `tls_client_ca` stand. Raises ConfigError that
    names the setting and the file.
    """
    names = {f"{section}.tls_certificate": certificate, f"{section}.tls_key": key}
    if not certificate and not key and not client_ca:
        return None
    for name, path in names.items():
        if not path:
            raise ConfigError(f"{name}: expected the path of a PEM file, since TLS is asked for, got nothing")
    (chain_setting, key_setting), ca_setting = names, f"{section}.tls_client_ca"
    chain_pem, leaf = _read_certificates(chain_setting, certificate)
    key_pem = _read_key(key_setting, key)
    ca_pem = _read_certificates(ca_setting, client_ca)[0] if client_ca else b""
    begins, expires = (int(each.timestamp()) for each in (leaf.not_valid_before_utc, leaf.not_valid_after_utc))
    read = Certificate(chain_pem, key_pem, ca_pem, begins, expires)
    try:
        _make_context(read)
    except ssl.SSLError as error:
        reason = (error.reason or "unknown").lower().replace("_", " ")
        if "mismatch" in reason:
            raise ConfigError(
                f"{key_setting}: expected the key of the first certificate in {certificate!r}, got another, {key!r}"
            ) from None
        raise ConfigError(
            f"{chain_setting}: expected a certificate good for TLS, got {certificate!r}: {reason}"
        ) from None
    return read


def _read(setting: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a path"
        raise ConfigError(f"{setting}: expected a readable PEM file, got {path!r}: {reason}") from None


def _read_certificates(setting: str, path: str) -> tuple[bytes, x509.Certificate]:
    """Return what a file of certificates holds, and the first of them."""
    pem = _read(setting, path)
    try:
        return pem, x509.load_pem_x509_certificates(pem)[0]
    except ValueError:
        raise ConfigError(
            f"{setting}: expected certificates in PEM, got {path!r}, which holds something else"
        ) from None


def _read_key(setting: str, path: str) -> bytes:
    pem = _read(setting, path)
    expected = "expected a private key in PEM, without a password"
    try:
        load_pem_private_key(pem, None)  # OpenSSL would ask the terminal for a password
    except TypeError:
        raise ConfigError(f"{setting}: {expected}, got {path!r}, which is encrypted") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigError(f"{setting}: {expected}, got {path!r}, which holds something else") from None
    return pem


def _make_context(certificate: Certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    # Frames and requests have lengths of their own: an end without `close_notify` cuts nothing off unnoticed.
    context.options |= getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)  # OpenSSL 1.1.1 does so unasked
    context.set_alpn_protocols(["http/1.1"])
    # Who comes again needs one. With none at all a client that leaves Nagle's algorithm on would wait 40 ms for an
    # acknowledgement before its request goes out.
    context.num_tickets = 1
    with _in_memory(certificate.key + b"\n" + certificate.chain) as path:
        context.load_cert_chain(path)
    if certificate.client_ca:
        with _in_memory(certificate.client_ca) as path:
            context.load_verify_locations(path)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@contextmanager
def _in_memory(content: bytes) -> Iterator[str]:
    """Give a path under which content can be read, for OpenSSL, without putting it on a disk."""
    with open(os.memfd_create("pem"), "wb", buffering=0) as file:
        file.write(content)
        yield f"/proc/self/fd/{file.fileno()}"
