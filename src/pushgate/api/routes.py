"""The routes of the API that Litestar answers: pushes that the protocol left to it, tokens, health and metrics."""

from asyncio import sleep
from typing import Any

from litestar import Request, Response, get, post

from pushgate.api.bodies import BodyReader, bad_body
from pushgate.api.context import ApiContext
from pushgate.api.notation import JSON_TYPE, media_of
from pushgate.api.openapi import Operation
from pushgate.api.problems import to_response
from pushgate.api.push import FORMS, PUSH_PATH, Form, PushRoute
from pushgate.api.rules import has_control
from pushgate.api.schemas import Alive, PushAccepted, PushBody, TokenBody, TokenMade
from pushgate.errors import Problem
from pushgate.metrics.exposition import CONTENT_TYPE, expose

AnyRequest = Request[Any, Any, Any]

_read_token = BodyReader(TokenBody).read

PUSH = Operation(
    "Push a message",
    "To one user, up to 1,000 users or everyone in the tenant, on every device that is connected. "
    "202 means that the bus has it. A body may be MessagePack with the same fields, and is then answered in its type "
    "(problems stay JSON); `data` may then be `bin`, which is the same as `data_base64`, or else what JSON can carry: "
    "no bytes or extensions within, string keys, finite numbers.",
    202,
    PushAccepted,
    PushBody,
    {
        "oneOf": [{"required": [target]} for target in ("user", "users", "everyone")],
        "dependentRequired": {"spread": ["everyone"]},
        "not": {
            "anyOf": [
                {"required": ["data", "data_base64"]},
                {"required": ["qos", "spread"], "properties": {"qos": {"const": "reliable"}}},
                {"required": ["qos", "except_session"], "properties": {"qos": {"const": "reliable"}}},
            ]
        },
    },
    {
        "to one user": {"user": "alice", "event": "comment", "data": {"text": "hi"}},
        "to several": {"users": ["alice", "bob"], "event": "invite", "data": {"room": 7}},
        "to everyone, over ten seconds": {"everyone": True, "data": "back in an hour", "spread": 10},
        "to one device, bytes": {"user": "alice", "device": "phone-1", "data_base64": "3q2+7w=="},
    },
    (
        "bad_request",
        "unauthorized",
        "too_large",
        "unsupported_media_type",
        "rate_limited",
        "internal_error",
        "not_implemented",
        "bus_unavailable",
    ),
    media=tuple(FORMS),
)

TOKEN = Operation(
    "Make a client token",
    "Signed with the tenant's first symmetric key. Give it to the user's browser or app to connect with.",
    200,
    TokenMade,
    TokenBody,
    {},
    {"for an hour": {"user": "alice"}, "with tags": {"user": "alice", "ttl": 600, "tags": ["beta"]}},
    ("bad_request", "unauthorized", "forbidden", "too_large", "unsupported_media_type", "internal_error"),
)


def _header(request: AnyRequest, name: bytes) -> bytes | None:
    """Return a header that may come once. Raises Problem for two of them."""
    values = [value for key, value in request.scope["headers"] if key == name]
    if len(values) > 1:
        raise Problem("bad_request", f"expected one {name.decode()} header, got several")
    return values[0] if values else None


def _admit(request: AnyRequest) -> tuple[str, Form]:
    """Return the tenant of a request and what its body is written in. Raises Problem."""
    route: PushRoute = request.app.state.push_route
    return route.admit(_header(request, b"authorization"), _header(request, b"content-type"))


@post(PUSH_PATH, opt={"operation": PUSH}, request_max_body_size=None)
async def push(request: AnyRequest) -> Response[bytes]:
    """Answer a push whose request line is not exactly what the protocol answers itself: a query, `http://…`."""
    route: PushRoute = request.app.state.push_route
    try:
        tenant, form = _admit(request)
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > route.max_body:
                raise route.too_large()
    except Problem as problem:
        return to_response(route.refuse(problem))
    return to_response(await route.push(tenant, bytes(body), form))


@post("/v1/tokens", status_code=200, opt={"operation": TOKEN})
async def make_token(request: AnyRequest) -> TokenMade:
    """Make a client token."""
    context: ApiContext = request.app.state.context
    tenant, _ = _admit(request)
    media_of(_header(request, b"content-type"), JSON_TYPE)
    wanted = _read_token(await request.body())
    tags = wanted.tags or ()
    errors = [("user", wanted.user), *((f"tags[{index}]", tag) for index, tag in enumerate(tags))]
    wrong = [(field, "expected no control characters, got one") for field, text in errors if has_control(text)]
    if wrong:
        raise bad_body(wrong)
    return TokenMade(*context.tenants.sign_token(tenant, wanted.user, wanted.ttl, tags))


@get(
    "/healthz",
    opt={
        "operation": Operation(
            "Whether it is alive", "Says so while the worker answers at all.", 200, Alive, public=True
        )
    },
)
async def healthz() -> Alive:
    """Say that the worker answers."""
    return Alive()


@get(
    "/readyz",
    opt={
        "operation": Operation(
            "Whether it should get traffic",
            "The bus can be reached and the node is not stopping; else the reasons are in `detail`.",
            200,
            Alive,
            problems=("unavailable",),
            public=True,
        )
    },
)
async def readyz(request: AnyRequest) -> Alive:
    """Say whether the worker should get traffic. Raises Problem 503 with the reasons."""
    context: ApiContext = request.app.state.context
    reasons = context.not_ready()
    if not context.bus.connected and "the bus is away" not in reasons:
        reasons = ["the bus is away", *reasons]
    if reasons:
        raise Problem("unavailable", "; ".join(reasons), retry_after=1)
    return Alive()


@get(
    "/metrics",
    opt={"operation": Operation("Metrics of the node", "Prometheus text, summed over all workers.", public=True)},
)
async def metrics(request: AnyRequest) -> Response[bytes]:
    """Return the metrics of the node."""
    context: ApiContext = request.app.state.context
    parts = []
    for part in expose(context.rows, context.tenants.numbers, context.config.node.full_name):
        parts.append(part)
        await sleep(0)  # whatever is due on the loop, a slice of a fan-out above all
    return Response(b"".join(parts), media_type=CONTENT_TYPE)


ROUTES = (push, make_token, healthz, readyz, metrics)
