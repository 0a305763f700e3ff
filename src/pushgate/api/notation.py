"""What bodies are written in, JSON or MessagePack: how they are read, and the words that errors have for it."""

from collections.abc import Callable
from typing import Any, NamedTuple

from msgspec import DecodeError, json, msgpack

from pushgate.errors import Problem

JSON_TYPE = "application/json"
MSGPACK_TYPES = ("application/msgpack", "application/vnd.msgpack")

Malformed = (DecodeError, RecursionError, UnicodeDecodeError)
"""What msgspec raises for a body that is not in its notation at all, beside ValidationError (a DecodeError too)."""


class Notation(NamedTuple):
    """One notation. `check` raises UnicodeDecodeError for what msgspec would pass on, `show` says a scalar in words."""

    name: str
    decoder: Callable[[Any], Any]
    decode: Callable[..., Any]
    check: Callable[[bytes], object]
    show: Callable[[bytes, Any], str]

    def refuse(self, error: Exception) -> Problem:
        """Return the problem of a body that is not in this notation, as one of Malformed tells."""
        if isinstance(error, RecursionError):
            return Problem("bad_request", "the body is nested too deeply")
        if isinstance(error, UnicodeDecodeError):
            return Problem("bad_request", f"the body is not UTF-8 (byte {error.start})")
        return Problem("bad_request", f"the body is not {self.name}: {error}")


def _check_text(body: bytes) -> None:
    # msgspec does not look for UTF-8 in what it passes on as Raw
    if not body.isascii():
        body.decode()


def _show_text(text: bytes, _: Any) -> str:
    return text.decode() if len(text) <= 40 else "a number"


def _show_packed(_: bytes, value: Any) -> str:
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if value is None or isinstance(value, str | bool | int | float):
        return json.encode(value).decode() if value == value and value not in _INFINITE else repr(value)
    return "an extension"


_INFINITE = (float("inf"), float("-inf"))

JSON = Notation("JSON", json.Decoder, json.decode, _check_text, _show_text)
MSGPACK = Notation("MessagePack", msgpack.Decoder, msgpack.decode, lambda _: None, _show_packed)


def media_of(content_type: bytes | None, *allowed: str) -> str:
    """Return the media type that a `Content-Type` names. Raises Problem 415 for one that is not allowed."""
    media = content_type.partition(b";")[0].strip().lower().decode("latin-1") if content_type else ""
    if media not in allowed:
        raise Problem(
            "unsupported_media_type",
            f"expected content type {' or '.join(allowed)}, got "
            + (repr(content_type.decode("latin-1")) if content_type else "none"),
        )
    return media
