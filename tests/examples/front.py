"""A front of a gateway that loses its first answer to a reliable push, as a proxy does whose gateway just restarts."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic
from typing import Any

import httpx


class Front(ThreadingHTTPServer):
    """Passes pushes on. Of a reliable push with a new id the answer is lost: a 503 with `Retry-After: 1` instead.

    `pushes` has of each reliable push its body and when it came, in seconds.
    """

    daemon_threads = True

    def __init__(self, api: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.api = api
        self.pushes: list[tuple[dict[str, Any], float]] = []
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def close(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Front

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name: self.headers[name] for name in ("Authorization", "Content-Type")}
        answer = httpx.post(self.server.api + self.path, content=body, headers=headers, timeout=10)
        push = json.loads(body)
        known = [each["id"] for each, _ in self.server.pushes]
        if push.get("qos") == "reliable":
            self.server.pushes.append((push, monotonic()))
            if push["id"] not in known:
                self._answer(503, b"", {"Retry-After": "1"})
                return
        self._answer(answer.status_code, answer.content, {})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass
