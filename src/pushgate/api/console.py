"""The console at `/console`: the gateway at a glance, for whoever has a tenant's API key or read key.

The page itself holds nothing that is worth keeping: the operator types the key in, and everything comes from the API.
"""

from litestar import Response, Router, get

from pushgate.api.pages import PAGE_HEADERS, file_route, read_page

CONSOLE_FILES = (
    "theme.css",
    "console.css",
    "console.js",
    "console_api.js",
    "console_chart.js",
    "console_dom.js",
    "console_events.js",
    "console_health.js",
    "console_metrics.js",
    "console_nodes.js",
    "console_push.js",
    "console_user.js",
)
"""What the page loads, by name."""

_PAGE = read_page("console.html").encode()
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)


@get("/")
async def console_page() -> Response[bytes]:
    """Return the page."""
    return Response(_PAGE, media_type="text/html", headers={**PAGE_HEADERS, "content-security-policy": _POLICY})


CONSOLE_ROUTES = (
    Router(
        path="/console",
        route_handlers=[console_page, *(file_route(name) for name in CONSOLE_FILES)],
        include_in_schema=False,
    ),
)
