"""The routes of the API that Litestar answers; those about users and nodes stand in files of their own."""

from asyncio import sleep
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from litestar import Response, get, post

from pushgate.api.admission import (
    AnyRequest,
    admit_form,
    admit_json,
    call_of,
    context_of,
    push_route_of,
    request_id_for,
)
from pushgate.api.batch import push_batch
from pushgate.api.bodies import BodyReader, bad_body
from pushgate.api.calls import Call
from pushgate.api.events import EVENT_ROUTES
from pushgate.api.openapi import Operation
from pushgate.api.problems import Answer, to_response
from pushgate.api.push import BATCH_PATH, FORMS, PUSH_PATH, Form
from pushgate.api.receipts import find_receipt
from pushgate.api.rules import has_control
from pushgate.api.schemas import Alive, BatchAnswered, BatchBody, PushAccepted, PushBody, TokenBody, TokenMade
from pushgate.api.stats import STATS_ROUTES
from pushgate.api.tenant import find_tenant
from pushgate.api.users import USER_ROUTES
from pushgate.errors import Problem
from pushgate.metrics.exposition import CONTENT_TYPE, expose

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
        "reliably, for a day": {
            "user": "alice",
            "data": {"paid": True},
            "qos": "reliable",
            "ttl": 86400,
            "id": "order-7",
        },
        "to one device, bytes": {"user": "alice", "device": "phone-1", "data_base64": "3q2+7w=="},
    },
    (
        "bad_request",
        "unauthorized",
        "forbidden",
        "too_large",
        "unsupported_media_type",
        "rate_limited",
        "internal_error",
        "no_inbox",
        "inbox_full",
        "user_full",
        "inbox_unavailable",
        "bus_unavailable",
    ),
    media=tuple(FORMS),
    answer_example={"id": "1a2106fd24d03d5f67d033fb717"},
)

BATCH = Operation(
    "Push many messages",
    "Up to 1,000 pushes in one call, each as for `POST /v1/push` and answered as it would be there, in order: a wrong "
    "one is refused alone. Those that are right are sent on together; those to the same target keep their order. An "
    "error for the whole means that nothing is known to be taken: with 503 some may have been, with any other nothing "
    "was. Each push counts as one of the tenant's in a second, and they are taken all or none (429).",
    200,
    BatchAnswered,
    BatchBody,
    {},
    {
        "two pushes": {
            "pushes": [
                {"user": "alice", "event": "comment", "data": {"text": "hi"}},
                {"users": ["alice", "bob"], "event": "invite", "data": {"room": 7}},
            ]
        }
    },
    (
        "bad_request",
        "unauthorized",
        "forbidden",
        "too_large",
        "unsupported_media_type",
        "rate_limited",
        "internal_error",
        "bus_unavailable",
    ),
    media=tuple(FORMS),
    answer_example={
        "results": [
            {"status": 202, "id": "1a2106fd24d03d5f67d033fb717"},
            {
                "status": 400,
                "problem": {
                    "type": "/docs#bad_request",
                    "title": "The request is not right",
                    "status": 400,
                    "detail": "wrong in the body: `user`",
                    "code": "bad_request",
                    "errors": [{"field": "user", "message": "expected a string of 1 to 255 characters, got 7"}],
                },
            },
        ]
    },
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
    answer_example={"token": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbGljZSJ9.…", "expires": 1767229200},
)


@post(PUSH_PATH, opt={"operation": PUSH}, request_max_body_size=None)
async def push(request: AnyRequest) -> Response[bytes]:
    """Answer a push whose request line is not exactly what the protocol answers itself: a query, `http://…`."""
    return await _answer(request, push_route_of(request).push)


@post(BATCH_PATH, status_code=200, opt={"operation": BATCH}, request_max_body_size=None)
async def push_many(request: AnyRequest) -> Response[bytes]:
    """Answer a batch of pushes."""
    return await _answer(request, partial(push_batch, context_of(request), push_route_of(request)))


async def _answer(
    request: AnyRequest, take: Callable[[str, bytes, Form, str, Call | None], Coroutine[Any, Any, Answer]]
) -> Response[bytes]:
    """Answer a push or many: `take` is given the tenant, the body, its form, the request's id and what follows it."""
    route, request_id = push_route_of(request), request_id_for(request)
    try:
        tenant, form = admit_form(request)
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > route.max_body:
                raise route.too_large()
    except Problem as problem:
        return to_response(route.refuse(problem, request_id))
    return to_response(await take(tenant, bytes(body), form, request_id, call_of(request)))


@post("/v1/tokens", status_code=200, opt={"operation": TOKEN})
async def make_token(request: AnyRequest) -> TokenMade:
    """Make a client token."""
    tenant = admit_json(request)
    wanted = _read_token(await request.body())
    tags = wanted.tags or ()
    errors = [("user", wanted.user), *((f"tags[{index}]", tag) for index, tag in enumerate(tags))]
    wrong = [(field, "expected no control characters, got one") for field, text in errors if has_control(text)]
    if wrong:
        raise bad_body(wrong)
    return TokenMade(*context_of(request).tenants.sign_token(tenant, wanted.user, int(wanted.ttl), tags))


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
    context = context_of(request)
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
    context = context_of(request)
    parts = []
    for part in expose(context.rows, context.tenants.numbers, context.config.node.full_name):
        parts.append(part)
        await sleep(0)  # whatever is due on the loop, a slice of a fan-out above all
    return Response(b"".join(parts), media_type=CONTENT_TYPE)


ROUTES = (
    push,
    push_many,
    find_receipt,
    make_token,
    *USER_ROUTES,
    *STATS_ROUTES,
    *EVENT_ROUTES,
    find_tenant,
    healthz,
    readyz,
    metrics,
)
