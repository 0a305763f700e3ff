"""Reading request bodies: JSON to a struct in one pass; when that fails, once more to name every wrong field."""

from difflib import get_close_matches
from typing import Annotated, Any, Generic, TypeVar, get_args, get_origin, get_type_hints

from msgspec import DecodeError, Meta, MsgspecError, Raw, Struct, ValidationError, json
from msgspec.structs import FieldInfo, fields

from pushgate.errors import Problem

S = TypeVar("S", bound=Struct)
Errors = list[tuple[str, str]]


def bad_body(errors: Errors) -> Problem:
    """Return the problem for a body with wrong fields."""
    names = ", ".join(f"`{field}`" for field, _ in errors)
    return Problem("bad_request", f"wrong in the body: {names}", tuple(errors))


class BodyReader(Generic[S]):
    """Reads bodies of one struct, which forbids unknown fields."""

    def __init__(self, struct: type[S]) -> None:
        self._decoder = json.Decoder(struct)
        self._fields: dict[str, FieldInfo] = {info.encode_name: info for info in fields(struct)}
        self._hints: dict[str, Any] = get_type_hints(struct, include_extras=True)

    def read(self, body: bytes) -> S:
        """Return the struct that a body is. Raises Problem: what is no JSON object, and every field that is wrong."""
        try:
            # msgspec does not look for UTF-8 in what it passes on as Raw
            if not body.isascii():
                body.decode()
            return self._decoder.decode(body)
        except ValidationError:
            raise self._explain(body) from None
        except UnicodeDecodeError as error:
            raise Problem("bad_request", f"the body is not UTF-8 (byte {error.start})") from None
        except (DecodeError, RecursionError) as error:
            raise _not_json(error) from None

    def _explain(self, body: bytes) -> Problem:
        try:
            values = json.decode(body, type=dict[str, Raw])
        except ValidationError:
            return Problem("bad_request", f"expected a JSON object, got {_describe(body)}")
        except (DecodeError, RecursionError) as error:
            return _not_json(error)
        errors: Errors = []
        for name, value in values.items():
            if name not in self._fields:
                errors.append((name, self._unknown(name)))
                continue
            try:
                json.decode(value, type=self._fields[name].type)
            except MsgspecError as error:
                errors.append(self._wrong(name, bytes(value), str(error)))
        for name, info in self._fields.items():
            if info.required and name not in values:
                errors.append((name, f"expected {_expected(self._hints[info.name])}, got nothing"))
        return bad_body(errors)

    def _unknown(self, name: str) -> str:
        near = get_close_matches(name, self._fields, n=1)
        return f"no such field; did you mean `{near[0]}`?" if near else "no such field"

    def _wrong(self, name: str, value: bytes, reason: str) -> tuple[str, str]:
        hint = self._hints[name]
        index = reason.partition(" - at `$[")[2].partition("]")[0]
        if index.isdigit():
            items = json.decode(value, type=list[Raw])
            element = next(item for item in map(get_args, _parts(hint)) if item)[0]
            return f"{name}[{index}]", f"expected {_expected(element)}, got {_describe(bytes(items[int(index)]))}"
        return name, f"expected {_expected(hint)}, got {_describe(value)}"


def _not_json(error: Exception) -> Problem:
    if isinstance(error, RecursionError):
        return Problem("bad_request", "the body is nested too deeply")
    return Problem("bad_request", f"the body is not JSON: {error}")


def _parts(hint: Any) -> list[Any]:
    """Return the types that a hint is made of, without Annotated and union."""
    if get_origin(hint) is Annotated:
        return _parts(get_args(hint)[0])
    if get_origin(hint) in (None, list):
        return [hint]
    return [part for choice in get_args(hint) for part in _parts(choice)]


def _expected(hint: Any) -> str:
    """Return what the hint's outermost Meta says is expected."""
    for choice in (hint, *get_args(hint)):
        if get_origin(choice) is Annotated:
            for meta in get_args(choice)[1:]:
                if isinstance(meta, Meta) and meta.extra:
                    return str(meta.extra["expected"])
    return "something else"


def _describe(value: bytes) -> str:
    """Return what a JSON value is, in few words."""
    try:
        decoded = json.decode(value)
    except (MsgspecError, RecursionError):
        return "no such value"
    if isinstance(decoded, str):
        return f"a string of {len(decoded)} characters" if len(decoded) > 40 or not decoded else value.decode()
    if isinstance(decoded, list):
        return f"a list of {len(decoded)}"
    if isinstance(decoded, dict):
        return "an object"
    return value.decode() if len(value) <= 40 else "a number"
