"""The files of the pages on the management port, as they are served: whole, from the package, never cached."""

from importlib.resources import files

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

_FILES = files("pushgate") / "console"
_TYPES = {"js": "text/javascript", "css": "text/css"}

PAGE_HEADERS = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
"""What keeps a page, and what belongs to it, to itself."""


def read_page(name: str) -> str:
    """Return a page's text."""
    return (_FILES / name).read_text(encoding="utf-8")


def file_route(name: str) -> HTTPRouteHandler:
    """Return the route of a file (`.js`, `.css`) that belongs to a page."""
    content = (_FILES / name).read_bytes()
    media_type = _TYPES[name.rpartition(".")[2]]

    @get(f"/{name}")
    async def page_file() -> Response[bytes]:
        return Response(content, media_type=media_type, headers=PAGE_HEADERS)

    return page_file
