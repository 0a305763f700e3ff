"""A real ZooKeeper server for tests, alone or one of several: started, killed, stopped and let go on by its pid."""

import os
import shutil
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

import pytest

from tests.fakes.nats import free_ports, freeze

JAR = Path("/usr/share/java/zookeeper.jar")
"""Where Debian's package has it; it names the libraries that it needs."""
QUICK = "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-Xmx256m"
"""What lets a Java program start in less than half a second."""
CONFIG = """tickTime=2000
initLimit=10
syncLimit=5
dataDir=data
clientPortAddress=127.0.0.1
admin.enableServer=false
maxClientCnxns=0
4lw.commands.whitelist=srvr
"""


def java_program() -> str:
    """Return the path of java; where it or ZooKeeper is not CI fails, and a user's machine skips the test."""
    found = shutil.which("java")
    if found is None or not JAR.exists():
        reason = "there is no ZooKeeper (Debian: libzookeeper-java, default-jre-headless)"
        if os.environ.get("CI"):
            raise AssertionError(reason)
        pytest.skip(reason)
    return found


class RealZooKeeper:
    """A server in a directory of its own; it comes back on the same port, with what it had on the disk."""

    def __init__(self, path: Path, number: int = 1, peers: str = "", port: int = 0) -> None:
        """`peers` are the lines `server.N` of an ensemble, in which it has this number; then `start` is on the test."""
        self._program = java_program()
        self._path = path
        (path / "data").mkdir(parents=True, exist_ok=True)
        (path / "data" / "myid").write_text(str(number))
        self.port = port or free_ports(1)[0]
        (path / "zoo.cfg").write_text(f"{CONFIG}clientPort={self.port}\n{peers}\n")
        self._part = 0
        self._main = "quorum.QuorumPeerMain" if peers else "ZooKeeperServerMain"
        if not peers:
            self.start()

    @property
    def url(self) -> str:
        return f"zookeeper://127.0.0.1:{self.port}{self.chroot}"

    @property
    def chroot(self) -> str:
        return f"/{self._part}"

    @property
    def pid(self) -> int:
        return self._process.pid

    def renew(self) -> None:
        """Be as good as new for another test: alive, and under a node that nobody has used."""
        self._part += 1
        if self._process.poll() is None:
            self.thaw()
        else:
            self.start()

    def launch(self) -> None:
        """Start it, and do not wait."""
        main = f"org.apache.zookeeper.server.{self._main}"
        command = [self._program, *QUICK, "-cp", f"{self._path}:{JAR}", main, "zoo.cfg"]
        with (self._path / "log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd=self._path, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def wait(self) -> None:
        """Wait until it serves clients."""
        deadline = time.monotonic() + 20
        while b"Zxid" not in self.say("srvr"):
            alive = self._process.poll() is None and time.monotonic() < deadline
            assert alive, (self._path / "log").read_text()
            time.sleep(0.01)

    def start(self) -> None:
        """Start it and wait until it serves clients."""
        self.launch()
        self.wait()

    def say(self, word: str) -> bytes:
        """Return the answer to a word of four letters, or nothing when the server does not answer."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 0.2) as connection:
                connection.sendall(word.encode())
                said = b""
                while more := connection.recv(65536):
                    said += more
                return said
        except OSError:
            return b""

    def expire(self, session: tuple[int, bytes]) -> None:
        """End somebody's session, as if nothing had been heard of it for long."""
        number, password = session
        with socket.create_connection(("127.0.0.1", self.port), 2) as connection:
            greeting = struct.pack("!iqiq", 0, 0, 6000, number) + struct.pack("!i", len(password)) + password + b"\0"
            for message in (greeting, struct.pack("!ii", 1, -11)):
                connection.sendall(struct.pack("!i", len(message)) + message)
            while connection.recv(65536):
                pass

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
