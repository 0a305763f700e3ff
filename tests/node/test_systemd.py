import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from pushgate.node import systemd
from pushgate.node.systemd import REPORT, Systemd


class Manager:
    """The service manager's end."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.settimeout(5)

    def hear(self) -> list[str]:
        return self.socket.recv(4096).decode().split("\n")


@pytest.fixture(params=["a path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    made = Manager(str(tmp_path / "notify") if request.param == "a path" else f"@pushgate-test-{os.getpid()}")
    yield made
    made.socket.close()


def test_the_life_of_a_node(manager: Manager) -> None:
    told = Systemd({"NOTIFY_SOCKET": manager.address})
    assert told.present
    told.reloading()  # too early: READY would follow it
    told.reloaded()
    told.ready()
    assert manager.hear() == ["READY=1"]
    told.reloading()
    word, stamp = manager.hear()
    assert word == "RELOADING=1"
    name, _, value = stamp.partition("=")
    assert name == "MONOTONIC_USEC"
    assert 0 <= time.monotonic_ns() // 1000 - int(value) < 5_000_000
    told.reloaded()
    assert manager.hear() == ["READY=1"]
    told.stopping()
    assert manager.hear() == ["STOPPING=1"]


def test_a_node_that_starts_and_is_well_asks_for_time(manager: Manager) -> None:
    told = Systemd({"NOTIFY_SOCKET": manager.address})
    told.report(True, "no quorum")
    told.report(False, "stuck")
    told.report(True, "stuck")
    assert manager.hear() == ["EXTEND_TIMEOUT_USEC=60000000", "STATUS=no quorum"]
    assert manager.hear() == ["STATUS=stuck"]
    assert manager.hear() == ["EXTEND_TIMEOUT_USEC=60000000"]


def test_a_status_is_said_when_it_is_news(manager: Manager) -> None:
    told = Systemd({"NOTIFY_SOCKET": manager.address})
    assert told.interval == REPORT
    told.ready()
    assert manager.hear() == ["READY=1"]
    told.report(True, "5 connections")
    told.report(True, "5 connections")
    told.report(False, "6 connections")
    assert manager.hear() == ["STATUS=5 connections"]
    assert manager.hear() == ["STATUS=6 connections"]


def test_the_watchdog_is_fed_only_while_all_is_well(manager: Manager) -> None:
    told = Systemd({"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())})
    assert told.interval == 0.75
    told.ready()
    assert manager.hear() == ["READY=1"]
    told.report(True, "well")
    told.report(False, "stuck")
    told.report(True, "stuck")
    assert manager.hear() == ["WATCHDOG=1", "STATUS=well"]
    assert manager.hear() == ["STATUS=stuck"]
    assert manager.hear() == ["WATCHDOG=1"]


@pytest.mark.parametrize("environ", [{"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "x"}])
def test_a_watchdog_of_somebody_else(manager: Manager, environ: dict[str, str]) -> None:
    told = Systemd({"NOTIFY_SOCKET": manager.address, **environ})
    assert told.interval == REPORT
    told.ready()
    assert manager.hear() == ["READY=1"]
    told.report(True, "well")
    assert manager.hear() == ["STATUS=well"]


def test_the_environment_is_cleared_of_it(manager: Manager) -> None:
    environ = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1", "HOME": "/"}
    Systemd(environ)
    assert environ == {"HOME": "/"}


def test_without_systemd_nothing_is_said() -> None:
    with capture_logs() as logs:
        told = Systemd({})
        told.ready()
        told.report(True, "well")
    assert not told.present
    assert logs == []


def test_a_manager_that_is_gone_or_deaf_does_not_hold_the_node(
    manager: Manager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemd, "PATIENCE", 0.05)
    with capture_logs() as logs:
        Systemd({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).ready()
        Systemd({"NOTIFY_SOCKET": "vsock:2:1"}).ready()
        deaf = Systemd({"NOTIFY_SOCKET": manager.address})
        while not any("timed out" in str(line.get("reason")) for line in logs):
            deaf.stopping()
    assert "No such file" in logs[0]["reason"]
    assert logs[1]["event"] == "NOTIFY_SOCKET is not a socket that can be used"
