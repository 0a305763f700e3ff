"""The Litestar application: everything on the management port beside the hot path of the push route."""

from collections.abc import Sequence

from litestar import Litestar
from litestar.datastructures import MutableScopeHeaders
from litestar.types import ControllerRouterHandler, Message, Scope

from pushgate.api.console import CONSOLE_ROUTES
from pushgate.api.context import ApiContext
from pushgate.api.docs import DOCS_ROUTES
from pushgate.api.openapi import describe
from pushgate.api.problems import SECURITY_HEADERS, handle_exception
from pushgate.api.push import PUSH_PATH
from pushgate.api.request_id import REQUEST_ID
from pushgate.api.routes import ROUTES
from pushgate.metrics.catalogue import API_REQUESTS


def build_app(extra_routes: Sequence[ControllerRouterHandler] = ()) -> Litestar:
    """Return the application; built once, before the fork. ApiServer gives it the worker's context, behind `Entry`."""
    app = Litestar(
        route_handlers=[*ROUTES, *DOCS_ROUTES, *CONSOLE_ROUTES, *extra_routes],
        exception_handlers={Exception: handle_exception},
        before_send=[_add_headers, _count],
        # Litestar's own logging and OpenAPI stay off: what it would log is no news, and the document is ours
        logging_config=None,
        openapi_config=None,
        request_max_body_size=64 * 1024,
    )
    app.state.openapi = describe(app)
    return app


async def _add_headers(message: Message, scope: Scope) -> None:
    """Add what every answer has and this one does not say itself, in whatever case."""
    if message["type"] == "http.response.start":
        headers = MutableScopeHeaders.from_message(message)
        for name, value in SECURITY_HEADERS.items():
            headers.setdefault(name, value)
        headers.setdefault(REQUEST_ID, scope["state"]["request_id"])


async def _count(message: Message, scope: Scope) -> None:
    """Count what is answered by its status; pushes are counted by the push route."""
    if message["type"] == "http.response.start" and scope["path"] != PUSH_PATH:
        context: ApiContext = scope["litestar_app"].state.context
        context.row[API_REQUESTS[f"{message['status'] // 100}xx"]] += 1
