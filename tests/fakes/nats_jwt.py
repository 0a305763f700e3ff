"""An operator's NATS: an account and a user as `nsc` would make them, in JWTs of our own making."""

import base64
import binascii
import hashlib
import json
import time
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KINDS = {"operator": 14 << 3, "account": 0, "user": 20 << 3}
SEED = 18 << 3
LIMITS = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf"), -1)


class Party:
    """An operator, an account or a user: a key, and what it signs."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._key = Ed25519PrivateKey.generate()
        self.name = _encode(bytes([KINDS[kind]]) + self._key.public_key().public_bytes_raw())

    @property
    def seed(self) -> str:
        prefix = KINDS[self.kind]
        return _encode(bytes([SEED | prefix >> 5, (prefix & 31) << 3]) + self._key.private_bytes_raw())

    def sign(self, subject: "Party", **claims: Any) -> str:
        """Return a JWT about another one."""
        body = {
            "iat": int(time.time()),
            "iss": self.name,
            "name": subject.kind,
            "sub": subject.name,
            "nats": {"type": subject.kind, "version": 2, **claims},
        }
        body["jti"] = base64.b32encode(hashlib.sha256(json.dumps(body).encode()).digest()).decode().rstrip("=")
        parts = ({"typ": "JWT", "alg": "ed25519-nkey"}, body)
        signed = ".".join(_base64(json.dumps(part).encode()) for part in parts)
        return f"{signed}.{_base64(self._key.sign(signed.encode()))}"


def make_operator() -> tuple[str, str]:
    """Return the configuration of a server, and the credentials of a user of it."""
    operator, account, user = map(Party, ("operator", "account", "user"))
    account_jwt = operator.sign(account, limits={**LIMITS, "wildcards": True})
    user_jwt = account.sign(user, subs=-1, data=-1, payload=-1)
    config = f"""operator: {operator.sign(operator)}
        resolver: MEMORY
        resolver_preload: {{{account.name}: {account_jwt}}}"""
    credentials = f"""-----BEGIN NATS USER JWT-----
{user_jwt}
------END NATS USER JWT------

************************* IMPORTANT *************************
-----BEGIN USER NKEY SEED-----
{user.seed}
------END USER NKEY SEED------
"""
    return config, credentials


def _encode(raw: bytes) -> str:
    checksum = binascii.crc_hqx(raw, 0).to_bytes(2, "little")
    return base64.b32encode(raw + checksum).decode().rstrip("=")


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
