"""Tokens made by hand, so that they can be as wrong as a test needs them, and so that PyJWT does not check itself."""

import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from time import time
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pushgate.codes import Close
from pushgate.config import TenantConfig, TokenKeyConfig
from pushgate.errors import TokenRefused
from pushgate.tenants.registry import Tenants

SECRET = "correct horse battery staple, and then some more of it: 64 bytes."
OTHER_SECRET = SECRET.swapcase()

Sign = Callable[[bytes], bytes]


def base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def hmac_with(secret: str | bytes, digest: str = "sha256") -> Sign:
    key = secret.encode() if isinstance(secret, str) else secret
    return lambda signed: hmac.digest(key, signed, digest)


sign_right = hmac_with(SECRET)


def forge_raw(header: bytes, payload: bytes, sign: Sign = sign_right) -> str:
    """Return a token of any bytes as header and payload, signed."""
    signed = f"{base64url(header)}.{base64url(payload)}"
    return f"{signed}.{base64url(sign(signed.encode()))}"


def forge(claims: dict[str, Any] | None = None, sign: Sign = sign_right, **header: Any) -> str:
    """Return a token that is good but for what is given: claims over those of alice, and header fields.

    None leaves a claim out.
    """
    payload = {"sub": "alice", "exp": int(time()) + 60, **(claims or {})}
    payload = {name: value for name, value in payload.items() if value is not None}
    return forge_raw(json.dumps({"alg": "HS256", "typ": "JWT", **header}).encode(), json.dumps(payload).encode(), sign)


def hs256(secret: str = SECRET, kid: str = "") -> TokenKeyConfig:
    return TokenKeyConfig(algorithm="HS256", secret=secret, kid=kid)


def tenants_with(*keys: TokenKeyConfig, require_exp: bool = True) -> Tenants:
    """Return Tenants with the tenant "default" alone, which has these keys (none given: HS256 with SECRET)."""
    return Tenants({"default": TenantConfig(token_keys=list(keys) or [hs256()], require_exp=require_exp)})


def pem_of(private_key: Any) -> str:
    pem: bytes = private_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem.decode()


def refused(tenants: Tenants, token: str) -> tuple[Close, str]:
    """Return the code and reason that a token is refused with; it must be refused, in a reason fit for a client."""
    with pytest.raises(TokenRefused) as caught:
        tenants.check_token(token)
    assert len(caught.value.reason.encode()) <= 123  # what fits into a close frame
    assert str(caught.value) == caught.value.reason
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value.close, caught.value.reason
