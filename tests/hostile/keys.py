"""The keys of the node under attack: one of every kind, another tenant's, and an attacker's own."""

from functools import partial
from itertools import count
from time import time

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from pushgate.tenants.registry import hash_api_key
from tests.tenants.forge import forge, hmac_with, pem_of

API_KEY = "pg_" + "k" * 43
SECRET = "s" * 64
EVIL_SECRET = "e" * 64
RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()
STRANGER = rsa.generate_private_key(65537, 2048)
"""An RSA key that nobody configured."""
_users = count(1)


def sign_rs256(signed: bytes, key: rsa.RSAPrivateKey = RSA_KEY) -> bytes:
    return key.sign(signed, padding.PKCS1v15(), SHA256())


def sign_ps256(signed: bytes) -> bytes:
    return RSA_KEY.sign(signed, padding.PSS(padding.MGF1(SHA256()), 32), SHA256())


def sign_es256_der(signed: bytes) -> bytes:
    return EC_KEY.sign(signed, ec.ECDSA(SHA256()))


def sign_es256(signed: bytes) -> bytes:
    return b"".join(number.to_bytes(32, "big") for number in decode_dss_signature(sign_es256_der(signed)))


sign = hmac_with(SECRET)
sign_evil = hmac_with(EVIL_SECRET)
sign_stranger = partial(sign_rs256, key=STRANGER)


def token(user: str = "") -> str:
    """Return a good token, of a user that nobody else is where none is named."""
    return forge({"sub": user or f"visitor-{next(_users)}", "exp": int(time()) + 3600}, sign)


def forge_expired() -> str:
    """Return a token whose time is over."""
    return forge({"sub": "late", "exp": int(time()) - 3600}, sign)


def configuration() -> str:
    """Return the node's pushgate.toml: `default` with a key of every kind, and `evil`."""

    def key(algorithm: str, kid: str, **material: str) -> str:
        lines = [f'{name} = """{value}"""' for name, value in material.items()]
        return "\n".join(["[[tenants.default.token_keys]]", f'algorithm = "{algorithm}"', f'kid = "{kid}"', *lines])

    return "\n".join(
        [
            f'[tenants.default]\napi_keys = ["{hash_api_key(API_KEY)}"]',
            key("HS256", "", secret=SECRET),
            key("RS256", "rs", public_key=pem_of(RSA_KEY)),
            key("RS256", "", public_key=pem_of(RSA_KEY)),
            key("PS256", "ps", public_key=pem_of(RSA_KEY)),
            key("ES256", "es", public_key=pem_of(EC_KEY)),
            key("EdDSA", "ed", public_key=pem_of(ED_KEY)),
            f'[tenants.evil]\n[[tenants.evil.token_keys]]\nalgorithm = "HS256"\nsecret = "{EVIL_SECRET}"',
        ]
    )
