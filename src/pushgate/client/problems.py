"""What an answer of the HTTP API that is an error says."""

import httpx
from msgspec import DecodeError, Struct, ValidationError, json

from pushgate.client.errors import ApiProblem


class _Field(Struct):
    field: str = ""
    message: str = ""


class _Problem(Struct):
    code: str = ""
    detail: str = ""
    title: str = ""
    errors: list[_Field] = []


def read_problem(answer: httpx.Response) -> ApiProblem:
    """Return what an answer says is wrong; of one that is no problem document, its reason phrase."""
    try:
        body = json.decode(answer.content, type=_Problem)
    except (DecodeError, ValidationError):
        body = _Problem(detail=answer.reason_phrase)
    wait = answer.headers.get("Retry-After", "")
    return ApiProblem(
        answer.status_code,
        body.code,
        body.detail or body.title,
        tuple((each.field, each.message) for each in body.errors),
        int(wait) if wait.isdecimal() else 0,
    )
