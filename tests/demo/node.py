"""A gateway in processes of its own: `pushgate run` on free ports, with fresh keys."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

import pushgate

START_WITHIN = 20.0
STOP_WITHIN = 20.0


class RunningNode:
    """One node; it keeps its ports and keys when it is stopped and started again."""

    def __init__(self, directory: Path) -> None:
        self.clients_port = 0
        self.management_port = 0
        self._data_dir = directory / "data"
        self._log = directory / "stderr"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def api(self) -> str:
        """Where its HTTP API is."""
        return f"http://127.0.0.1:{self.management_port}"

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"ws://127.0.0.1:{self.clients_port}/ws"

    @property
    def key(self) -> str:
        """Its API key."""
        key: str = json.loads((self._data_dir / "keys.json").read_text())["api_key"]
        return key

    def start(self) -> None:
        """Start it, and return when it is ready."""
        command = [sys.executable, "-m", "pushgate", "run", "--data-dir", str(self._data_dir), "--log-style", "json"]
        command += ["--port", str(self.clients_port), "--management-port", str(self.management_port)]
        environ = {name: value for name, value in os.environ.items() if not name.startswith("PUSHGATE_")}
        environ["PYTHONPATH"] = str(Path(pushgate.__file__).parents[1])
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=self._log.parent, env=environ, stdout=subprocess.DEVNULL, stderr=log
            )
        until = time.monotonic() + START_WITHIN
        while not self._is_ready():
            assert self._process.poll() is None, f"the node ended: {self._log.read_text()}"
            assert time.monotonic() < until, f"the node is not ready: {self._log.read_text()}"
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop it as an operator does, by SIGTERM."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            assert process.wait(STOP_WITHIN) == 0, self._log.read_text()
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise

    def _is_ready(self) -> bool:
        for line in self._log_lines():
            if line["event"] == "ready":
                self.clients_port, self.management_port = line["clients"][1], line["management"][1]
                try:
                    return httpx.get(f"{self.api}/readyz", timeout=5.0).status_code == 200
                except httpx.TransportError:
                    return False
        return False

    def _log_lines(self) -> Iterator[dict[str, Any]]:
        for line in self._log.read_text().splitlines(keepends=True):
            if line.startswith("{") and line.endswith("\n"):
                yield json.loads(line)
