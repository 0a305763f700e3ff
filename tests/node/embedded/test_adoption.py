"""What becomes of the embedded server when its supervisor is killed: the next one adopts it, or says why not."""

import json
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from pushgate.errors import StartError
from pushgate.node.data_dir import DataDir
from pushgate.node.embedded import server as module
from pushgate.node.embedded.server import NatsServer
from tests.fakes.nats import freeze, nats_program

SUPERVISOR = """
import sys
from pathlib import Path
from pushgate.node.data_dir import DataDir
from pushgate.node.embedded.server import NatsServer
data_dir = DataDir.open(Path(sys.argv[1]))
server = NatsServer(data_dir, sys.argv[2])
server.start()
server.ready(10)
print(server.pid, server.url, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data"


def ended(pidfd: int, seconds: float = 0) -> bool:
    return bool(select.select([pidfd], [], [], seconds)[0])


class Helper:
    """A supervisor in a process of its own."""

    def __init__(self, path: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SUPERVISOR, str(path), nats_program()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert self.process.stdout is not None
        pid, self.url = self.process.stdout.readline().decode().split()
        self.server_pid = int(pid)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def helper(path: Path) -> Iterator[Helper]:
    helper = Helper(path)
    yield helper
    helper.kill()
    with suppress(ProcessLookupError):
        os.kill(helper.server_pid, signal.SIGKILL)


def test_a_server_outlives_a_killed_supervisor_and_is_adopted(helper: Helper, path: Path) -> None:
    helper.kill()
    with closing(DataDir.open(path)) as data_dir:
        server = NatsServer(data_dir, nats_program())
        server.start()
        assert server.adopted
        assert server.is_ready()
        assert (server.pid, server.url, server.moved) == (helper.server_pid, helper.url, False)
        os.kill(server.pid, signal.SIGKILL)
        assert ended(server.pidfd, 5)
        server.start()
        server.ready(10)
        assert (server.url, server.adopted) == (helper.url, False)
        server.stop(5)


def test_the_lineage_is_adopted_too(helper: Helper, path: Path) -> None:
    helper.kill()
    with closing(DataDir.open(path)) as data_dir:
        remembered = json.loads((path / "nats" / "nats.json").read_bytes())["lineage"]
        server = NatsServer(data_dir, nats_program(), boot=lambda: "another")
        server.start()
        assert server.adopted
        assert server.lineage == remembered
        server.stop(5)


def test_one_that_syncs_otherwise_than_it_should_starts_again(helper: Helper, path: Path) -> None:
    helper.kill()
    with closing(DataDir.open(path)) as data_dir:
        server = NatsServer(data_dir, nats_program(), "interval")
        server.start()
        server.ready(10)
        assert not server.adopted
        assert server.pid != helper.server_pid
        server.start()
        assert server.adopted
        server.stop(5)


def test_an_adopted_server_can_be_stopped(helper: Helper, path: Path) -> None:
    helper.kill()
    with closing(DataDir.open(path)) as data_dir:
        server = NatsServer(data_dir, nats_program())
        server.start()
        pidfd = os.dup(server.pidfd)
        server.stop(5)
        assert ended(pidfd)
        os.close(pidfd)


def test_a_second_supervisor_is_refused_while_the_first_lives(helper: Helper, path: Path) -> None:
    with pytest.raises(StartError, match=f"pid {helper.process.pid}"):
        DataDir.open(path)


def test_a_server_that_died_with_its_supervisor_is_started_anew(helper: Helper, path: Path) -> None:
    os.kill(helper.server_pid, signal.SIGKILL)
    helper.kill()
    with closing(DataDir.open(path)) as data_dir:
        server = NatsServer(data_dir, nats_program())
        server.start()
        server.ready(10)
        assert (server.adopted, server.url) == (False, helper.url)
        server.stop(5)


def test_one_that_is_just_ending_is_waited_for(helper: Helper, path: Path) -> None:
    helper.kill()
    (path / "nats" / "nats.json").unlink()
    with closing(DataDir.open(path)) as data_dir:
        server = NatsServer(data_dir, nats_program())
        ender = subprocess.Popen(["sh", "-c", f"sleep 0.3; kill {helper.server_pid}"])
        server.start()
        server.ready(10)
        assert not server.adopted
        server.stop(5)
        ender.wait()


@pytest.mark.parametrize("spoil", ["no state", "another process", "another credential", "hung"])
def test_one_that_cannot_be_shown_to_be_ours_is_refused_and_named(
    helper: Helper, path: Path, spoil: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ADOPT_PATIENCE", 0.3)
    state = path / "nats" / "nats.json"
    if spoil == "no state":
        state.unlink()
    elif spoil == "another process":
        state.write_text(re.sub(r'"start_time":\d+', '"start_time":1', state.read_text()))
    elif spoil == "another credential":
        (path / "nats" / "password").write_text("x" * 43)
    else:
        freeze(helper.server_pid)
    helper.kill()
    with closing(DataDir.open(path)) as data_dir:
        server = NatsServer(data_dir, nats_program())
        with pytest.raises(StartError, match=f"pid {helper.server_pid}$"):
            server.start()
        assert server.pidfd == -1
    os.kill(helper.server_pid, 0)
