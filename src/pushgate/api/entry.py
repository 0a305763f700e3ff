"""What a request meets before Litestar: it gets its id, and is routed by its path as it came."""

from litestar import Litestar
from litestar.types import Message, Receive, Scope, Send

from pushgate.api.calls import Call, Calls
from pushgate.api.push import BATCH_PATH, PUSH_PATH
from pushgate.api.request_id import new_request_id, request_id_of


class Entry:
    """An ASGI application around Litestar's.

    Routes see a path without its percent-encoding undone: in a uid `%2F` is a character, and `/` ends it. `calls` is
    None where none is followed.
    """

    def __init__(self, app: Litestar, calls: Calls | None) -> None:
        self._app = app
        self._calls = calls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        path = scope["path"] = scope["raw_path"].decode()
        headers, state = dict(scope["headers"]), scope.setdefault("state", {})
        call = None
        if self._calls is not None:
            call = self._calls.begin(headers, path if path in (PUSH_PATH, BATCH_PATH) else "")
        if call is None:
            state["request_id"] = request_id_of(headers) or new_request_id()
        else:
            state |= {"request_id": call.request_id, "call": call}
            send = _follow(scope, send, call)
        await self._app(scope, receive, send)


def _follow(scope: Scope, send: Send, call: Call) -> Send:
    """Return a `send` that also ends the call once its answer begins."""

    async def send_followed(message: Message) -> None:
        if message["type"] == "http.response.start":
            method, route = str(scope.get("method", "")), scope.get("path_template", "")
            call.end(method, route, message["status"], scope["state"].get("tenant", ""))
        await send(message)

    return send_followed
