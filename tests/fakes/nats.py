"""A real nats-server for tests: started, killed, stopped and let go on by its pid."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from pushgate.errors import StartError
from pushgate.node.data_dir import DataDir
from pushgate.node.embedded.cluster import Member
from pushgate.node.embedded.probe import Health
from pushgate.node.embedded.program import find_nats_server
from pushgate.node.embedded.server import NatsServer


def nats_program() -> str:
    """Return the path of nats-server; where there is none CI fails, and a user's machine skips the test."""
    try:
        return find_nats_server("")
    except StartError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


def freeze(pid: int) -> None:
    """Stop a process as SIGSTOP does, and wait until the last of its threads stands still."""
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + 5
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        while stat.read_text().rpartition(")")[2].split()[0] != "T":
            assert time.monotonic() < deadline


class RealNats:
    """An embedded nats-server in a directory of its own; it comes back on the same port."""

    def __init__(self, path: Path, member: Member | None = None) -> None:
        """`member` is its part in a cluster; it is started then, and ready once there are enough of the others."""
        self.program = nats_program()
        self._data_dir = DataDir.open(path)
        self._server = NatsServer(self._data_dir, self.program, member=member)
        self.start()

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def pid(self) -> int:
        return self._server.pid

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def examine(self) -> Health:
        return self._server.examine()

    def start(self) -> None:
        self._server.start()
        self._server.ready(10)

    def kill(self) -> None:
        """Kill it with kill -9 and wait until it is gone."""
        os.kill(self.pid, signal.SIGKILL)
        self._server.stop(5)

    def wipe(self) -> None:
        """Kill it, and remove what it has stored."""
        self.kill()
        shutil.rmtree(self._data_dir.nats / "jetstream")

    def freeze(self) -> None:
        freeze(self.pid)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        self._server.stop(0)
        self._data_dir.close()


class PlainNats:
    """A nats-server with a configuration of the test's own, on a port of the system's choosing."""

    def __init__(self, path: Path, config: str) -> None:
        path.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(path / "ports", ignore_errors=True)
        (path / "ports").mkdir()
        (path / "nats.conf").write_text(f"host: 127.0.0.1\nport: -1\nports_file_dir: ports\n{config}\n")
        with (path / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [nats_program(), "-c", "nats.conf"], cwd=path, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._path = path
        self.port = self._announced_port()

    def _announced_port(self) -> int:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and self._process.poll() is None:
            for file in (self._path / "ports").iterdir():
                text = file.read_text()
                if text.endswith("}"):
                    return int(text.partition('"nats":["')[2].partition('"')[0].rpartition(":")[2])
            time.sleep(0.01)
        raise AssertionError((self._path / "log").read_text())

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports
