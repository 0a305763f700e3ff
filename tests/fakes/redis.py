"""A real redis-server for tests: started, killed, stopped and let go on by its pid."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from hiredis import pack_command

from tests.fakes.nats import free_ports, freeze

SAFE = ("--save", "", "--appendonly", "yes", "--appendfsync", "always")


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
    """A redis-server in a directory of its own; it comes back on the same port, with all that it had answered."""

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
        command = self._command()
        with (self._path / "log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd=self._path, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + 10
        while not self.say("PING"):
            alive = self._process.poll() is None and time.monotonic() < deadline
            assert alive, (self._path / "log").read_text()
            time.sleep(0.01)

    def _command(self) -> list[str]:
        return [self.program, "--port", str(self.port), "--bind", "127.0.0.1", *SAFE, *self._options]

    def say(self, *command: str) -> bytes:
        """Return the answer to a command as it comes, or nothing when the server does not answer."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 2) as connection:
                connection.sendall(pack_command(command))  # type: ignore[arg-type]  # its stub knows tuples of one
                return connection.recv(65536)
        except OSError:
            return b""

    def kill(self) -> None:
        """Kill it with kill -9 and wait until it is gone."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def wipe(self) -> None:
        """Kill it, and remove what it has stored."""
        self.kill()
        shutil.rmtree(self._path / "appendonlydir")

    def freeze(self) -> None:
        freeze(self.pid)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


class RealSentinel(RealRedis):
    """A Sentinel that watches a primary alone, under the name `it`, and has it replaced half a second after it died."""

    def __init__(self, path: Path, primary: RealRedis) -> None:
        path.mkdir()
        (path / "conf").write_text(
            f"sentinel monitor it 127.0.0.1 {primary.port} 1\n"
            "sentinel down-after-milliseconds it 500\nsentinel failover-timeout it 5000\n"
        )
        super().__init__(path)

    @property
    def url(self) -> str:
        return f"redis+sentinel://127.0.0.1:{self.port}/it"

    def _command(self) -> list[str]:
        return [self.program, "conf", "--sentinel", "--port", str(self.port), "--bind", "127.0.0.1"]


class RealCluster:
    """Two servers that are a cluster, with half of the slots each."""

    def __init__(self, path: Path) -> None:
        self.servers = [RealRedis(path / name, "--cluster-enabled", "yes") for name in ("a", "b")]
        for server, slots in zip(self.servers, (("0", "8191"), ("8192", "16383")), strict=True):
            server.say("CLUSTER", "ADDSLOTSRANGE", *slots)
        self.servers[0].say("CLUSTER", "MEET", "127.0.0.1", str(self.servers[1].port))
        deadline = time.monotonic() + 20
        while not all(b"cluster_state:ok" in server.say("CLUSTER", "INFO") for server in self.servers):
            assert time.monotonic() < deadline
            time.sleep(0.02)

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{server.port}" for server in self.servers)

    def move(self, key: str) -> None:
        """Move the slot of a key, with all that is in it, to the other server."""
        slot = self.servers[0].say("CLUSTER", "KEYSLOT", key)[1:].strip().decode()
        source, target = self.servers if int(slot) < 8192 else self.servers[::-1]
        ids = [server.say("CLUSTER", "MYID").split(b"\r\n")[1].decode() for server in (source, target)]
        target.say("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
        source.say("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
        while keys := source.say("CLUSTER", "GETKEYSINSLOT", slot, "100").decode().split("\r\n")[2::2]:
            for each in keys:
                said = source.say("MIGRATE", "127.0.0.1", str(target.port), each, "0", "5000")
                assert b"OK" in said or b"NOKEY" in said, said  # one may have expired
        for server in (target, source):
            assert b"OK" in server.say("CLUSTER", "SETSLOT", slot, "NODE", ids[1])

    def close(self) -> None:
        for server in self.servers:
            server.close()
