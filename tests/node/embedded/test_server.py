"""The embedded server with the real program: each test is about one of its lives, or two."""

import os
import re
import select
import signal
import socket
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from pushgate.errors import StartError
from pushgate.node.data_dir import DataDir
from pushgate.node.embedded.probe import Health, answers, boot_id, examine
from pushgate.node.embedded.server import NatsServer
from pushgate.node.embedded.state import Sync
from tests.fakes.nats import freeze, nats_program


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / 'a "quoted" $HOME {name}' / "data"


@pytest.fixture
def data_dir(path: Path) -> Iterator[DataDir]:
    with closing(DataDir.open(path)) as data_dir:
        yield data_dir


@pytest.fixture
def server(data_dir: DataDir) -> Iterator[NatsServer]:
    server = NatsServer(data_dir, nats_program())
    yield server
    server.stop(5)


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def ended(pidfd: int, seconds: float = 0) -> bool:
    return bool(select.select([pidfd], [], [], seconds)[0])


def wait_until(condition: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class TestLife:
    def test_it_starts_answers_and_stops(self, server: NatsServer) -> None:
        assert server.pidfd == -1
        server.start()
        server.ready(10)
        assert re.fullmatch(r"nats://pushgate:[\w-]{43}@127\.0\.0\.1:\d+", server.url)
        assert (server.adopted, server.moved) == (False, False)
        pid, pidfd = server.pid, server.pidfd
        assert not ended(pidfd)
        server.stop(5)
        assert server.pidfd == -1
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        server.stop(5)

    def test_its_death_shows_at_the_pidfd_and_it_comes_back_as_it_was(self, server: NatsServer) -> None:
        server.start()
        server.ready(10)
        url, pid = server.url, server.pid
        os.kill(pid, signal.SIGKILL)
        assert ended(server.pidfd, 5)
        assert server.url == url
        server.start()
        server.ready(10)
        assert (server.url, server.moved, server.adopted) == (url, False, False)
        assert server.pid != pid

    def test_it_is_the_same_after_a_restart_of_the_node(self, server: NatsServer, data_dir: DataDir) -> None:
        server.start()
        server.ready(10)
        url = server.url
        server.stop(5)
        again = NatsServer(data_dir, nats_program())
        again.start()
        again.ready(10)
        assert again.url == url
        again.stop(5)

    def test_a_taken_port_is_left_for_another_and_told(self, server: NatsServer) -> None:
        server.start()
        server.ready(10)
        url = server.url
        server.stop(5)
        with socket.create_server(("127.0.0.1", port_of(url))):
            server.start()
            server.ready(10)
            assert server.moved
            assert server.url.rpartition(":")[0] == url.rpartition(":")[0]
            assert server.url != url
        server.stop(5)
        url = server.url
        server.start()
        server.ready(10)
        assert (server.url, server.moved) == (url, False)

    def test_one_that_does_not_end_by_itself_is_killed(self, server: NatsServer) -> None:
        server.start()
        server.ready(10)
        pidfd = os.dup(server.pidfd)
        freeze(server.pid)
        server.stop(0.1)
        assert ended(pidfd)
        os.close(pidfd)

    def test_start_of_one_that_runs_keeps_it(self, server: NatsServer) -> None:
        server.start()
        server.ready(10)
        pid = server.pid
        server.start()
        assert server.is_ready()
        assert (server.pid, server.adopted) == (pid, True)

    def test_one_that_ends_at_once_is_told_with_its_last_words(self, data_dir: DataDir, tmp_path: Path) -> None:
        program = tmp_path / "nats-server"
        program.write_text("#!/bin/sh\necho no good >&2\nexit 3\n")
        program.chmod(0o700)
        server = NatsServer(data_dir, str(program))
        server.start()
        with pytest.raises(StartError, match="no good"):
            server.ready(10)
        server.stop(0)

    def test_one_that_is_never_ready_is_told(self, server: NatsServer) -> None:
        server.start()
        server.ready(10)
        freeze(server.pid)
        with pytest.raises(StartError, match="not ready after"):
            server.ready(0.1)
        os.kill(server.pid, signal.SIGCONT)

    def test_a_program_that_cannot_be_run_is_a_start_error(self, data_dir: DataDir, tmp_path: Path) -> None:
        server = NatsServer(data_dir, str(tmp_path / "nothing"))
        with pytest.raises(StartError, match=r"cannot be started: .*nothing"):
            server.start()
        assert server.pidfd == -1
        with pytest.raises(StartError, match="ended"):
            server.is_ready()
        again = NatsServer(data_dir, nats_program())
        again.start()
        again.stop(0)


class TestSafety:
    def test_only_the_credential_opens_it(self, server: NatsServer) -> None:
        server.start()
        server.ready(10)
        user, password = server.url.removeprefix("nats://").partition("@")[0].split(":")
        assert answers(port_of(server.url), user, password)
        assert not answers(port_of(server.url), user, password + "x")
        assert not answers(port_of(server.url), "", "")

    def test_only_its_doctor_hears_how_it_is(self, server: NatsServer) -> None:
        server.start()
        server.ready(10)
        health = server.examine()
        assert health == Health(max_stored=health.max_stored)
        assert health.max_stored > 1_000_000
        ((user, password),) = re.findall("//(.*):(.*)@", server.url)
        assert examine(port_of(server.url), user, password) == Health(), "our own user is told nothing"

    def test_it_listens_on_one_port_of_loopback_alone(self, server: NatsServer) -> None:
        server.start()
        server.ready(10)
        inodes = set()
        for name in os.listdir(f"/proc/{server.pid}/fd"):
            with suppress(OSError):
                inodes.add(os.readlink(f"/proc/{server.pid}/fd/{name}"))
        listening = [
            fields[1]
            for table in ("tcp", "tcp6", "udp", "udp6")
            for fields in map(str.split, Path(f"/proc/net/{table}").read_text().splitlines()[1:])
            if f"socket:[{fields[9]}]" in inodes and fields[3] in ("0A", "07")
        ]
        assert listening == [f"0100007F:{port_of(server.url):04X}"]

    def test_it_inherits_the_lock_and_nothing_else(self, server: NatsServer, data_dir: DataDir, path: Path) -> None:
        with (path / "stray").open("wb") as stray:
            os.set_inheritable(stray.fileno(), True)
            server.start()
            server.ready(10)
        targets = {os.readlink(f"/proc/{server.pid}/fd/{name}") for name in os.listdir(f"/proc/{server.pid}/fd")}
        assert str(path / "nats" / "nats.lock") in targets
        assert str(path / "node.lock") not in targets
        assert str(path / "stray") not in targets
        assert os.readlink(f"/proc/{server.pid}/fd/0") == "/dev/null"
        assert os.getsid(server.pid) == os.getpgid(server.pid) == server.pid

    def test_its_files_are_for_the_owner_alone(self, server: NatsServer, path: Path) -> None:
        before = os.umask(0)
        try:
            server.start()
        finally:
            os.umask(before)
        server.ready(10)
        nats = path / "nats"
        assert stat.S_IMODE(nats.stat().st_mode) == 0o700
        for name in ("nats.lock", "nats.json", "nats.conf", "nats.log", "password"):
            assert stat.S_IMODE((nats / name).stat().st_mode) == 0o600, name
        assert (nats / "jetstream").is_dir()
        assert server.url.split(":")[2].partition("@")[0] not in (nats / "nats.log").read_text()

    @pytest.mark.parametrize(("sync", "written"), [("always", "always"), ("interval", "2m")])
    def test_what_jetstream_acknowledges_is_on_the_disk_as_the_setting_says(
        self, data_dir: DataDir, path: Path, sync: Sync, written: str
    ) -> None:
        server = NatsServer(data_dir, nats_program(), sync)
        server.start()
        server.ready(10)
        assert f'"sync_interval": "{written}"' in (path / "nats" / "nats.conf").read_text()
        server.stop(5)


class TestLineage:
    """Each life is a supervisor's: an object of its own on the same directory."""

    def live(self, data_dir: DataDir, boot: str, end: str) -> str:
        server = NatsServer(data_dir, nats_program(), boot=lambda: boot)
        server.start()
        server.ready(10)
        lineage = server.lineage
        if end == "killed":
            os.kill(server.pid, signal.SIGKILL)
            assert ended(server.pidfd, 5)
        elif end == "frozen":
            freeze(server.pid)
        server.stop(0.1 if end == "frozen" else 5)
        return lineage

    def test_it_stays_while_the_machine_runs_and_over_a_boot_after_a_stop_in_peace(self, data_dir: DataDir) -> None:
        lives = [("one", "stopped"), ("one", "killed"), ("one", "frozen"), ("one", "stopped"), ("two", "stopped")]
        lineages = {self.live(data_dir, boot, end) for boot, end in lives}
        assert len(lineages) == 1
        assert re.fullmatch("[0-9a-f]{8}", lineages.pop())

    @pytest.mark.parametrize("end", ["killed", "frozen"])
    def test_it_changes_when_the_machine_booted_and_the_server_had_not_ended_in_peace(
        self, data_dir: DataDir, end: str
    ) -> None:
        first, second, third = (self.live(data_dir, boot, end) for boot in ("one", "two", "two"))
        assert first != second
        assert second == third

    def test_it_changes_when_nothing_is_remembered(self, data_dir: DataDir, path: Path) -> None:
        first = self.live(data_dir, "one", "stopped")
        (path / "nats" / "nats.json").unlink()
        assert self.live(data_dir, "one", "stopped") != first

    def test_it_stays_for_one_supervisor_whatever_becomes_of_the_directory(
        self, server: NatsServer, path: Path
    ) -> None:
        server.start()
        server.ready(10)
        lineage = server.lineage
        os.kill(server.pid, signal.SIGKILL)
        assert ended(server.pidfd, 5)
        (path / "nats" / "nats.json").unlink()
        server.start()
        server.ready(10)
        assert server.lineage == lineage

    def test_the_machine_says_which_boot_it_is(self) -> None:
        assert re.fullmatch("[0-9a-f-]{36}", boot_id())
        assert boot_id() == boot_id()
