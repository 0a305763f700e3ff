"""The Litestar application: everything on the management port beside the hot path of the push route."""

from collections.abc import Sequence

from litestar import Litestar
from litestar.types import ControllerRouterHandler

from pushgate.api.docs import DOCS_ROUTES
from pushgate.api.openapi import describe
from pushgate.api.problems import SECURITY_HEADERS, handle_exception
from pushgate.api.routes import ROUTES


def build_app(extra_routes: Sequence[ControllerRouterHandler] = ()) -> Litestar:
    """Return the application; built once, before the fork. ApiServer gives it the worker's context."""
    app = Litestar(
        route_handlers=[*ROUTES, *DOCS_ROUTES, *extra_routes],
        exception_handlers={Exception: handle_exception},
        response_headers=SECURITY_HEADERS,
        # Litestar's own logging and OpenAPI stay off: what it would log is no news, and the document is ours
        logging_config=None,
        openapi_config=None,
        request_max_body_size=64 * 1024,
    )
    app.state.openapi = describe(app)
    return app
