"""Serves all stories, with a gateway of their own, or with the one that PUSHGATE_API, _KEY and _CLIENTS name."""

import argparse
import os
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import uvicorn

from examples.stories.app import build_app
from examples.stories.business import Business
from examples.stories.gateway import start_gateway


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="stories", description="Five stories of pushgate, on one page.")
    parser.add_argument("--host", default="127.0.0.1", help="where the pages are (0.0.0.0: your phone reaches them)")
    parser.add_argument("--port", type=int, default=8010)
    parser.add_argument("--pace", type=float, default=1.0, help="how slowly background work is shown; 0.1 is quick")
    options = parser.parse_args()
    # What was started is to be stopped again, also when this is ended by SIGTERM.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pushgate-stories-")))
        if "PUSHGATE_API" in os.environ:
            names = ("PUSHGATE_API", "PUSHGATE_KEY", "PUSHGATE_CLIENTS")
            api, key, clients = (os.environ[name] for name in names)
        else:
            api, key, clients = stack.enter_context(start_gateway(directory / "gateway", options.host))
        app = build_app(Business(api, key, clients, pace=options.pace), directory)
        shown = "127.0.0.1" if options.host == "0.0.0.0" else options.host  # noqa: S104
        print(f"The stories are at http://{shown}:{options.port}/", flush=True)
        uvicorn.run(app, host=options.host, port=options.port, log_level="warning")


try:
    main()
except RuntimeError as error:
    sys.exit(str(error))
