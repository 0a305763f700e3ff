"""What stands in the path and in the query of a request: percent-encoded UTF-8, decoded and checked."""

import re
from urllib.parse import parse_qsl, unquote_to_bytes

from pushgate.api.admission import AnyRequest
from pushgate.api.rules import has_control
from pushgate.api.schemas import MAX_UID
from pushgate.errors import Problem

MAX_NAMES = 16
"""Names in a query."""

_is_encoded = re.compile(rb"(?:[^%]|%[0-9A-Fa-f]{2})*").fullmatch


def part_of(request: AnyRequest, name: str) -> str:
    """Return a part of the path. Raises Problem: 400 for what is not encoded so, 404 for an empty part of the path."""
    path = request.scope["raw_path"]
    if b"//" in path or path.endswith(b"/"):  # Litestar would take it for the path without: another resource
        raise Problem("not_found", "a part of the path is empty")
    encoded = request.path_params[name].encode()
    try:
        if not _is_encoded(encoded):
            raise ValueError
        return unquote_to_bytes(encoded).decode()
    except ValueError:
        raise bad_part("path", name, "expected percent-encoded UTF-8") from None


def query_of(request: AnyRequest) -> dict[str, str]:
    """Return the query, by name. Raises Problem 400 for what is not encoded so, and for a name that comes twice."""
    query = request.scope["query_string"]
    try:
        if not _is_encoded(query):
            raise ValueError
        pairs = parse_qsl(query.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_NAMES)
    except ValueError:
        raise Problem("bad_request", f"expected a query of percent-encoded UTF-8, at most {MAX_NAMES} names") from None
    found = dict(pairs)
    for name, _ in pairs:
        if sum(name == other for other, _ in pairs) > 1:
            raise bad_part("query", name[:64], "expected it once, got it several times")
    return found


def check_uid(where: str, uid: str) -> str:
    """Return the uid in the `where` of a request, its field `user`. Raises Problem 400 for what can be none."""
    if not 1 <= len(uid) <= MAX_UID:
        raise bad_part(
            where, "user", f"expected a string of 1 to {MAX_UID} characters, got a string of {len(uid)} characters"
        )
    if has_control(uid):
        raise bad_part(where, "user", "expected no control characters, got one")
    return uid


def bad_part(where: str, field: str, message: str) -> Problem:
    """Return the problem of a wrong field in the `where` of a request: its path or its query."""
    return Problem("bad_request", f"wrong in the {where}: `{field}`", ((field, message),))
