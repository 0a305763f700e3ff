"""Serves all stories, with a gateway of their own, or with the one that PUSHGATE_API, _KEY and _CLIENTS name."""

import argparse
import os
import signal
import socket
import sys
import tempfile
import threading
import webbrowser
from contextlib import ExitStack, suppress
from pathlib import Path

import uvicorn

from examples.stories.app import build_app
from examples.stories.business import Business
from examples.stories.gateway import OwnGateway


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="stories", description="Five stories of pushgate, on one page.")
    parser.add_argument("--host", default="127.0.0.1", help="where the pages are (0.0.0.0: your phone reaches them)")
    parser.add_argument("--port", type=int, default=8010, help="0: any that is free")
    parser.add_argument("--pace", type=float, default=1.0, help="how slowly background work is shown; 0.1 is quick")
    parser.add_argument("--no-browser", action="store_true", help="print the address alone")
    options = parser.parse_args()
    # What was started is to be stopped again, however this is ended.
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, lambda *_: sys.exit())
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pushgate-stories-")))
        listener = stack.enter_context(_listen(options.host, options.port))
        address, phones = _addresses(listener)
        own = None
        if "PUSHGATE_API" in os.environ:
            names = ("PUSHGATE_API", "PUSHGATE_KEY", "PUSHGATE_CLIENTS")
            api, key, clients = (os.environ[name] for name in names)
        else:
            own = OwnGateway(directory / "gateway", options.host)
            stack.callback(own.stop)
            api, key, clients = own.api, own.key, ""
        app = build_app(Business(api, key, clients, pace=options.pace, phones=phones), directory, own)
        print(f"The stories are at {address}")
        if phones:
            print(f"A phone finds them at {phones}")
        if own:
            print(f"Watch their gateway at {own.api}/console, with the key {own.key}")
        print("Ctrl-C ends them.", flush=True)
        if not options.no_browser and {"DISPLAY", "WAYLAND_DISPLAY", "BROWSER"} & os.environ.keys():
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        with suppress(KeyboardInterrupt):
            uvicorn.Server(uvicorn.Config(app, log_level="warning")).run([listener])


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port))
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise RuntimeError(f"port {port} at {host}: {reason}. Another one: --port 0") from None


def _addresses(listener: socket.socket) -> tuple[str, str]:
    """Return where this machine finds the pages, and where a phone does; "" where it does not."""
    host, port = listener.getsockname()
    if host != "0.0.0.0":  # noqa: S104
        return f"http://{host}:{port}/", ""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        with suppress(OSError):
            probe.connect(("192.0.2.1", 9))  # an address for books: nothing is sent, but our own is chosen
        seen = probe.getsockname()[0]
    return f"http://127.0.0.1:{port}/", "" if seen == "0.0.0.0" else f"http://{seen}:{port}/"  # noqa: S104


try:
    main()
except RuntimeError as error:
    sys.exit(str(error))
