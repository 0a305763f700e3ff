"""The OpenAPI 3.1 document, made of the routes and the structs that they read and answer with.

A route says what it does in `opt={"operation": Operation(…)}`; one without does not stand in the document.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from litestar import Litestar
from litestar.routes import HTTPRoute
from msgspec import Struct, json

from pushgate import __version__
from pushgate.api.notation import JSON_TYPE
from pushgate.api.problems import PROBLEM_TYPE, ProblemDocument
from pushgate.codes import PROBLEMS


class Parameter(NamedTuple):
    """A part of the path or of the query: its name, its type as bodies have it, and an example to paste, or None."""

    name: str
    kind: Any
    example: str | int | None
    place: Literal["path", "query"] = "path"
    required: bool = True


class Operation(NamedTuple):
    """What the document says of a route.

    `body` and `answer` are structs (or `answer` the media type of a plain one), `examples` bodies to paste by what
    they show, `answer_example` an answer, `problems` codes of `codes.PROBLEMS`. `public` needs no API key.
    `body_schema` is merged into the schema of the body, for what its types cannot say. `media` are the types that a
    body may have, and its answer then has too. `parameters` are in the path, in their order there, and
    in the query.
    """

    summary: str
    description: str
    status: int = 200
    answer: type[Struct] | str = "text/plain"
    body: type[Struct] | None = None
    body_schema: Mapping[str, Any] = {}
    examples: Mapping[str, Any] = {}
    problems: tuple[str, ...] = ()
    public: bool = False
    media: tuple[str, ...] = (JSON_TYPE,)
    parameters: tuple[Parameter, ...] = ()
    answer_example: Any = None


def describe(app: Litestar) -> bytes:
    """Return the document of an application, as JSON."""
    rows = list(operations_of(app))
    structs: set[type[Struct]] = {ProblemDocument}
    for _, _, _, operation in rows:
        structs.update(part for part in (operation.body, operation.answer) if isinstance(part, type))
    _, schemas = json.schema_components(
        sorted(structs, key=lambda struct: struct.__name__), ref_template="#/components/schemas/{name}"
    )
    paths: dict[str, dict[str, Any]] = {}
    for path, method, name, operation in rows:
        if operation.body is not None:
            schemas[operation.body.__name__].update(operation.body_schema)
        paths.setdefault(path, {})[method] = _describe(name, operation)
    return json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "pushgate",
                "version": __version__,
                "description": "Push to connected browsers and apps with one HTTP call. Send `X-Request-Id` (1 to 128 "
                "printable ASCII characters without quotes) and it comes back, is in `request_id` of a problem, and in "
                "the gateway's log; else each answer, but for that of a push that was taken, has one of its own.",
            },
            "servers": [{"url": "/"}],
            "paths": paths,
            "components": {
                "schemas": schemas,
                "securitySchemes": {
                    "key": {
                        "type": "http",
                        "scheme": "bearer",
                        "description": "An API key, which also decides the tenant.",
                    }
                },
            },
            "security": [{"key": []}],
        }
    )


def operations_of(app: Litestar) -> Iterable[tuple[str, str, str, Operation]]:
    """Return path, method, name and operation of every route that has one."""
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for method, (handler, _) in sorted(route.route_handler_map.items()):
                operation = handler.opt.get("operation")
                if isinstance(operation, Operation):
                    yield route.path_format, method.lower(), handler.handler_name, operation


def _describe(name: str, operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": name,
        "summary": operation.summary,
        "description": operation.description,
        "responses": {str(operation.status): _answer(operation)} | _problems(operation.problems),
    }
    if operation.parameters:
        described["parameters"] = [
            {
                "name": each.name,
                "in": each.place,
                "required": each.required,
                "schema": json.schema(each.kind),
            }
            | ({} if each.example is None else {"example": each.example})
            for each in operation.parameters
        ]
    if operation.public:
        described["security"] = []
    if operation.body is not None:
        schema = {"schema": _reference(operation.body)}
        content: dict[str, dict[str, Any]] = {media: dict(schema) for media in operation.media}
        if operation.examples:
            content[JSON_TYPE]["examples"] = {
                name.replace(" ", "_"): {"summary": name, "value": value} for name, value in operation.examples.items()
            }
        described["requestBody"] = {"required": True, "content": content}
    return described


def _answer(operation: Operation) -> dict[str, Any]:
    answer = operation.answer
    if isinstance(answer, str):
        return {"description": "The answer.", "content": {answer: {"schema": {"type": "string"}}}}
    content: dict[str, dict[str, Any]] = {media: {"schema": _reference(answer)} for media in operation.media}
    if operation.answer_example is not None:
        content[JSON_TYPE]["example"] = operation.answer_example
    return {"description": " ".join((answer.__doc__ or "").split()), "content": content}


def _problems(codes: Iterable[str]) -> dict[str, Any]:
    """Return the answers for problems; those of one status share one."""
    answers: dict[str, Any] = {}
    for code in codes:
        status, title, caller = PROBLEMS[code]
        described = answers.setdefault(
            str(status),
            {"description": "", "content": {PROBLEM_TYPE: {"schema": _reference(ProblemDocument)}}},
        )
        described["description"] += f"{title} (`{code}`): {caller}. "
        if status == 401:
            described["headers"] = {"WWW-Authenticate": {"schema": {"const": "Bearer"}}}
        if status in (429, 503):
            described["headers"] = {"Retry-After": {"schema": {"type": "integer"}}}
    return answers


def _reference(struct: type[Struct]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{struct.__name__}"}
