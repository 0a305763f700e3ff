"""What makes a signature worth something: the server's Ed25519 key binds it to the text, the party and the time."""

import json
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey


def digest(text: str) -> str:
    """Return the SHA-256 of a text, in hex."""
    return sha256(text.encode()).hexdigest()


def seal(key: Ed25519PrivateKey, statement: dict[str, str]) -> str:
    """Return the server's signature under a statement, in hex."""
    return key.sign(_encode(statement)).hex()


def check_seal(key: Ed25519PublicKey, statement: dict[str, str], signature: str) -> None:
    """Raises InvalidSignature when a statement is not the one that was signed."""
    key.verify(bytes.fromhex(signature), _encode(statement))


def _encode(statement: dict[str, str]) -> bytes:
    return json.dumps(statement, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
