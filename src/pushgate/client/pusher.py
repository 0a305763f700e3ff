"""The HTTP API for those who push: one method a call, problems as exceptions."""

import ssl
from base64 import b64encode
from collections.abc import Sequence
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import quote, urlencode

import httpx
from msgspec import UNSET, DecodeError, Struct, UnsetType, ValidationError, json

from pushgate.client.errors import ApiProblem, Unreachable
from pushgate.client.problems import read_problem
from pushgate.messages.push import Qos


class Pushed(Struct, frozen=True, omit_defaults=True):
    """The answer to a push. `offset` comes with reliable ones; `duplicate`: its `id` had been pushed before."""

    id: str
    offset: int | UnsetType = UNSET
    duplicate: bool | UnsetType = UNSET


class DeviceReceipt(Struct, frozen=True):
    """What one of a user's devices has: everything up to `cursor`; `connected` is None when a node that may have it is
    missing."""

    device: str
    acknowledged: bool
    cursor: int | None
    connected: bool | None


class Reached(Struct, frozen=True):
    """How many devices are connected, and how many of them have acknowledged a message."""

    devices: int
    acknowledged: int


class Receipt(Struct, frozen=True):
    """What became of a reliable message: `devices` is of one to a user, `connected` of one to everyone.

    `state` is `kept` or `gone`. `accepted` is in ms, `expires` in seconds since 1970. `missing` are the nodes that did
    not say what they know.
    """

    id: str
    offset: int
    state: str
    accepted: int | None = None
    expires: int | None = None
    devices: list[DeviceReceipt] | UnsetType = UNSET
    connected: Reached | UnsetType = UNSET
    missing: list[str] = []

    @property
    def complete(self) -> bool:
        """Whether there is a device, each that is known has acknowledged the message, and every node has answered."""
        if self.missing:
            return False
        if self.connected is not UNSET:
            return 0 < self.connected.devices == self.connected.acknowledged
        return bool(self.devices) and all(each.acknowledged for each in self.devices or ())


class _Token(Struct):
    token: str


_Answer = TypeVar("_Answer", Pushed, _Token, Receipt)


class Pusher:
    """A caller of one gateway's API with one key; an async context that keeps its connections open.

    Every method raises ApiProblem when the API refuses, and Unreachable when no answer came.
    """

    def __init__(self, api: str, api_key: str, *, timeout: float = 10.0, tls: ssl.SSLContext | None = None) -> None:
        """`api` is the management port's URL, like `http://127.0.0.1:8001`; `timeout` in seconds, for each step.

        `tls` is for `https://`, and says whom to trust; None: the usual authorities.
        """
        headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}
        self._http = httpx.AsyncClient(base_url=api, headers=headers, timeout=timeout, verify=tls or True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def push(
        self,
        data: object = UNSET,
        *,
        user: str | None = None,
        users: Sequence[str] | None = None,
        everyone: bool = False,
        event: str | None = None,
        device: str | None = None,
        tags: Sequence[str] | None = None,
        except_session: str | None = None,
        qos: Qos | None = None,
        ttl: int | None = None,
        id: str | None = None,
        collapse: str | None = None,
        spread: float | None = None,
    ) -> Pushed:
        """Push `data`, any JSON value, or `bytes`, to exactly one of `user`, `users` and `everyone`.

        The others are the contract's fields; None leaves one to the gateway. `ttl` and `spread` are in seconds.
        """
        body: dict[str, object] = {
            "user": user,
            "users": None if users is None else list(users),
            "everyone": everyone or None,
            "event": event,
            "device": device,
            "tags": None if tags is None else list(tags),
            "except_session": except_session,
            "qos": qos,
            "ttl": ttl,
            "id": id,
            "collapse": collapse,
            "spread": spread,
        }
        body = {name: value for name, value in body.items() if value is not None}
        if isinstance(data, bytes | bytearray | memoryview):
            body["data_base64"] = b64encode(data).decode()
        elif data is not UNSET:
            body["data"] = data  # None is JSON's null, and a value like any other
        return await self._post("/v1/push", body, Pushed)

    async def token(self, user: str, *, ttl: int | None = None, tags: Sequence[str] | None = None) -> str:
        """Return a new client token for a user, valid for `ttl` seconds."""
        body: dict[str, object] = {"user": user}
        if ttl is not None:
            body["ttl"] = ttl
        if tags:
            body["tags"] = list(tags)
        return (await self._post("/v1/tokens", body, _Token)).token

    async def receipt(self, id: str, offset: int, *, user: str | None = None) -> Receipt:
        """Return what became of a reliable message to a user, or with None to everyone, by the answer to its push."""
        target = {"everyone": "true"} if user is None else {"user": user}
        query = urlencode({**target, "offset": offset}, quote_via=quote)
        # As dots, most clients would resolve them.
        return await self._call("GET", f"/v1/messages/{quote(id, safe='').replace('.', '%2E')}?{query}", None, Receipt)

    async def _post(self, path: str, body: dict[str, object], kind: type[_Answer]) -> _Answer:
        return await self._call("POST", path, json.encode(body), kind)

    async def _call(self, method: str, path: str, body: bytes | None, kind: type[_Answer]) -> _Answer:
        try:
            answer = await self._http.request(method, path, content=body)
        except httpx.HTTPError as error:
            raise Unreachable(f"{self._http.base_url}: {str(error) or type(error).__name__}") from error
        if not answer.is_success:
            raise read_problem(answer)
        try:
            return json.decode(answer.content, type=kind)
        except (DecodeError, ValidationError) as error:
            raise ApiProblem(answer.status_code, "", f"not the answer of a gateway: {error}") from None
