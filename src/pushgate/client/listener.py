"""The messages of one user, over as many connections as it takes."""

import asyncio
import random
import ssl
import time
from base64 import b64decode
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Literal
from urllib.parse import urlencode

from msgspec import UNSET, DecodeError, json
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from pushgate.client.backoff import Backoff
from pushgate.client.errors import ListenStopped, Unreachable
from pushgate.client.place import Place, read_place, write_place
from pushgate.client.tokens import Tokens, TokenSource
from pushgate.codes import CLOSE_ADVICE, Close
from pushgate.messages.client import Ack, Error, FromServer, Message, Reconnect, Refresh, Welcome
from pushgate.messages.json_codec import PROTOCOL

_STEADY = 10.0  # seconds that a connection has to live for the waits to begin anew
_LARGEST = 16 * 1024 * 1024
_LONGEST_RETRY = 300  # seconds: a Retry-After above is a mistake
_MOST_OWED = 64  # messages handled and not acknowledged: a quarter of what the gateway sends ahead

_decoder = json.Decoder(FromServer)


class Listener:
    """An async iterator over what a user is pushed: `async for message in Listener(url, token)`.

    Connects again by the rule of the close codes (4000 to 4499 and lost connections: again; 4500 and more: not,
    but for 4501, which asks for a new token), when the gateway asked for it by `reconnect` or `Retry-After`; else after
    a random part of 2 s, or of the `spread` that it told where that is more, then each time so long, and at last a
    quarter of how long it waited, up to 30 s. What is pushed live meanwhile is not for it. Raises ListenStopped when
    connecting again would not help.

    With a `device` it has an inbox. A message counts as handled when the next one is asked for, or `acknowledge` is
    called; then the cursor moves past it, which is written to `cursor_file` and acknowledged, for many messages at
    once while more are there. A connection that is lost goes on from the cursor, and what is not above it is dropped:
    reliable messages come in order, each once as long as the program lives, and, with a file, at least once when it
    was killed; or exactly once, where `place` is kept together with what the message led to and given as `start`.
    `missed` says that something after the cursor was gone when it last connected.

    A new token is asked for with each connection, after the gateway said that the old one expired, and a minute
    before it will (`refresh`) while messages are waited for.
    """

    def __init__(
        self,
        url: str,
        token: TokenSource,
        *,
        device: str | None = None,
        cursor_file: Path | None = None,
        start: Place | None = None,
        begin: Literal["oldest", "now"] = "oldest",
        tls: ssl.SSLContext | None = None,
        notice: Callable[[str], None] = lambda words: None,
    ) -> None:
        """`url` like `ws://127.0.0.1:8000/ws`; `notice` is told in words when it connects, loses and waits.

        `cursor_file` is of this one user and device; `start` is a place kept elsewhere; without both the gateway alone
        knows the cursor when this begins. `begin` is where a device begins that the gateway never saw before.
        `tls` is for `wss://`, and says whom to trust; None: the system's authorities.
        Raises ConfigError for a cursor file that is none, and, later, when it cannot be written.
        """
        self._url = url
        self._tokens = Tokens(token)
        self._device = device
        self._begin_at = begin
        self._cursor_file = cursor_file
        self._place = start if device else None
        if device and cursor_file and start is None:
            self._place = read_place(cursor_file)
        self._connection: ClientConnection | None = None
        self._in_hand: int | None = None  # the offset of the message that was handed over last
        self._owed = 0  # messages that were handled and not acknowledged
        self._tls = (tls or True) if url.lower().startswith("wss:") else None
        self._notice = notice
        self._backoff = Backoff()
        self._after: float | None = None  # what the gateway asked for with `reconnect` or Retry-After
        self.welcome: Welcome | None = None

    @property
    def missed(self) -> bool:
        """Whether something after the cursor was gone when it last connected."""
        return self.welcome is not None and self.welcome.missed is True

    @property
    def place(self) -> Place | None:
        """Where this device is once the message that was handed over last is handled; None without an inbox."""
        if self._place is not None and self._in_hand is not None:
            return Place(self._in_hand, self._place.epoch)
        return self._place

    async def acknowledge(self) -> None:
        """Say that the last message is handled without asking for the next one: before the listening is ended."""
        self._settle()
        await self._tell()

    async def __aiter__(self) -> AsyncGenerator[Message, None]:
        """Yield messages until closed (`aclosing`). Raises ListenStopped, and what the source of tokens raises."""
        clock = asyncio.get_running_loop().time
        while True:
            begun = clock()
            why = ""
            try:
                async with self._connect(await self._tokens.take()) as connection:
                    async with aclosing(self._messages(connection)) as messages:
                        async for message in messages:
                            yield message
                    why = self._judge(connection)
            except InvalidStatus as refused:
                status = refused.response.status_code
                if status < 500 and status != 429:
                    raise ListenStopped(status, refused.response.body.decode(errors="replace").strip()) from None
                why = f"refused with status {status}"
                self._after = _read_retry_after(refused.response.headers.get("Retry-After", ""))
            except (OSError, InvalidHandshake, ConnectionClosed, Unreachable) as error:
                why = str(error) or type(error).__name__
            if clock() - begun > _STEADY:
                self._backoff.reset()
            wait = self._backoff.next(self._after)
            self._after = None
            self._notice(f"{why}; connecting again in {wait:.1f} s")
            await asyncio.sleep(wait)

    def _connect(self, token: str) -> connect:
        url = self._url
        if self._device:
            query: dict[str, str | int] = {"device": self._device}
            if self._begin_at != "oldest":
                query["from"] = self._begin_at
            if self._place is not None:
                query |= {"cursor": self._place.cursor, "epoch": self._place.epoch}
            url += f"{'&' if '?' in url else '?'}{urlencode(query, safe=':')}"
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

    async def _messages(self, connection: ClientConnection) -> AsyncGenerator[Message, None]:
        """Yield the messages of one connection until it is closed."""
        self._connection, self._owed, self._in_hand = connection, 0, None
        try:
            while True:
                try:
                    said = _decoder.decode(await self._receive(connection))
                except DecodeError:
                    continue  # a type that a newer gateway knows
                if isinstance(said, Message):
                    if said.offset is not UNSET and self._place is not None:
                        if said.offset <= self._place.cursor:
                            continue
                        self._in_hand = said.offset
                    yield said
                    self._settle()
                elif isinstance(said, Welcome):
                    self._begin(said)
                elif isinstance(said, Reconnect):
                    self._after = said.after
                elif isinstance(said, Error):
                    self._notice(f"the gateway says {said.code}: {said.message}")
        except ConnectionClosed:
            pass
        finally:
            self._connection = None
            await self._tell()  # to the file; the gateway hears it when it is connected to again

    async def _receive(self, connection: ClientConnection) -> str | bytes:
        """Return what comes next; what was handled is acknowledged when there is no more for now, or much of it."""
        coming = asyncio.ensure_future(connection.recv())
        try:
            await asyncio.sleep(0)  # what is there already comes now
            if not coming.done() or self._owed >= _MOST_OWED:
                await self._tell()
            while (due := self._tokens.due) is not None:
                await asyncio.wait((coming,), timeout=max(0.0, due - time.monotonic()))
                if time.monotonic() < due:
                    break
                if token := await self._tokens.renew():
                    with suppress(ConnectionClosed):  # what came before its end is still to be read
                        await connection.send(json.encode(Refresh(token)).decode())
            return await coming
        finally:
            coming.cancel()

    def _begin(self, welcome: Welcome) -> None:
        """Take a welcome: where this device goes on."""
        self.welcome = welcome
        if welcome.spread is not UNSET:
            self._backoff.raise_to(welcome.spread)
        self._notice(f"connected as {welcome.user}, session {welcome.session}")
        if welcome.epoch is UNSET or welcome.cursor is UNSET:
            return  # a connection without an inbox
        if welcome.missed is True:
            self._notice("some messages after the cursor are gone; what is still kept comes")
        place = Place(welcome.cursor, welcome.epoch)
        if self._place is None or self._place.epoch != place.epoch or self._place.cursor < place.cursor:
            self._move(place)

    def _settle(self) -> None:
        """Note that what was handed over is handled."""
        if self._in_hand is not None and self._place is not None:
            self._owed += 1
            self._place = Place(self._in_hand, self._place.epoch)
        self._in_hand = None

    async def _tell(self) -> None:
        """Keep the cursor and acknowledge it, if it moved since."""
        if self._owed and self._place is not None:
            self._move(self._place)
            self._owed = 0
            if self._connection is not None:
                with suppress(ConnectionClosed):  # the next connection says it
                    await self._connection.send(json.encode(Ack(self._place.cursor)).decode())

    def _move(self, place: Place) -> None:
        self._place = place
        if self._cursor_file is not None:
            write_place(self._cursor_file, place)

    def _judge(self, connection: ClientConnection) -> str:
        """Say in words why a connection was closed, or raise ListenStopped when that was for good."""
        code, reason = connection.close_code or 1006, connection.close_reason or ""
        if code == Close.TOKEN_EXPIRED:
            self._tokens.refuse()
            return "the token expired"
        known = Close(code) if code in CLOSE_ADVICE else None
        if code >= 4500 or (known and not known.reconnect):
            raise ListenStopped(code, reason or (CLOSE_ADVICE[known].when if known else ""))
        return f"closed with {code} {reason}".rstrip() if code != 1006 else "the connection was lost"


def _read_retry_after(text: str) -> float | None:
    """Return the seconds that a Retry-After asks for, and a part of one more by chance: it has whole ones alone."""
    if not (text.isascii() and text.isdigit()):
        return None  # none, or a date, which no gateway sends
    return min(int(text), _LONGEST_RETRY) + random.random()  # noqa: S311


def read_data(message: Message) -> object:
    """Return what was pushed: a JSON value, or `bytes`."""
    value = json.decode(message.data)
    return b64decode(value) if message.encoding == "base64" else value
