"""The demo page at `/demo`: a client of the gateway in a browser, with a push key in it to try pushing at once.

Whoever reads the page can push, so it goes to this machine alone: the peer is a loopback address, `Host` names
loopback (a foreign name that resolves to 127.0.0.1 is DNS rebinding, and would let a web site read the key), and
no proxy stands in front, which would make everybody a loopback peer.
"""

import json
import re
from ipaddress import IPv6Address, ip_address
from typing import Any

from litestar import Request, Response, Router, get
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.types import ControllerRouterHandler

from pushgate.api.pages import PAGE_HEADERS, file_route, read_page
from pushgate.codes import CLOSE_ADVICE
from pushgate.errors import Problem

DEMO_FILES = ("demo.js", "demo_api.js", "demo_connection.js", "demo_device.js", "theme.css", "demo.css")
"""What the page loads, by name."""

_PAGE = read_page("demo.html")
_SETTINGS = "__SETTINGS__"
"""Where the page has a place for what it must know of this node."""

_is_loopback_host = re.compile(rb"(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE).fullmatch


def demo_routes(push_key: str, clients_port: int, clients_tls: bool) -> list[ControllerRouterHandler]:
    """Return the routes of the demo page and its files.

    `push_key` is put into the page. `clients_port` is where clients connect, on the host that the page was opened by,
    with `clients_tls` over TLS.
    """
    scheme = "wss" if clients_tls else "ws"
    page = _PAGE.replace(_SETTINGS, _encode_settings(push_key, scheme, clients_port)).encode()

    @get("/")
    async def demo_page(request: Request[Any, Any, Any]) -> Response[bytes]:
        policy = _content_policy(request.headers["host"], scheme, clients_port)
        return Response(page, media_type="text/html", headers={**PAGE_HEADERS, "content-security-policy": policy})

    assets = [file_route(name) for name in DEMO_FILES]
    return [
        Router(path="/demo", route_handlers=[demo_page, *assets], guards=[_only_this_machine], include_in_schema=False)
    ]


def _only_this_machine(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Let a request pass that comes straight from this machine. Raises Problem 403."""
    headers = connection.scope["headers"]
    for name, _value in headers:
        if name in (b"forwarded", b"via", b"x-real-ip") or name.startswith(b"x-forwarded-"):
            raise Problem("forbidden", "the demo page holds a push key: it is not served through a proxy")
    client = connection.scope["client"]
    if client is None or not _is_loopback(client[0]):
        raise Problem("forbidden", "the demo page holds a push key: it is served to this machine only")
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) != 1 or not _is_loopback_host(hosts[0]):
        raise Problem("forbidden", "open the demo page by 127.0.0.1, localhost or [::1], not by another name")


def _is_loopback(address: str) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped.is_loopback
    return parsed.is_loopback


def _encode_settings(push_key: str, scheme: str, clients_port: int) -> str:
    """Return what the page must know, as JSON that nothing in it can end the surrounding element with."""
    settings = {
        "key": push_key,
        "scheme": scheme,
        "port": clients_port,
        "closes": {
            code.value: {"name": advice.name, "when": advice.when, "client": advice.client, "again": code.reconnect}
            for code, advice in CLOSE_ADVICE.items()
        },
    }
    text = json.dumps(settings)
    return text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")


def _content_policy(host: str, scheme: str, clients_port: int) -> str:
    # A policy cannot name an IPv6 address; for a page opened by [::1] any host has to do, on the one port.
    hosts = ("*",) if host.startswith("[") else ("127.0.0.1", "localhost")
    sockets = " ".join(f"{scheme}://{each}:{clients_port}" for each in hosts)
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; "
        f"connect-src 'self' {sockets}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    )
