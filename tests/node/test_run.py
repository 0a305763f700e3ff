import faulthandler
import resource
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from pushgate import log
from pushgate.config import Config, NodeConfig, TenantConfig
from pushgate.errors import StartError
from pushgate.node import run as module
from pushgate.node.data_dir import DataDir
from pushgate.node.run import run


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A configuration to run with, and none of what is set up for a whole process."""
    monkeypatch.setattr(log, "set_up", lambda level, style, journal: None)
    monkeypatch.setattr(faulthandler, "enable", lambda: None)
    monkeypatch.setattr(resource, "setrlimit", lambda which, limits: None)
    return Config(node=NodeConfig(data_dir=str(tmp_path / "data")), tenants={"acme": TenantConfig()})


def supervisor(fault: Exception | None) -> type:
    class Fake:
        def __init__(self, *_: Any, **__: Any) -> None:
            pass

        def run(self) -> int:
            if fault is not None:
                raise fault
            return 0

    return Fake


def test_a_fault_of_the_supervisor_is_one_line(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Supervisor", supervisor(RuntimeError("unforeseen")))
    with capture_logs() as logs:
        assert run(lambda: config, zero_config=False) == 1
    assert [(line["event"], line["log_level"], line.get("exc_info")) for line in logs] == [
        ("starting", "info", None),
        ("the node failed", "error", True),
    ]


def test_what_keeps_a_node_from_running_is_told_by_the_command(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Supervisor", supervisor(StartError("the port is taken")))
    with capture_logs() as logs, pytest.raises(StartError, match="the port is taken"):
        run(lambda: config, zero_config=False)
    assert [line["event"] for line in logs] == ["starting"]


@pytest.mark.parametrize("fault", [None, RuntimeError()])
def test_the_data_directory_is_given_free(
    config: Config, monkeypatch: pytest.MonkeyPatch, fault: Exception | None
) -> None:
    monkeypatch.setattr(module, "Supervisor", supervisor(fault))
    run(lambda: config, zero_config=False)
    DataDir.open(Path(config.node.data_dir)).close()
