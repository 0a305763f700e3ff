"""Reading request bodies: to a struct in one pass; when that fails, once more to name every wrong field."""

from collections.abc import Callable
from difflib import get_close_matches
from typing import Annotated, Any, Generic, TypeVar, get_args, get_origin, get_type_hints

from msgspec import Meta, MsgspecError, Raw, Struct, ValidationError
from msgspec.structs import FieldInfo, fields

from pushgate.api.notation import JSON, Malformed, Notation
from pushgate.errors import Problem

S = TypeVar("S", bound=Struct)
Errors = list[tuple[str, str]]

MAX_UNKNOWN = 20
"""Unknown fields that an error names, the first ones: looking for what each could mean takes its time."""

LONGEST_NAME = 64
"""Characters of a name in an error; the rest is left out."""


def bad_body(errors: Errors) -> Problem:
    """Return the problem for a body with wrong fields."""
    names = ", ".join(f"`{field}`" for field, _ in errors)
    return Problem("bad_request", f"wrong in the body: {names}", tuple(errors))


class BodyReader(Generic[S]):
    """Reads bodies of one struct, which forbids unknown fields, in one notation."""

    def __init__(self, struct: type[S], notation: Notation = JSON) -> None:
        self._notation = notation
        self._check = notation.check
        self._decode: Callable[[bytes], S] = notation.decoder(struct).decode
        self._fields: dict[str, FieldInfo] = {info.encode_name: info for info in fields(struct)}
        self._hints: dict[str, Any] = get_type_hints(struct, include_extras=True)

    def read(self, body: bytes) -> S:
        """Return the struct that a body is. Raises Problem: what is no map at all, and the fields that are wrong."""
        try:
            self._check(body)
            return self._decode(body)
        except (ValidationError, UnicodeDecodeError):
            raise self._explain(body) from None
        except Malformed as error:
            raise self._notation.refuse(error) from None

    def _explain(self, body: bytes) -> Problem:
        try:
            self._check(body)
            values = self._notation.decode(body, type=dict[str, Raw])
        except ValidationError as error:
            if "`key`" in str(error):  # MessagePack's alone
                return Problem("bad_request", "expected a map whose keys are strings, got another key")
            return Problem("bad_request", f"expected a {self._notation.name} object, got {self._describe(body)}")
        except Malformed as error:
            return self._notation.refuse(error)
        errors: Errors = []
        unknown = 0
        for name, value in values.items():
            if name not in self._fields:
                unknown += 1
                if unknown <= MAX_UNKNOWN:
                    errors.append(self._unknown(name[:LONGEST_NAME]))
                continue
            try:
                self._notation.decode(value, type=self._fields[name].type)
            except UnicodeDecodeError as error:
                errors.append((name, f"expected strings in UTF-8: {error.reason}"))
            except MsgspecError as error:
                errors.append(self._wrong(name, bytes(value), str(error)))
        for name, info in self._fields.items():
            if info.required and name not in values:
                errors.append((name, f"expected {_expected(self._hints[info.name])}, got nothing"))
        return bad_body(errors)

    def _unknown(self, name: str) -> tuple[str, str]:
        near = get_close_matches(name, self._fields, n=1)
        return name, f"no such field; did you mean `{near[0]}`?" if near else "no such field"

    def _wrong(self, name: str, value: bytes, reason: str) -> tuple[str, str]:
        hint = self._hints[name]
        elements = [item for item in map(get_args, _parts(hint)) if item]  # what a list is of; the reason of others
        index = reason.partition(" - at `$[")[2].partition("]")[0]  # may quote a value that looks like a path
        if elements and index.isdigit():
            items = self._notation.decode(value, type=list[Raw])
            expected = _expected(elements[0][0])
            return f"{name}[{index}]", f"expected {expected}, got {self._describe(bytes(items[int(index)]))}"
        return name, f"expected {_expected(hint)}, got {self._describe(value)}"

    def _describe(self, value: bytes) -> str:
        """Return what a value is, in few words."""
        try:
            decoded = self._notation.decode(value)
        except (MsgspecError, RecursionError, UnicodeDecodeError):
            return "no such value"
        if isinstance(decoded, str) and (len(decoded) > 40 or not decoded):
            return f"a string of {len(decoded)} characters"
        if isinstance(decoded, list):
            return f"a list of {len(decoded)}"
        if isinstance(decoded, dict):
            return "an object"
        return self._notation.show(value, decoded)


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
