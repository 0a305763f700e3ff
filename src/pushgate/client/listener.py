"""The messages of one user, over as many connections as it takes."""

import asyncio
import inspect
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

from msgspec import DecodeError, json
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from pushgate.client.errors import ListenStopped, Unreachable
from pushgate.codes import CLOSE_ADVICE, Close
from pushgate.messages.client import FromServer, Message, Reconnect, Welcome
from pushgate.messages.json_codec import PROTOCOL

TokenSource = Callable[[], str | Awaitable[str]]
"""Gives a token whenever one is needed. May raise Unreachable, which is waited out; other errors end the listening."""

_FIRST_WAIT = 0.5
_LONGEST_WAIT = 30.0
_STEADY = 10.0  # seconds that a connection has to live for the waits to begin anew
_LARGEST = 16 * 1024 * 1024

_decoder = json.Decoder(FromServer)


class Listener:
    """An async iterator over what a user is pushed: `async for message in Listener(url, token)`.

    Connects again by the rule of the close codes (4000 to 4499 and lost connections: again; 4500 and more: not,
    but for 4501, which asks for a new token), after a random wait between 0 and a bound that doubles from 0.5 s to
    30 s. What is pushed live meanwhile is not for it. Raises ListenStopped when connecting again would not help.
    """

    def __init__(
        self,
        url: str,
        token: TokenSource,
        *,
        device: str | None = None,
        tls: ssl.SSLContext | None = None,
        notice: Callable[[str], None] = lambda words: None,
    ) -> None:
        """`url` like `ws://127.0.0.1:8000/ws`; `notice` is told in words when it connects, loses and waits.

        `tls` is for `wss://`, and says whom to trust; None: the system's authorities.
        """
        self._url = url
        self._token = token
        self._device = device
        self._tls = (tls or True) if url.lower().startswith("wss:") else None
        self._notice = notice
        self._failures = 0
        self._refused = ""  # the token that was refused as expired
        self._after = 0.0  # what the gateway asked for with `reconnect`
        self.welcome: Welcome | None = None

    async def __aiter__(self) -> AsyncIterator[Message]:
        """Yield messages until it is stopped; raises ListenStopped, and what the source of tokens raises."""
        clock = asyncio.get_running_loop().time
        while True:
            begun = clock()
            why = ""
            try:
                token = await self._next_token()
                async with self._connect(token) as connection:
                    async for message in self._messages(connection):
                        yield message
                    why = self._judge(connection, token)
            except InvalidStatus as refused:
                status = refused.response.status_code
                if status < 500 and status != 429:
                    raise ListenStopped(status, refused.response.body.decode(errors="replace").strip()) from None
                why = f"refused with status {status}"
            except (OSError, InvalidHandshake, ConnectionClosed, Unreachable) as error:
                why = str(error) or type(error).__name__
            if clock() - begun > _STEADY:
                self._failures = 0
            wait = self._after + random.uniform(0, min(_LONGEST_WAIT, _FIRST_WAIT * 2**self._failures))  # noqa: S311
            self._failures = min(self._failures + 1, 10)
            self._after = 0.0
            self._notice(f"{why}; connecting again in {wait:.1f} s")
            await asyncio.sleep(wait)

    async def _next_token(self) -> str:
        given = self._token()
        token = await given if inspect.isawaitable(given) else given
        if token == self._refused:
            raise ListenStopped(Close.TOKEN_EXPIRED, "the token expired, and there is no new one")
        return token

    def _connect(self, token: str) -> connect:
        url = self._url
        if self._device:
            url += f"{'&' if '?' in url else '?'}device={self._device}"
        # Not in the query, where it would stand in the logs of proxies.
        headers = {"Authorization": f"Bearer {token}"}
        return connect(
            url,
            ssl=self._tls,
            additional_headers=headers,
            subprotocols=[Subprotocol(PROTOCOL)],
            compression=None,
            max_size=_LARGEST,
        )

    async def _messages(self, connection: ClientConnection) -> AsyncIterator[Message]:
        """Yield the messages of one connection until it is closed."""
        try:
            async for text in connection:
                try:
                    said = _decoder.decode(text)
                except DecodeError:
                    continue  # a type that a newer gateway knows
                if isinstance(said, Message):
                    yield said
                elif isinstance(said, Welcome):
                    self.welcome = said
                    self._notice(f"connected as {said.user}, session {said.session}")
                elif isinstance(said, Reconnect):
                    self._after = said.after
        except ConnectionClosed:
            pass

    def _judge(self, connection: ClientConnection, token: str) -> str:
        """Say in words why a connection was closed, or raise ListenStopped when that was for good."""
        code, reason = connection.close_code or 1006, connection.close_reason or ""
        if code == Close.TOKEN_EXPIRED:
            self._refused = token
            return "the token expired"
        known = Close(code) if code in CLOSE_ADVICE else None
        if code >= 4500 or (known and not known.reconnect):
            raise ListenStopped(code, reason or (CLOSE_ADVICE[known].when if known else ""))
        return f"closed with {code} {reason}".rstrip() if code != 1006 else "the connection was lost"
