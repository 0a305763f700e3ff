"""The API's own documentation: `/openapi.json`, and `/docs`, a page that shows it without a byte from elsewhere."""

from base64 import b64encode
from hashlib import sha256
from importlib.resources import files
from typing import Any

from litestar import MediaType, Request, Response, get
from msgspec import json

from pushgate.codes import PROBLEMS


@get("/openapi.json")
async def openapi(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Return the OpenAPI document."""
    return Response(request.app.state.openapi, media_type="application/vnd.oai.openapi+json")


def _hash(page: str, tag: str) -> str:
    """Return a content security policy's source for the one inline element of a tag."""
    text = page.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


_PROBLEMS = [{"code": code, **kind._asdict()} for code, kind in PROBLEMS.items()]
_PAGE = (
    (files("pushgate.api") / "docs.html")
    .read_text(encoding="utf-8")
    .replace('"__PROBLEMS__"', json.encode(_PROBLEMS).decode().replace("<", "\\u003c"))
)
_POLICY = (
    f"default-src 'none'; script-src {_hash(_PAGE, 'script')}; style-src {_hash(_PAGE, 'style')}; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@get("/docs")
async def docs() -> Response[str]:
    """Return the page."""
    return Response(
        _PAGE,
        media_type=MediaType.HTML,
        headers={"content-security-policy": _POLICY, "referrer-policy": "no-referrer"},
    )


DOCS_ROUTES = (openapi, docs)
