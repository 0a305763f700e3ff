"""What a token (a JWT in compact form, RFC 7519) may say, and how it is taken apart.

The rules that make this safe before the signature was checked: both JSON parts are decoded once, into strict
structs that know only what is named here; `jku`, `x5u`, `x5c`, `jwk` and the like are not even read; what was
decoded is believed only after a key of the claimed tenant has verified the same bytes. No error's text holds
the token or any value from it.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from time import time
from typing import Annotated, NamedTuple, NoReturn

from msgspec import UNSET, DecodeError, Meta, Raw, Struct, UnsetType, ValidationError, json

from pushgate.codes import Close
from pushgate.errors import TokenRefused

MAX_TOKEN = 8192
"""Bytes of a token. (A token in the URL has less room: the upgrade request bounds the whole URL.)"""

LEEWAY = 30
"""Seconds that clocks may differ by: added to `exp`, taken from `nbf`."""

MAX_TIME = 253_402_300_799
"""The last second of the year 9999. It also catches milliseconds: a token in them hardly ever expires."""

# \Z and not $, which would let a newline pass at the end.
_PRINTABLE = r"\A[^\x00-\x1f\x7f-\x9f\ud800-\udfff]*\Z"

Uid = Annotated[str, Meta(min_length=1, max_length=255, pattern=_PRINTABLE)]
"""A user's name: 1 to 255 characters, no control characters (Unicode category Cc), no lone surrogates."""

Tag = Annotated[str, Meta(min_length=1, max_length=64, pattern=_PRINTABLE)]
"""One tag: 1 to 64 characters, of the same kind as in a uid."""

Tags = Annotated[tuple[Tag, ...], Meta(max_length=16)]
"""The tags of a token, at most 16: the longest of them and the longest uid, in UTF-8, fit `MAX_TOKEN`."""

Time = Annotated[int, Meta(ge=0, le=MAX_TIME)]
"""Whole seconds since 1970."""


class Claims(NamedTuple):
    """What a good token says: `expires` in seconds since 1970, 0 for never; `tags` is () when it has none."""

    tenant: str
    uid: str
    expires: int
    tags: tuple[str, ...]


class Header(Struct, frozen=True):
    """What is read of a token's header. An empty `kid` cannot be sent, so "" means that there is none."""

    alg: str
    kid: Annotated[str, Meta(min_length=1)] = ""
    crit: Raw | UnsetType = UNSET


class Payload(Struct, frozen=True, omit_defaults=True):
    """What is read of a token's claims.

    `iat` is not: RFC 7519 gives it no say in whether a token holds, and a clock that runs ahead is no attack;
    whoever wants a token to start later sets `nbf`.
    """

    sub: Uid
    tenant: str = "default"
    exp: Time | UnsetType = UNSET
    nbf: Time = 0
    tags: Tags = ()
    aud: Raw | UnsetType = UNSET


class Parts(NamedTuple):
    """A token taken apart, nothing of it verified: `signature` is over the bytes `signed`."""

    header: Header
    payload: Payload
    signed: bytes
    signature: bytes


_header_decoder = json.Decoder(Header)
_payload_decoder = json.Decoder(Payload)


def split_token(token: str) -> Parts:
    """Return the parts of a token, unverified. Raises TokenRefused (TOKEN_INVALID) for a malformed one."""
    if len(token) > MAX_TOKEN:
        refuse(f"longer than {MAX_TOKEN} bytes")
    try:
        signed, _, signature = token.encode("ascii").rpartition(b".")
        header, payload = signed.split(b".")
        parts = Parts(
            _header_decoder.decode(_decode_base64(header)),
            _payload_decoder.decode(_decode_base64(payload)),
            signed,
            _decode_base64(signature),
        )
    except ValidationError as error:
        refuse("`{}`: {}".format(*explain(error)))
    except (DecodeError, ValueError, RecursionError):
        refuse("not a JWT in compact form")
    if parts.header.crit is not UNSET:
        refuse("`crit` names extensions, and none is supported")
    return parts


def read_claims(payload: Payload, require_exp: bool) -> Claims:
    """Return what a verified payload says.

    Raises TokenRefused: TOKEN_EXPIRED when `exp` is over by LEEWAY seconds, TOKEN_INVALID when `nbf` is
    further ahead than that, when `exp` is missing though required, or when the token is for an audience: a
    tenant names none, so the token is meant for somebody else (RFC 7519 section 4.1.3).
    """
    now = time()
    if payload.aud is not UNSET:
        refuse("for another audience (`aud`)")
    if payload.nbf > now + LEEWAY:
        refuse("not valid yet (`nbf`)")
    if payload.exp is UNSET:
        if require_exp:
            refuse("no `exp`, and this tenant requires one")
        return Claims(payload.tenant, payload.sub, 0, payload.tags)
    if payload.exp + LEEWAY <= now:
        raise TokenRefused(Close.TOKEN_EXPIRED, "expired")
    return Claims(payload.tenant, payload.sub, payload.exp, payload.tags)


def explain(error: ValidationError) -> tuple[str, str]:
    """Return the claim (or header) that is wrong ("token" for the whole), and what was expected of it.

    Neither holds a value that came: no type above is an enumeration or an open map, whose values msgspec
    would quote.
    """
    reason, _, path = str(error).partition(" - at `$.")
    if reason.startswith("Object missing required field"):
        return reason.split("`")[1], "Missing"
    if "regex" in reason:
        reason = "Expected no control characters"
    return path.rstrip("`") or "token", reason


def refuse(reason: str) -> NoReturn:
    """Raise TokenRefused with TOKEN_INVALID."""
    raise TokenRefused(Close.TOKEN_INVALID, reason) from None


def _decode_base64(text: bytes) -> bytes:
    """Return what base64url text without padding means. Raises ValueError for other spellings, too."""
    data = urlsafe_b64decode(text + b"==")
    # The decoder drops what it does not know; only text that comes back the same had the one right form.
    if urlsafe_b64encode(data).rstrip(b"=") != text:
        raise Base64Error
    return data
