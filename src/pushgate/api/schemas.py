"""The bodies of the API as structs: their types bound sizes, and the documentation is made of them.

`extra["expected"]` completes "expected …" in the error about a field.
"""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from pushgate.api.problems import ProblemDocument
from pushgate.messages.device import DEVICE

MAX_USERS = 1000
MAX_BATCH = 1000
MAX_UID = 255
MAX_ID = 128
MAX_TAGS = 100
MAX_TTL = 366 * 86400
MAX_TOKEN_TTL = 30 * 86400
MAX_SPREAD = 3600

_TEXT = {"pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]*$"}
_PRINTABLE = "^[ -~]{1,128}$"
_BASE64 = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"


def _text(limit: int, description: str, **more: object) -> Meta:
    return Meta(
        min_length=1,
        max_length=limit,
        description=description,
        extra_json_schema=_TEXT | more,
        extra={"expected": f"a string of 1 to {limit} characters, none of them a control character"},
    )


def _many(limit: int, description: str, things: str = "strings") -> Meta:
    return Meta(
        min_length=1,
        max_length=limit,
        description=description,
        extra={"expected": f"a list of 1 to {limit:,} {things}"},
    )


Uid = Annotated[str, _text(MAX_UID, "A user's uid.")]
Tag = Annotated[str, _text(64, "A tag of a token.")]
Device = Annotated[
    str,
    Meta(
        description="Only to the user's device of this name.",
        min_length=1,
        max_length=64,
        extra_json_schema={"pattern": f"^{DEVICE}$"},
        extra={"expected": "1 to 64 of A-Z a-z 0-9 . _ : -"},
    ),
]
Name = Annotated[str, _text(128, "What kind of message this is; clients choose a handler by it.", default="message")]
Collapse = Annotated[str, _text(128, "Of reliable messages with this key only the newest is kept.")]


def _session(description: str) -> Meta:
    return Meta(
        description=description,
        pattern=r"^[0-9a-f]{16}\Z",
        extra_json_schema={"pattern": "^[0-9a-f]{16}$"},
        extra={"expected": "a session's id, 16 hexadecimal digits"},
    )


SessionId = Annotated[str, _session("A session's id, which its `welcome` told.")]
ExceptSession = Annotated[
    str, _session("Not to the session of this id, which its `welcome` told; not with `reliable`.")
]
MessageId = Annotated[
    str,
    Meta(
        description="The message's id, which its receivers see; of a reliable one also its idempotency key. "
        "Made by the server when absent.",
        min_length=1,
        max_length=MAX_ID,
        extra_json_schema={"pattern": _PRINTABLE},
        extra={"expected": "1 to 128 printable ASCII characters"},
    ),
]
Offset = Annotated[int, Meta(description="The offset that the push was answered with.", ge=1, le=2**53 - 1)]
Everyone = Annotated[
    bool,
    Meta(
        description="To everyone in the tenant.",
        extra_json_schema={"const": True},
        extra={"expected": "true"},
    ),
]


def _seconds(limit: int, description: str) -> Meta:
    # of a float, since 60.0 is a whole number to JSON Schema, and to some who write JSON
    return Meta(
        description=description,
        ge=1,
        le=limit,
        multiple_of=1,
        extra={"expected": f"a whole number of seconds, 1 to {limit}"},
    )


Ttl = Annotated[
    float,
    _seconds(
        MAX_TTL,
        "Seconds that a reliable message is kept: at most what the tenant may ask for (7 days, unless set otherwise), "
        "default 3600 or that, if it is less.",
    ),
]
TokenTtl = Annotated[float, _seconds(MAX_TOKEN_TTL, "Seconds that the token is good for.")]
Spread = Annotated[
    float,
    Meta(
        description="Seconds over which to spread a live push to everyone.",
        ge=0,
        le=MAX_SPREAD,
        extra={"expected": f"a number of seconds, 0 to {MAX_SPREAD}"},
    ),
]
Data = Annotated[
    Raw,
    Meta(
        description="The message: any JSON value. No integers beyond 2^53 - 1: browsers would round them.",
        extra={"expected": "a JSON value"},
    ),
]
Base64 = Annotated[
    str,
    Meta(
        description="The message, when it is bytes: base64 with padding (RFC 4648 section 4).",
        extra_json_schema={"contentEncoding": "base64", "pattern": _BASE64},
        extra={"expected": "base64 with padding"},
    ),
]
Qos = Annotated[
    Literal["live", "reliable"],
    Meta(
        description="`live`: to whoever is connected now, at most once. `reliable`: kept until acknowledged; "
        "and resent meanwhile, at least once, in order, on each of the user's devices; answered once it is stored.",
        extra_json_schema={"default": "live"},
        extra={"expected": '"live" or "reliable"'},
    ),
]


class PushBody(Struct, forbid_unknown_fields=True, gc=False):
    """A push: exactly one of `user`, `users` and `everyone`, and what to say to them."""

    user: Uid | UnsetType = UNSET
    users: Annotated[list[Uid], _many(MAX_USERS, "To each of these users.")] | UnsetType = UNSET
    everyone: Everyone | UnsetType = UNSET
    device: Device | UnsetType = UNSET
    tags: Annotated[list[Tag], _many(MAX_TAGS, "Only to sessions with any of these.")] | UnsetType = UNSET
    except_session: ExceptSession | UnsetType = UNSET
    event: Name = "message"
    data: Data | UnsetType = UNSET
    data_base64: Base64 | UnsetType = UNSET
    qos: Qos = "live"
    ttl: Ttl | UnsetType = UNSET
    id: MessageId | UnsetType = UNSET
    collapse: Collapse | UnsetType = UNSET
    spread: Spread | UnsetType = UNSET


class PushAccepted(Struct, frozen=True, omit_defaults=True):
    """The bus has the push, or, with `offset`, the inbox.

    `offset` is the message's place: of a push to several users the highest. `duplicate` says that a push with this id
    was there before: this is its answer again.
    """

    id: str
    offset: int | UnsetType = UNSET
    duplicate: bool | UnsetType = UNSET


_PUSH_OR_REFUSED = {"anyOf": [{"$ref": "#/components/schemas/PushBody"}, {"description": "Refused in its place."}]}


class BatchBody(Struct, forbid_unknown_fields=True):
    """Pushes that are taken one by one: a wrong one is refused alone."""

    pushes: Annotated[
        list[Annotated[Raw, Meta(extra_json_schema=_PUSH_OR_REFUSED)]],
        _many(
            MAX_BATCH, "The pushes, each as for `POST /v1/push`. Those to the same target keep their order.", "pushes"
        ),
    ]


class PushResult(Struct, frozen=True, omit_defaults=True):
    """What became of one push: with 202 what a push is answered with, else `problem`, as it would have been alone."""

    status: int
    id: str | UnsetType = UNSET
    offset: int | UnsetType = UNSET
    duplicate: bool | UnsetType = UNSET
    problem: ProblemDocument | UnsetType = UNSET


class BatchAnswered(Struct, frozen=True):
    """What became of each push, in their order."""

    results: list[PushResult]


class TokenBody(Struct, forbid_unknown_fields=True):
    """Whom a client token is for."""

    user: Uid
    ttl: TokenTtl = 3600
    tags: (
        Annotated[
            list[Annotated[str, _text(64, "A tag.")]],
            Meta(
                description="Tags that pushes can be narrowed to.",
                max_length=16,
                extra={"expected": "a list of up to 16 strings"},
            ),
        ]
        | UnsetType
    ) = UNSET


class TokenMade(Struct, frozen=True):
    """A client token and when it expires, in seconds since 1970."""

    token: str
    expires: int


class Alive(Struct, frozen=True):
    """The worker answers."""

    status: Literal["ok"] = "ok"
