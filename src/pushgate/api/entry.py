"""What a request meets before Litestar: it gets its id, and is routed by its path as it came."""

import time

from litestar import Litestar
from litestar.types import Message, Receive, Scope, Send

from pushgate.api.request_id import new_request_id, request_id_of
from pushgate.api.trace import trace


class Entry:
    """An ASGI application around Litestar's.

    Routes see a path without its percent-encoding undone: in a uid `%2F` is a character, and `/` ends it. `traced` has
    every request logged.
    """

    def __init__(self, app: Litestar, traced: bool) -> None:
        self._app = app
        self._traced = traced

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        scope["path"] = scope["raw_path"].decode()
        scope.setdefault("state", {})["request_id"] = request_id_of(dict(scope["headers"])) or new_request_id()
        await self._app(scope, receive, _trace(scope, send) if self._traced else send)


def _trace(scope: Scope, send: Send) -> Send:
    """Return a `send` that also logs the request once its answer begins."""
    began = time.monotonic()

    async def send_traced(message: Message) -> None:
        if message["type"] == "http.response.start":
            state = scope["state"]
            trace(
                str(scope.get("method", "")),
                scope.get("path_template", ""),
                message["status"],
                state["request_id"],
                state.get("tenant", ""),
                began,
            )
        await send(message)

    return send_traced
