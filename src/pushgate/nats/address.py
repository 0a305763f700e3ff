"""Where NATS is, and how to be let in: what a URL says, as nats-py takes it."""

import base64
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from nats.aio.client import Srv

from pushgate.brokers.options import TLS_FILES, make_context, read_options
from pushgate.errors import ConfigError

FILES = (*TLS_FILES, "credentials")
"""What may stand behind the `?`, each the path of a file."""


class Address:
    """The servers of a URL, and how to connect to them: `nats://` or `tls://` with
    `[user:password@]host[:port][,…][?ca=…&certificate=…&key=…&credentials=…]`.

    One user, or one token, for all the servers. `ca` (PEM) is whom to trust instead of the system's authorities;
    `certificate` and `key` are the client's own; `credentials` is a file with a JWT and a seed, as `nsc` writes it.
    Raises ConfigError when it is none, or a file cannot be used, naming the `setting`, without telling a secret.
    """

    def __init__(self, url: str, setting: str) -> None:
        places, _, query = url.partition("?")
        self._setting = setting
        self._files = read_options(query, FILES, "" if places.startswith("tls:") else "tls", setting)
        self.servers, self._user = _read_places(places, setting)
        self.options()

    def options(self) -> dict[str, Any]:
        """Return what nats-py wants to know beside the servers; files are read anew each time. Raises ConfigError."""
        options: dict[str, Any] = dict(self._user)
        try:
            if "ca" in self._files or "certificate" in self._files:
                options["tls"] = make_context(self._files)
            if "credentials" in self._files:
                options |= _read_credentials(Path(self._files["credentials"]).read_text())
        except (OSError, ValueError) as error:
            raise ConfigError(f"{self._setting}: a file of it cannot be used: {error}") from None
        return options


def _read_places(url: str, setting: str) -> tuple[list[Srv], dict[str, str]]:
    """Return the servers, and their one user as nats-py's options."""
    scheme = url.partition(":")[0]
    rest = url.removeprefix(f"{scheme}:").removeprefix("//")
    servers = []
    user: dict[str, str] = {}
    for place, part in enumerate(rest.split(","), 1):
        try:
            uri = urlparse(f"{scheme}://{part.removeprefix(f'{scheme}://')}")
            host, port = uri.hostname, uri.port or 4222
        except ValueError:
            host = None
        if not host or uri.path.strip("/") or uri.fragment:
            raise ConfigError(
                f"{setting}: expected {scheme}://[user:password@]host[:port][,…], but server {place} is not so"
                " (a comma, @, / or ? in a password is written %2C, %40, %2F, %3F)"
            )
        if uri.username and not user:
            name, password = unquote(uri.username), unquote(uri.password or "")
            user = {"user": name, "password": password} if password else {"token": name}
        servers.append(Srv(uri._replace(netloc=f"[{host}]:{port}" if ":" in host else f"{host}:{port}", path="")))
    return servers, user


def _read_credentials(text: str) -> dict[str, Any]:
    """Return the options for a JWT, and a seed that proves who has it. Raises ValueError."""
    jwt, seed = (_section(text, title) for title in ("NATS USER JWT", "USER NKEY SEED"))
    raw = base64.b32decode(seed + "=" * (-len(seed) % 8))
    key = Ed25519PrivateKey.from_private_bytes(raw[2:-2])  # between them what kind of key it is, and a checksum

    def sign(nonce: str) -> bytes:
        return base64.b64encode(key.sign(nonce.encode()))

    return {"user_jwt_cb": jwt.encode, "signature_cb": sign}


def _section(text: str, title: str) -> str:
    _, begun, rest = text.partition(f"BEGIN {title}-----")
    lines = rest.strip().splitlines()
    if not begun or not lines:
        raise ValueError(f"it has no {title}")
    return lines[0].strip()
