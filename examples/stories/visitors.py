"""Who is who: a visitor is a random cookie. A system of yours has a login here."""

import secrets
from hashlib import sha256
from typing import Any

from litestar import Request
from litestar.datastructures import Cookie
from litestar.exceptions import NotAuthorizedException

COOKIE = "visitor"
RUN = secrets.token_hex(8)
"""Names this run of the stories. Who visited the one before is somebody else: what they did there is gone."""


def uid_of(secret: str) -> str:
    """Return the uid of who has a secret. The uid may be logged; the secret, which lets in, may not."""
    return f"v-{sha256((RUN + secret).encode()).hexdigest()[:20]}"


def know_visitor(request: Request[Any, Any, Any]) -> str:
    """Return the uid of who asks. Raises NotAuthorizedException for who has not been let in yet."""
    secret = request.cookies.get(COOKIE)
    if not secret:
        raise NotAuthorizedException("open the page first")
    return uid_of(secret)


def make_cookie(request: Request[Any, Any, Any]) -> Cookie:
    """Return the cookie of who asks: the one that is there, or a new one."""
    secret = request.cookies.get(COOKIE) or secrets.token_urlsafe(24)
    return Cookie(COOKIE, value=secret, httponly=True, samesite="strict", max_age=365 * 86400, path="/")
