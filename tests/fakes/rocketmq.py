"""Real name servers and brokers of RocketMQ for tests and for trying out: started, killed, stopped by their pid.

They listen on loopback alone. What they consist of is fetched once from Maven Central into `.rocketmq/`.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

import pytest
from msgspec import json

from pushgate.rocketmq.frames import Command, FrameReader, encode
from tests.fakes.nats import free_ports, freeze
from tests.rig.network import outside

HERE = Path(__file__).parent
JARS = HERE.parents[1] / ".rocketmq"
TOOLS = {"java": "default-jre-headless", "javac": "default-jdk-headless", "mvn": "maven"}
FRUGAL = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xms64m", "-Xmx256m", "-XX:MaxDirectMemorySize=256m")
PLAIN = ("-Dtls.server.mode=disabled",)
"""Without it a broker makes an RSA key at its start, which takes most of it."""
ROUTE, MAX_OFFSET = 105, 30
EVERYWHERE = {"topic": "SELF_TEST_TOPIC", "acceptStandardJsonOnly": "true"}
"""A topic that each broker has."""
BASE = {"autoCreateSubscriptionGroup": "true", "autoCreateTopicEnable": "false", "flushDiskType": "ASYNC_FLUSH"}
SMALL = {"mappedFileSizeCommitLog": "67108864", "mappedFileSizeConsumeQueue": "600000"}
MANY_A_PULL = {"maxTransferCountOnMessageInMemory": "1024", "maxTransferBytesOnMessageInMemory": "1048576"}


@cache
def jars() -> str:
    """Return the class path; fetched when it is not there. CI fails without the tools, a user's machine skips."""
    missing = [f"{tool} (Debian: {package})" for tool, package in TOOLS.items() if shutil.which(tool) is None]
    if missing:
        reason = f"there is no {', '.join(missing)}"
        if os.environ.get("CI"):
            raise AssertionError(reason)
        pytest.skip(reason)
    if not JARS.exists():
        _fetch(JARS)
    return f"{JARS}/own:{JARS}/*"


def _fetch(target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".rocketmq-") as directory:
        made = Path(directory) / "made"
        command = [*outside(), "mvn", "-q", "-B", "-f", str(HERE / "rocketmq-pom.xml"), "dependency:copy-dependencies"]
        _run([*command, "-DincludeScope=runtime", f"-DoutputDirectory={made}"], cwd=directory)
        own = made / "own" / "META-INF" / "service"
        own.mkdir(parents=True)
        (own / "org.apache.rocketmq.store.ha.HAService").write_text("LoopbackHAService")
        _run(["javac", "-cp", f"{made}/*", "-d", str(made / "own"), str(HERE / "LoopbackHAService.java")])
        try:
            made.rename(target)
        except OSError:
            assert target.exists(), "somebody else has fetched it meanwhile"


def _run(command: Sequence[str], cwd: str | None = None) -> None:
    done = subprocess.run(command, check=False, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def say(port: int, code: int, fields: Mapping[str, str] = {}) -> Command | None:
    """Return the answer of a server to one request; None when it gives none."""
    reader = FrameReader()
    try:
        with socket.create_connection(("127.0.0.1", port), 2) as connection:
            connection.sendall(encode(Command(code, 1, fields=dict(fields))))
            while data := connection.recv(65536):
                for answer in reader.feed(data):
                    return answer
    except OSError:
        pass
    return None


class JavaServer:
    """A Java program with a configuration file in a directory of its own; it comes back with what it stored."""

    def __init__(self, path: Path, program: str, settings: Mapping[str, str], options: Sequence[str]) -> None:
        self.port = int(settings["listenPort"])
        self._path = path
        path.mkdir(parents=True, exist_ok=True)
        (path / "conf").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        # It unpacks 13 MB of libraries at each start, and takes none away when it is killed.
        self._unpacked = path / "unpacked"
        places = (f"-Duser.home={path}", f"-Djava.io.tmpdir={self._unpacked}")
        self._command = ["java", *FRUGAL, *options, *places, "-cp", jars(), program, "-c", "conf"]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def begin(self) -> None:
        """Start it, and wait for nothing."""
        shutil.rmtree(self._unpacked, ignore_errors=True)
        self._unpacked.mkdir()
        environment = os.environ | {"ROCKETMQ_HOME": str(self._path)}
        with (self._path / "out").open("wb") as out:
            self._process = subprocess.Popen(
                self._command, cwd=self._path, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )

    def wait_for(self, ready: Callable[[], bool]) -> None:
        """Wait until something is as it should be, as long as it lives."""
        deadline = time.monotonic() + 120
        while not ready():
            assert self.alive, (self._path / "out").read_text()[-4000:]
            assert time.monotonic() < deadline, (self._path / "out").read_text()[-4000:]
            time.sleep(0.02)

    def kill(self) -> None:
        """Kill it with kill -9 and wait until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._unpacked, ignore_errors=True)

    def freeze(self) -> None:
        freeze(self.pid)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)


class NameServer(JavaServer):
    """A name server."""

    def __init__(self, path: Path, options: Sequence[str] = PLAIN) -> None:
        settings = {"listenPort": str(free_ports(1)[0]), "bindAddress": "127.0.0.1"}
        super().__init__(path, "org.apache.rocketmq.namesrv.NamesrvStartup", settings, options)

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.begin()
        self.wait_for(lambda: say(self.port, ROUTE, EVERYWHERE) is not None)

    def knows(self, broker: str) -> bool:
        """Whether a broker has told it that it is there."""
        answer = say(self.port, ROUTE, EVERYWHERE)
        brokers = json.decode(answer.body)["brokerDatas"] if answer is not None and answer.code == 0 else []
        return any(each["brokerName"] == broker for each in brokers)


class Broker(JavaServer):
    """A broker; `settings` go over those that it has anyway."""

    def __init__(
        self, path: Path, name: str, name_servers: Sequence[NameServer], options: Sequence[str] = PLAIN, **settings: str
    ) -> None:
        self.name = name
        self._name_servers = name_servers
        place = {"listenPort": str(_port_of_broker()), "bindAddress": "127.0.0.1", "brokerIP1": "127.0.0.1"}
        known = ";".join(f"127.0.0.1:{server.port}" for server in name_servers)
        own = {"brokerClusterName": "tests", "brokerName": name, "brokerId": "0", "namesrvAddr": known}
        store = {"storePathRootDir": f"{path}/store", "storePathCommitLog": f"{path}/store/commitlog"}
        everything = BASE | SMALL | MANY_A_PULL | place | own | store | settings
        super().__init__(path, "org.apache.rocketmq.broker.BrokerStartup", everything, options)

    def start(self) -> None:
        """Start it and wait until it answers, and a name server knows it."""
        self.begin()
        self.wait_for(self.is_ready)

    def is_ready(self) -> bool:
        """Whether it answers, and a name server that lives knows it."""
        if not _listens(self.port):
            return False
        return any(server.knows(self.name) for server in self._name_servers if server.alive)

    def wipe(self) -> None:
        """Kill it, and remove what it has stored."""
        self.kill()
        shutil.rmtree(self._path / "store")


class RealRocketMq:
    """One name server and one broker. What is killed and frozen is the broker."""

    def __init__(self, path: Path) -> None:
        self.name_server = NameServer(path / "name-server")
        self.broker = Broker(path / "broker", "tests", [self.name_server])
        self._frozen = False
        self.name_server.begin()
        self.start()

    @property
    def url(self) -> str:
        return f"rocketmq://127.0.0.1:{self.name_server.port}"

    def start(self) -> None:
        self.broker.start()

    def kill(self) -> None:
        self.broker.kill()

    def freeze(self) -> None:
        self.broker.freeze()
        self._frozen = True

    def thaw(self) -> None:
        self.broker.thaw()
        self._frozen = False

    def restore(self) -> None:
        """Have it run again, whatever the test before did to it."""
        if not self.broker.alive:
            self.start()
        elif self._frozen:
            self.thaw()
            self._settle()
        self._frozen = False

    def _settle(self) -> None:
        """Wait until it has stored what was on its way when it was frozen: its end stands still."""
        looks: list[str] = []
        while len(looks) < 5 or len(set(looks[-5:])) > 1:
            answer = say(self.broker.port, MAX_OFFSET, {"topic": "pushgate", "queueId": "0"})
            looks.append(str(answer and answer.fields))
            time.sleep(0.05)

    def close(self) -> None:
        self.broker.kill()
        self.name_server.kill()


def _port_of_broker() -> int:
    """Return a free port whose second neighbour below, where a broker listens for those in a hurry, is free too."""
    while True:
        port = free_ports(1)[0]
        try:
            with socket.create_server(("127.0.0.1", port - 2)):
                return port
        except OSError:
            continue


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 2):
            return True
    except OSError:
        return False
