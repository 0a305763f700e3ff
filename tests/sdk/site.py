"""A business system's web site: a page that uses the SDK as it was built, and tokens for it."""

import os
import shutil
import threading
import time
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.rig.node import RunningNode

SDK = Path(__file__).parents[2] / "sdk" / "js"
SCRIPT = SDK / "dist" / "pushgate.iife.js"


def require_node(*, module: bool = False) -> None:
    """Give up a test, or its `module`, without Node.js and what npm installs: a failure in CI, elsewhere a skip."""
    if not shutil.which("npm") or not (SDK / "node_modules").exists():
        reason = "Node.js, or sdk/js/node_modules, is not here: `make sdk`"
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason, allow_module_level=module)


# What it got stands in `got`; a handler holds it up, or throws, as the test says by `work`.
PAGE = """<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><title>page</title>
<script src="/pushgate.js"></script>
<script>
const got = [], states = [], errors = [];
let work = () => {}, gate;
function start(url, user, options) {
  gate = new Pushgate(url, {
    token: async () => (await fetch("/token?user=" + user)).text(),
    onState: (state) => states.push(state),
    onError: (error) => errors.push(String(error)),
    ...options,
  });
  gate.on("*", async (message) => {
    await work(message);
    got.push(message.data);
  });
}
const asked = new URLSearchParams(location.search);
if (asked.has("url")) start(asked.get("url"), asked.get("user"), JSON.parse(asked.get("options")));
</script>
"""


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, node: RunningNode, *rest: object) -> None:
        self._node = node
        super().__init__(*rest)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        if address.path == "/pushgate.js":
            self._answer(SCRIPT.read_text(), "text/javascript")
        elif address.path == "/token":
            user, *claims = parse_qsl(address.query)
            moments = {name: int(time.time()) + int(seconds) for name, seconds in claims}
            self._answer(self._node.token(user[1], **moments), "text/plain")
        else:
            self._answer(PAGE, "text/html")

    def _answer(self, text: str, kind: str) -> None:
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Site:
    """Served on a free port of loopback while it is entered."""

    def __init__(self, node: RunningNode) -> None:
        self.node = node
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, node))
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def __enter__(self) -> "Site":
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
