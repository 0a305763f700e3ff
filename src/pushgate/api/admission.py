"""Who asks, and in what form: the API key and the headers of a request that Litestar answers."""

from typing import Any

from litestar import Request

from pushgate.api.calls import Call
from pushgate.api.context import ApiContext
from pushgate.api.notation import JSON_TYPE, media_of
from pushgate.api.push import Form, PushRoute
from pushgate.errors import Problem

AnyRequest = Request[Any, Any, Any]


def context_of(request: AnyRequest) -> ApiContext:
    """Return what the request may reach."""
    context: ApiContext = request.app.state.context
    return context


def push_route_of(request: AnyRequest) -> PushRoute:
    """Return the push route of this worker."""
    route: PushRoute = request.app.state.push_route
    return route


def request_id_for(request: AnyRequest) -> str:
    """Return the id that the request has."""
    request_id: str = request.scope["state"]["request_id"]
    return request_id


def call_of(request: AnyRequest) -> Call | None:
    """Return what follows the request, None where nothing does."""
    call: Call | None = request.scope["state"].get("call")
    return call


def admit(request: AnyRequest) -> str:
    """Return the tenant of a request. Raises Problem 401, and 403 for a read key."""
    return _note(request, push_route_of(request).keys.admit(_header(request, b"authorization")))


def admit_reader(request: AnyRequest) -> tuple[str, bool]:
    """Return the tenant of a request that only asks, and whether its key may do more than that. Raises Problem 401."""
    tenant, may_change = push_route_of(request).keys.admit_reader(_header(request, b"authorization"))
    return _note(request, tenant), may_change


def admit_json(request: AnyRequest) -> str:
    """Return the tenant of a request whose body is JSON. Raises Problem 401, 403, 415."""
    tenant = admit(request)
    media_of(_header(request, b"content-type"), JSON_TYPE)
    return tenant


def admit_form(request: AnyRequest) -> tuple[str, Form]:
    """Return the tenant of a push, and what its body is written in. Raises Problem 401, 403, 415."""
    authorization, content_type = _header(request, b"authorization"), _header(request, b"content-type")
    tenant, form = push_route_of(request).admit(authorization, content_type)
    return _note(request, tenant), form


def _note(request: AnyRequest, tenant: str) -> str:
    request.scope["state"]["tenant"] = tenant
    return tenant


def _header(request: AnyRequest, name: bytes) -> bytes | None:
    """Return a header that may come once. Raises Problem for two of them."""
    values = [value for key, value in request.scope["headers"] if key == name]
    if len(values) > 1:
        raise Problem("bad_request", f"expected one {name.decode()} header, got several")
    return values[0] if values else None
