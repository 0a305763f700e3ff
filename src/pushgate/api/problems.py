"""RFC 9457 problem documents: how every error of the API looks, whoever noticed it."""

from http import HTTPStatus
from typing import Any, NamedTuple

from litestar import Request, Response
from litestar.exceptions import HTTPException, InternalServerException
from msgspec import UNSET, Struct, UnsetType, json

from pushgate.api.notation import JSON_TYPE
from pushgate.api.request_id import REQUEST_ID, new_request_id
from pushgate.codes import PROBLEMS
from pushgate.errors import Problem
from pushgate.log import get_logger

PROBLEM_TYPE = "application/problem+json"
Headers = tuple[tuple[str, str], ...]

SECURITY_HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
"""In every answer: nothing here is meant for caches, or for a browser to guess at."""

_log = get_logger("api")
_encoder = json.Encoder()


class FieldError(Struct, frozen=True):
    """One field of a body that is wrong: which (as in `users[3]`), what was expected and what came."""

    field: str
    message: str


class ProblemDocument(Struct, frozen=True):
    """An error. `code` is stable and meant for programs, `detail` for people; `errors` comes with a bad body.

    `request_id` is the `X-Request-Id` of the answer: the log knows a fault of the gateway by it.
    """

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[FieldError] | UnsetType = UNSET
    request_id: str | UnsetType = UNSET


class Answer(NamedTuple):
    """An HTTP answer; a status of 400 and above means that the body is a problem document, whatever `media` says."""

    status: int
    body: bytes
    headers: Headers = ()
    media: str = JSON_TYPE

    @property
    def content_type(self) -> str:
        """The type of the body."""
        return PROBLEM_TYPE if self.status >= 400 else self.media


def describe_problem(problem: Problem, request_id: str | UnsetType = UNSET) -> ProblemDocument:
    """Return the document of a problem."""
    return ProblemDocument(
        type=f"/docs#{problem.code}",
        title=PROBLEMS[problem.code].title,
        status=problem.status,
        detail=problem.detail,
        code=problem.code,
        errors=[FieldError(*error) for error in problem.errors] or UNSET,
        request_id=request_id,
    )


def answer_problem(problem: Problem, request_id: str) -> Answer:
    """Return the answer that tells a caller of a problem; a request without an id gets one."""
    request_id = request_id or new_request_id()
    headers = [(REQUEST_ID, request_id)]
    if problem.status == 401:
        headers.append(("www-authenticate", "Bearer"))
    if problem.status in (429, 503):
        headers.append(("retry-after", str(problem.retry_after or 1)))
    return Answer(problem.status, _encoder.encode(describe_problem(problem, request_id)), tuple(headers))


def internal_error(error: Exception, request_id: str) -> Problem:
    """Log a fault of ours, and return the problem that tells a caller nothing about it."""
    _log.error("request_failed", request_id=request_id, exc_info=error)
    return Problem("internal_error", "the gateway failed to answer; its log says more")


def handle_exception(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Litestar's exception handler: turns anything that a route raised into a problem document."""
    extra: dict[str, str] = {}
    request_id: str = request.scope["state"]["request_id"]
    if isinstance(error, Problem):
        problem = error
    elif isinstance(error, HTTPException) and error.status_code < 500:
        problem = _of_litestar(request, error)
        if problem.status == 405 and error.headers:
            extra = {name: value for name, value in error.headers.items() if name.lower() == "allow"}
    elif isinstance(error, InternalServerException) and error.detail == _GONE:
        problem = Problem("bad_request", "the body did not come")  # nobody reads this, and nobody is to blame
    else:
        problem = internal_error(error, request_id)
    return to_response(answer_problem(problem, request_id), extra)


def to_response(answer: Answer, extra: dict[str, str] | None = None) -> Response[bytes]:
    """Return an answer in Litestar's form, with `extra` headers."""
    return Response(
        answer.body,
        status_code=answer.status,
        media_type=answer.content_type,
        headers={**dict(answer.headers), **(extra or {})},
    )


_GONE = "client disconnected prematurely"
"""How Litestar tells that a caller went away while its body was read."""

_CODE_OF_STATUS = {
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
}


def _of_litestar(request: Request[Any, Any, Any], error: HTTPException) -> Problem:
    code = _CODE_OF_STATUS.get(error.status_code, "bad_request")
    if code == "not_found":
        return Problem(code, f"there is nothing at {request.scope['path']}")
    if code == "method_not_allowed":
        return Problem(code, f"{request.method} does not go with {request.scope['path']}")
    return Problem(code, error.detail or HTTPStatus(error.status_code).phrase)
