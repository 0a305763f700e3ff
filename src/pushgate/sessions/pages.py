"""What the client port answers to ordinary requests."""

from pushgate.wire.request import Request
from pushgate.wire.upgrade import Headers, encode_answer

PAGES = {"/": "pushgate: a WebSocket push gateway. Connect to /ws.", "/healthz": "ok"}
"""`/` says what this is, `/healthz` that it is alive."""


def answer_page(request: Request) -> tuple[int, bytes]:
    """Return the status of the answer to a request for no connection, and the answer."""
    status, text = 200, PAGES.get(request.path, "")
    headers: Headers = ()
    if not text:
        status, text = 404, "nothing here: connect to /ws"
    elif request.method not in ("GET", "HEAD"):
        status, text, headers = 405, "only GET and HEAD here", (("Allow", "GET, HEAD"),)
    return status, encode_answer(status, text, headers, head_only=request.method == "HEAD")
