"""An authority of the tests' own, what it signs, and what its clients trust."""

import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class Authority:
    """Signs certificates; `write` puts what it signs into files."""

    def __init__(self, name: str = "authority") -> None:
        self._key = new_key()
        self._name = _name(name)
        self._certificate = _sign(self._name, self._key, self._name, self._key, -400, 400)
        self.pem = self._certificate.public_bytes(Encoding.PEM)

    def sign(
        self,
        name: str,
        key: Key | None = None,
        since: float = -100,
        until: float = 30,
        password: bytes | None = None,
        names: int = 0,
    ) -> tuple[bytes, bytes]:
        """Return the chain and the key of a new certificate for this machine, in PEM.

        It holds from `since` to `until`, days from now. `names` more of 63 bytes make it longer.
        """
        key = key or new_key()
        more = ["localhost", *(f"{number:055}.example" for number in range(names))]
        certificate = _sign(_name(name), key, self._name, self._key, since, until, more)
        encryption: KeySerializationEncryption = BestAvailableEncryption(password) if password else NoEncryption()
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
        return certificate.public_bytes(Encoding.PEM) + self.pem, private

    def write(self, directory: Path, name: str, **options: Any) -> tuple[str, str]:
        """Return the paths of the chain and the key of a new certificate."""
        paths = directory / f"{name}.pem", directory / f"{name}.key"
        for path, content in zip(paths, self.sign(name, **options), strict=True):
            path.write_bytes(content)
        return str(paths[0]), str(paths[1])

    def trust(self) -> ssl.SSLContext:
        """Return what a client needs that trusts this authority alone."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.pem.decode())
        return context


@cache
def the_authority() -> Authority:
    """Return the authority that most tests share."""
    return Authority()


def new_key() -> ec.EllipticCurvePrivateKey:
    """Return a key of the cheapest kind."""
    return ec.generate_private_key(ec.SECP256R1())


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _sign(
    subject: x509.Name,
    key: Key,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    since: float,
    until: float,
    names: Sequence[str] = (),
) -> x509.Certificate:
    """Sign; who has no names is an authority."""
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=since))
        .not_valid_after(now + timedelta(days=until))
        .add_extension(x509.BasicConstraints(ca=not names, path_length=None), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if names:
        addresses = [x509.IPAddress(ip_address(each)) for each in ("127.0.0.1", "::1")]
        alternatives = [*addresses, *(x509.DNSName(name) for name in names)]
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    return builder.sign(issuer_key, SHA256())
