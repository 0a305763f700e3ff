"""The HTTP API for those who push, one method a call, problems as exceptions: Pusher, and AsyncPusher for asyncio."""

import asyncio
import ssl
import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import httpx
from msgspec import UNSET

from pushgate.client.answers import Kicked, Pushed, Receipt, User
from pushgate.client.calls import (
    BatchPush,
    Call,
    PushFields,
    batch_call,
    kick_call,
    push_call,
    receipt_call,
    token_call,
    user_call,
)
from pushgate.client.errors import ApiProblem
from pushgate.client.tries import Tries

_Answer = TypeVar("_Answer")

PATIENCE = 30.0
"""Seconds: well below the two minutes for which the gateway knows an id again."""


class Pusher:
    """A caller of one gateway's API with one key; a context that keeps its connections open. Threads may share it.

    Every method raises ApiProblem when the API refuses, and Unreachable when no answer came; before that it tries
    again for `patience` seconds, as `Tries` says, with the same id: a reliable push is stored once all the same, and a
    live one is never delivered twice. The methods of `AsyncPusher` are the same, to be awaited.
    """

    def __init__(
        self,
        api: str,
        api_key: str,
        *,
        timeout: float = 10.0,
        patience: float = PATIENCE,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`api` is the management port's URL, like `http://127.0.0.1:8001`; `timeout` in seconds, for each step.

        `patience`: no try is begun so many seconds after the first; 0: there is one. Beyond the gateway's
        `inbox.duplicate_window` a message could be stored twice. `tls` is for `https://`, and says whom to trust;
        None: the usual authorities.
        """
        self._patience = patience
        self._http = httpx.Client(**_options(api, api_key, timeout, tls))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def push(self, data: object = UNSET, **fields: Unpack[PushFields]) -> Pushed:
        """Push `data`, any JSON value, or `bytes`; `PushFields` says to whom and how."""
        return self._make(push_call(data, fields))

    def batch(self, pushes: Iterable[BatchPush]) -> list[Pushed | ApiProblem]:
        """Push up to 1,000 in one call, and return what became of each, in their order.

        What was refused alone is an ApiProblem in its place: it is returned, and not tried again.
        """
        return self._make(batch_call(pushes))

    def token(self, user: str, *, ttl: int | None = None, tags: Sequence[str] | None = None) -> str:
        """Return a new client token for a user, valid for `ttl` seconds."""
        return self._make(token_call(user, ttl, tags))

    def receipt(self, id: str, offset: int, *, user: str | None = None) -> Receipt:
        """Return what became of a reliable message to a user, or with None to everyone, by the answer to its push."""
        return self._make(receipt_call(id, offset, user))

    def user(self, user: str) -> User:
        """Return whether a user is online, and its sessions on all nodes."""
        return self._make(user_call(user))

    def kick(self, user: str, session: str | None = None) -> Kicked:
        """Close all sessions of a user, or the one; clients do not connect again by themselves (4503)."""
        return self._make(kick_call(user, session))

    def _make(self, call: Call[_Answer]) -> _Answer:
        tries = Tries(call.repeatable, self._patience)
        while True:
            try:
                return call.read(self._http.request(call.method, call.path, content=call.body))
            except (ApiProblem, httpx.HTTPError) as failure:
                wait = tries.wait_after(failure, str(self._http.base_url))
            time.sleep(wait)


class AsyncPusher:
    """A Pusher for asyncio: the same arguments and methods, to be awaited, in an async context."""

    def __init__(
        self,
        api: str,
        api_key: str,
        *,
        timeout: float = 10.0,
        patience: float = PATIENCE,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """See `Pusher`."""
        self._patience = patience
        self._http = httpx.AsyncClient(**_options(api, api_key, timeout, tls))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def push(self, data: object = UNSET, **fields: Unpack[PushFields]) -> Pushed:
        """Push `data`; see `Pusher.push`."""
        return await self._make(push_call(data, fields))

    async def batch(self, pushes: Iterable[BatchPush]) -> list[Pushed | ApiProblem]:
        """Push many in one call; see `Pusher.batch`."""
        return await self._make(batch_call(pushes))

    async def token(self, user: str, *, ttl: int | None = None, tags: Sequence[str] | None = None) -> str:
        """Return a new client token; see `Pusher.token`."""
        return await self._make(token_call(user, ttl, tags))

    async def receipt(self, id: str, offset: int, *, user: str | None = None) -> Receipt:
        """Return what became of a message; see `Pusher.receipt`."""
        return await self._make(receipt_call(id, offset, user))

    async def user(self, user: str) -> User:
        """Return a user's sessions; see `Pusher.user`."""
        return await self._make(user_call(user))

    async def kick(self, user: str, session: str | None = None) -> Kicked:
        """Close sessions of a user; see `Pusher.kick`."""
        return await self._make(kick_call(user, session))

    async def _make(self, call: Call[_Answer]) -> _Answer:
        tries = Tries(call.repeatable, self._patience)
        while True:
            try:
                return call.read(await self._http.request(call.method, call.path, content=call.body))
            except (ApiProblem, httpx.HTTPError) as failure:
                wait = tries.wait_after(failure, str(self._http.base_url))
            await asyncio.sleep(wait)


def _options(api: str, api_key: str, timeout: float, tls: ssl.SSLContext | None) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}
    return {"base_url": api, "headers": headers, "timeout": timeout, "verify": tls or True}
