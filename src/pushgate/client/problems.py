"""What an answer of the HTTP API that is an error says."""

import httpx
from msgspec import DecodeError, Raw, Struct, json

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
    wait = answer.headers.get("Retry-After", "")
    retry_after = int(wait) if wait.isdecimal() else 0
    return describe(answer.status_code, answer.content, answer.reason_phrase, retry_after)


def describe(status: int, document: bytes | Raw, otherwise: str = "", retry_after: int = 0) -> ApiProblem:
    """Return what a problem document says is wrong; `otherwise` stands for one that is none."""
    try:
        body = json.decode(document, type=_Problem)
    except DecodeError:  # a ValidationError is a DecodeError
        body = _Problem(detail=otherwise)
    errors = tuple((each.field, each.message) for each in body.errors)
    return ApiProblem(status, body.code, body.detail or body.title, errors, retry_after)
