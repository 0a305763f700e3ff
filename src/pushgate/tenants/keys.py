"""One key that tokens are verified with: prepared at the start, pinned to the one algorithm it is set for."""

from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt import InvalidKeyError, PyJWS
from jwt.algorithms import get_default_algorithms

from pushgate.config import TokenKeyConfig
from pushgate.errors import ConfigError

_ALGORITHMS = get_default_algorithms()
_JWS = PyJWS()
_SECRET_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
_PUBLIC_KEYS = {
    "RS256": "an RSA public key of at least 2048 bits",
    "PS256": "an RSA public key of at least 2048 bits",
    "ES256": "an EC public key on the curve P-256",
    "EdDSA": "an Ed25519 public key",
}


class Key:
    """A prepared key. `material` is bytes (HS*) or a public key object; `symmetric` keys can sign as well."""

    __slots__ = ("_algorithm", "algorithm", "kid", "material", "symmetric")

    def __init__(self, algorithm: str, kid: str, material: Any) -> None:
        self.algorithm = algorithm
        self.kid = kid
        self.material = material
        self.symmetric = algorithm in _SECRET_BYTES
        self._algorithm = _ALGORITHMS[algorithm]

    def verify(self, signed: bytes, signature: bytes) -> bool:
        """Return whether a signature over some bytes was made with this key, under its own algorithm."""
        # PyJWS.decode would prepare the key anew for every token, which takes longer than all the rest.
        return self._algorithm.verify(signed, self.material, signature)

    def sign(self, payload: bytes) -> str:
        """Return a token with a payload, signed with this symmetric key."""
        return _JWS.encode(payload, self.material, self.algorithm, {"kid": self.kid} if self.kid else None)


def load_key(config: TokenKeyConfig, path: str) -> Key:
    """Return the prepared key of a configuration. Raises ConfigError that names the field under `path`."""
    given = [name for name in ("secret", "public_key", "public_key_file") if getattr(config, name)]
    wanted = ("secret",) if config.algorithm in _SECRET_BYTES else ("public_key", "public_key_file")
    if len(given) != 1 or given[0] not in wanted:
        raise ConfigError(
            f"{path}.{wanted[0]}: expected {' or '.join(wanted)}, and nothing beside it, "
            f"for {config.algorithm}, got {' and '.join(given) or 'none of them'}"
        )
    field = f"{path}.{given[0]}"
    if config.secret:
        return Key(config.algorithm, config.kid, _check_secret(config.secret, config.algorithm, field))
    pem = config.public_key.encode() or _read_file(config.public_key_file, field)
    return Key(config.algorithm, config.kid, _load_public_key(pem, config.algorithm, field))


def _check_secret(secret: str, algorithm: str, field: str) -> bytes:
    size = _SECRET_BYTES[algorithm]
    data = secret.encode()
    if len(data) < size:
        raise ConfigError(
            f"{field}: expected at least {size} bytes for {algorithm} (RFC 7518 section 3.2), got {len(data)}"
        )
    try:
        # It refuses what is public: PEM, SSH and DER keys, certificates and JWKs.
        _ALGORITHMS[algorithm].prepare_key(data)
    except InvalidKeyError:
        raise ConfigError(
            f"{field}: expected a secret for {algorithm}, got a key in PEM, DER, SSH or JWK form"
        ) from None
    return data


def _read_file(name: str, field: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a path"
        raise ConfigError(f"{field}: expected a readable PEM file, got {name!r}: {reason}") from None


def _load_public_key(pem: bytes, algorithm: str, field: str) -> Any:
    expected = _PUBLIC_KEYS[algorithm]
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        came = "a private key" if b"PRIVATE KEY" in pem else "something else"
        raise ConfigError(f"{field}: expected {expected} in PEM for {algorithm}, got {came}") from None
    match algorithm, key:
        case (("RS256" | "PS256"), RSAPublicKey(key_size=size)) if size >= 2048:
            return key
        case "ES256", EllipticCurvePublicKey(curve=SECP256R1()):
            return key
        case "EdDSA", Ed25519PublicKey():
            return key
    bits = f" of {key.key_size} bits" if isinstance(key, RSAPublicKey | EllipticCurvePublicKey) else ""
    raise ConfigError(f"{field}: expected {expected} for {algorithm}, got a key of type {type(key).__name__}{bits}")
