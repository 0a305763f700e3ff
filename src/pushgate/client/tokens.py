"""A client's tokens: a new one for each connection, and before the one that it is connected with expires."""

import inspect
import time
from base64 import urlsafe_b64decode
from collections.abc import Awaitable, Callable

from msgspec import DecodeError, Struct, json

from pushgate.client.errors import ListenStopped, Unreachable
from pushgate.codes import Close

TokenSource = Callable[[], str | Awaitable[str]]
"""Gives a token whenever one is needed. May raise Unreachable, which is waited out; other errors end the listening."""

_AHEAD = 60.0  # seconds before its end that a token is replaced, or half of what is left of it where that is less
_SOONEST = 1.0  # seconds between two questions for a token that would last


class _Claims(Struct):
    exp: float | None = None


class Tokens:
    """What a source gives. `due` is when the token in use is to be replaced, by the monotonic clock; None: never."""

    def __init__(self, source: TokenSource) -> None:
        self._source = source
        self._newest = ""
        self._connected = ""  # the one that was connected with last
        self._refused = ""  # the one that expired
        self.due: float | None = None

    async def take(self) -> str:
        """Return a token to connect with. Raises ListenStopped when it is still the one that expired."""
        token = await self._ask()
        if token == self._refused:
            raise ListenStopped(Close.TOKEN_EXPIRED, "the token expired, and there is no new one")
        self._connected = token
        self._note(token)
        return token

    async def renew(self) -> str | None:
        """Return a token to refresh the connection with, None where the source has no other one yet, or is away."""
        try:
            token = await self._ask()
        except Unreachable:
            token = self._newest
        renewed = token if token != self._newest else None
        self._note(token)
        return renewed

    def refuse(self) -> None:
        """Note that the connection ended because its token expired.

        Whether one that it was refreshed with had arrived by then nobody knows, so that one may be tried.
        """
        self._refused = self._connected

    async def _ask(self) -> str:
        given = self._source()
        return await given if inspect.isawaitable(given) else given

    def _note(self, token: str) -> None:
        self._newest = token
        expires = read_expiry(token)
        if expires is None:
            self.due = None
        else:
            left = expires - time.time()
            self.due = time.monotonic() + max(_SOONEST, left - _AHEAD, left / 2) if left > 0 else None


def read_expiry(token: str) -> float | None:
    """Return when a token expires, in seconds since 1970; None where it does not say so. Nothing of it is checked."""
    claims = token.split(".")[1:2]
    try:
        return json.decode(urlsafe_b64decode(claims[0] + "==="), type=_Claims).exp if claims else None
    except (ValueError, DecodeError):
        return None
