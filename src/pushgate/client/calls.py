"""The calls of the HTTP API: what each sends, what its answer says, and whether it may be made again. No I/O."""

from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic, NamedTuple, TypedDict, TypeVar
from urllib.parse import quote, urlencode
from uuid import uuid4

import httpx
from msgspec import UNSET, DecodeError, Raw, Struct, json

from pushgate.client.answers import Kicked, Pushed, Receipt, User
from pushgate.client.errors import ApiProblem
from pushgate.client.problems import describe, read_problem
from pushgate.messages.push import Qos

_Answer = TypeVar("_Answer")


class PushFields(TypedDict, total=False):
    """Whom to push to, exactly one of `user`, `users` and `everyone`, and how: the fields of `POST /v1/push`.

    None leaves a field to the gateway. `ttl` and `spread` are in seconds. Without an `id` one is made.
    """

    user: str | None
    users: Sequence[str] | None
    everyone: bool
    event: str | None
    device: str | None
    tags: Sequence[str] | None
    except_session: str | None
    qos: Qos | None
    ttl: int | None
    id: str | None
    collapse: str | None
    spread: float | None


class BatchPush(PushFields, total=False):
    """One push of a batch: `data` is any JSON value, or `bytes`."""

    data: object


class Call(NamedTuple, Generic[_Answer]):
    """A request, and how its answer is read. `repeatable`: made twice it does no more than made once."""

    method: str
    path: str
    body: bytes | None
    decode: Callable[[bytes], _Answer]
    repeatable: bool = True

    def read(self, answer: httpx.Response) -> _Answer:
        """Return what an answer says. Raises ApiProblem."""
        if not answer.is_success:
            raise read_problem(answer)
        try:
            return self.decode(answer.content)
        except DecodeError as error:  # a ValidationError is a DecodeError
            raise ApiProblem(answer.status_code, "", f"not the answer of a gateway: {error}") from None


def push_call(data: object, fields: PushFields) -> Call[Pushed]:
    """A push. A live one is not repeatable: it would be delivered again."""
    body = json.encode(_body(data, fields))
    return Call("POST", "/v1/push", body, json.Decoder(Pushed).decode, repeatable=fields.get("qos") == "reliable")


def batch_call(pushes: Iterable[BatchPush]) -> Call[list[Pushed | ApiProblem]]:
    """Many pushes; repeatable if each is."""
    each = list(pushes)
    body = json.encode({"pushes": [_body(push.get("data", UNSET), push) for push in each]})
    repeatable = all(push.get("qos") == "reliable" for push in each)
    return Call("POST", "/v1/push/batch", body, _read_results, repeatable=repeatable)


def token_call(user: str, ttl: int | None, tags: Sequence[str] | None) -> Call[str]:
    """A client token."""
    body: dict[str, object] = {"user": user}
    if ttl is not None:
        body["ttl"] = ttl
    if tags:
        body["tags"] = list(tags)
    return Call("POST", "/v1/tokens", json.encode(body), lambda said: json.decode(said, type=_Token).token)


def receipt_call(id: str, offset: int, user: str | None) -> Call[Receipt]:
    """The receipt of a message, to everyone where `user` is None."""
    target = {"everyone": "true"} if user is None else {"user": user}
    query = urlencode({**target, "offset": offset}, quote_via=quote)
    return Call("GET", f"/v1/messages/{_part(id)}?{query}", None, json.Decoder(Receipt).decode)


def user_call(user: str) -> Call[User]:
    """A user's sessions."""
    return Call("GET", f"/v1/users/{_part(user)}", None, json.Decoder(User).decode)


def kick_call(user: str, session: str | None) -> Call[Kicked]:
    """The end of all of a user's sessions, or of one: that is not repeatable, for it would not be found again."""
    if session == "":
        raise ValueError("session: expected a session's id, got ''")  # the path would be that of all sessions
    path = f"/v1/users/{_part(user)}/sessions" + ("" if session is None else f"/{_part(session)}")
    return Call("DELETE", path, None, json.Decoder(Kicked).decode, repeatable=session is None)


class _Token(Struct):
    token: str


class _Result(Struct):
    status: int
    problem: Raw = Raw(b"{}")


class _Results(Struct):
    results: list[Raw]


def _read_results(said: bytes) -> list[Pushed | ApiProblem]:
    return [_read_result(each) for each in json.decode(said, type=_Results).results]


def _read_result(each: Raw) -> Pushed | ApiProblem:
    result = json.decode(each, type=_Result)
    if result.status < 300:
        return json.decode(each, type=Pushed)
    return describe(result.status, result.problem)


def _body(data: object, fields: PushFields | BatchPush) -> Mapping[str, object]:
    body = {name: value for name, value in fields.items() if name != "data" and value is not None}
    if not body.get("everyone", True):
        del body["everyone"]  # the API knows true alone
    body.setdefault("id", uuid4().hex)
    if isinstance(data, bytes | bytearray | memoryview):
        body["data_base64"] = b64encode(data).decode()
    elif data is not UNSET:
        body["data"] = data  # None is JSON's null, and a value like any other
    return body


def _part(text: str) -> str:
    """Return a part of a path. As dots, most clients would resolve them."""
    return quote(text, safe="").replace(".", "%2E")
