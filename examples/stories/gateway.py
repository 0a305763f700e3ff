"""A gateway of our own, with data that goes when it is stopped."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

_AWAY = 3.0  # seconds between stop and start, for a visitor to see what a page does meanwhile


class OwnGateway:
    """A gateway that runs until `stop`. Raises RuntimeError when it cannot be started.

    `port` is where clients connect, `api` where its HTTP API is, `key` an API key.
    """

    def __init__(self, data_dir: Path, host: str) -> None:
        self.port = _find_port(host, 8000)
        management = _find_port("127.0.0.1", 8001)
        self.api = f"http://127.0.0.1:{management}"
        self._command = [sys.executable, "-m", "pushgate", "run", "--data-dir", str(data_dir), "--no-demo"]
        self._command += ["--host", host, "--port", str(self.port), "--management-port", str(management)]
        self._command += ["--log-level", "warning"]
        self._process = self._start()
        self.key: str = json.loads((data_dir / "keys.json").read_text())["api_key"]

    def restart(self) -> None:
        """Stop it, and start it again after a while. Raises RuntimeError when it cannot be started."""
        self.stop()
        time.sleep(_AWAY)
        self._process = self._start()

    def stop(self) -> None:
        """Stop it, and return when it has ended."""
        self._process.terminate()
        self._process.wait()

    def _start(self) -> "subprocess.Popen[bytes]":
        environ = {name: value for name, value in os.environ.items() if not name.startswith("PUSHGATE_")}
        # In a session of its own: Ctrl-C in the terminal is ours, and we stop it.
        process = subprocess.Popen(  # noqa: S603
            self._command, stdout=subprocess.DEVNULL, env=environ, start_new_session=True
        )
        while not self._is_ready():
            if process.poll() is not None:
                raise RuntimeError("the gateway did not start: what it said is above")
            time.sleep(0.1)
        return process

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.api}/readyz").is_success
        except httpx.TransportError:
            return False


def _find_port(host: str, usual: int) -> int:
    """Return the usual port, or another one where that is taken, perhaps by a `make run` in another terminal."""
    for port in (usual, 0):
        try:
            with socket.create_server((host, port)) as found:
                return int(found.getsockname()[1])
        except OSError as error:
            problem = error
    raise RuntimeError(f"no port to be had at {host}: {os.strerror(problem.errno or 0)}")
