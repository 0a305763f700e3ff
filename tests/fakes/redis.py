"""A real redis-server for tests: started, killed, stopped and let go on by its pid."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.fakes.nats import free_ports, freeze


def redis_program() -> str:
    """Return the path of redis-server; where there is none CI fails, and a user's machine skips the test."""
    found = shutil.which("redis-server")
    if found is None:
        reason = "there is no redis-server (Debian: redis-server)"
        if os.environ.get("CI"):
            raise AssertionError(reason)
        pytest.skip(reason)
    return found


class RealRedis:
    """A redis-server in a directory of its own; it comes back on the same port, with what it had on the disk."""

    keeps = False  # what goes by Pub/Sub

    def __init__(self, path: Path, *options: str, port: int = 0) -> None:
        self.program = redis_program()
        self._path = path
        path.mkdir(parents=True, exist_ok=True)
        self._options = options
        self.port = port or free_ports(1)[0]
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [self.program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", *self._options]
        with (self._path / "log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd=self._path, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + 10
        while not self.say("PING"):
            alive = self._process.poll() is None and time.monotonic() < deadline
            assert alive, (self._path / "log").read_text()
            time.sleep(0.01)

    def say(self, *command: str) -> bytes:
        """Return the answer to a command as it comes, or nothing when the server does not answer."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 2) as connection:
                connection.sendall(" ".join(command).encode() + b"\r\n")
                return connection.recv(65536)
        except OSError:
            return b""

    def kill(self) -> None:
        """Kill it with kill -9 and wait until it is gone."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def freeze(self) -> None:
        freeze(self.pid)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
