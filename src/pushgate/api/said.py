"""What a push says: the `data` of its body as JSON text, or as bytes.

A message is JSON or bytes, whatever its body was written in, since every receiver must be able to get it. So of
MessagePack only that is taken which JSON can carry, and it is JSON from here on; `bin` as the whole of `data` is bytes.
"""

from datetime import datetime
from math import isfinite
from typing import Any

from msgspec import Raw, json, msgpack
from msgspec.msgpack import Ext

from pushgate.api.bodies import LONGEST_NAME, Errors
from pushgate.api.notation import Malformed
from pushgate.api.rules import MAX_NESTING, MAX_SAFE_INTEGER, nests_too_deep, unsafe_number

_decode = msgpack.Decoder().decode
_encode = json.Encoder().encode
_HARMLESS = frozenset((str, bool, type(None)))
_NAMES = {bytes: "bytes", datetime: "a timestamp", Ext: "an extension"}
_TOO_DEEP = "data", f"expected at most {MAX_NESTING} lists and maps within each other, got more"


def say_json(data: Raw, errors: Errors) -> tuple[bytes, bool]:
    """Return JSON `data` and False (it is no bytes); adds to `errors` what JSON's readers could not keep."""
    text = bytes(data)
    if text.startswith(b'"'):  # a string: whatever looks like numbers or lists in it is none
        return text, False
    number = unsafe_number(text)
    if number is not None:
        errors.append(("data", f"expected numbers that JSON can carry safely, got {number}: send a string"))
    if nests_too_deep(text):
        errors.append(_TOO_DEEP)
    return text, False


def say_packed(data: Raw, errors: Errors) -> tuple[bytes, bool]:
    """Return MessagePack `data` as JSON text or, when it is `bin`, as bytes, and whether it is bytes.

    Adds to `errors` what JSON cannot carry, with its path, as in `data.list[3]`.
    """
    try:
        value = _decode(data)
        if isinstance(value, bytes):
            return value, True
        fault = find_fault(value)
        if fault is None:
            return _encode(value), False
    except Malformed as error:
        fault = "data", _explain(error)
    errors.append(fault)
    return b"", False


def find_fault(value: Any) -> tuple[str, str] | None:
    """Return where in a decoded `data` is something that JSON cannot carry, and what; the shallowest, if any."""
    level: list[tuple[str, Any]] = [("", {"data": value})]
    depth = 0
    while level:
        if depth > MAX_NESTING:
            return _TOO_DEEP
        depth += 1
        deeper: list[tuple[str, Any]] = []
        for path, inside in level:
            is_map = type(inside) is dict
            for key, item in inside.items() if is_map else enumerate(inside):
                kind = type(item)
                if is_map and type(key) is not str:
                    return path, f"expected keys that are strings, got {_describe(key)}"
                if kind in _HARMLESS:
                    continue
                if kind is dict or kind is list:
                    deeper.append((_join(path, key), item))
                elif kind is int:
                    if not -MAX_SAFE_INTEGER <= item <= MAX_SAFE_INTEGER:
                        return _join(path, key), f"expected integers within ±(2^53 - 1), got {item}: send a string"
                elif kind is not float:
                    return _join(path, key), f"expected what JSON can carry, got {_describe(item)}"
                elif not isfinite(item):
                    return _join(path, key), f"expected a finite number, got {item}"
        level = deeper
    return None


def _join(path: str, key: str | int) -> str:
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{key[:LONGEST_NAME]}" if path else key


def _describe(value: Any) -> str:
    return _NAMES.get(type(value)) or f"{type(value).__name__} {str(value)[:24]}"


def _explain(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return _TOO_DEEP[1]
    if isinstance(error, UnicodeDecodeError):
        return f"expected strings in UTF-8: {error.reason}"
    return f"expected what JSON can carry: {error}"
