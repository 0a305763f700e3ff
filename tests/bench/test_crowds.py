"""The benches of crowds against a stand-in: what it loses and refuses has to show in the figures."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pushgate.bench import machine, scale
from pushgate.bench.options import BenchError, Calls
from pushgate.bench.scale import bench_scale
from pushgate.bench.storm import bench_storm
from tests.bench.conftest import StandIn

Start = Callable[..., StandIn]
Figures = dict[str, Any]


def test_a_storm_is_over_when_all_are_back(stand_in: Start) -> None:
    result = bench_storm(stand_in().common(processes=2), 60)
    figures: Figures = result.figures
    assert result.ok
    assert figures["opened"] == figures["back"] == 60
    assert figures["seconds"] > 0
    assert figures["handshake_ms"]["max"] >= 10, "the stand-in takes so long"
    assert figures["refused"] == figures["lost"] == {}


def test_those_that_a_storm_finds_refused_come_again(stand_in: Start) -> None:
    result = bench_storm(stand_in(limit=70).common(), 60)
    figures: Figures = result.figures
    assert result.ok
    assert figures["back"] == 60
    assert figures["refused"] == {"HTTP 429": 1}


def test_one_crowd_does_everything(stand_in: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    server = stand_in()
    common = server.common(per_user=3, processes=2)
    asked = []

    def upgrade(data_dir: Path) -> int:
        asked.append(data_dir)
        return server.pid

    monkeypatch.setattr(scale, "_upgrade", upgrade)
    result = bench_scale(common, 60, Calls(4, 0.3, 100), spread=0.1, hold=0.2, upgrade=Path("data"))
    figures: Figures = result.figures
    assert result.ok, figures
    assert figures["connect"]["opened"] == 60
    assert [each["messages"] for each in figures["everyone"]] == [60, 60, 60]
    assert figures["spread"]["messages"] == figures["everyone_after"]["messages"] == 60
    assert figures["push"]["accepted"] > 20
    assert figures["push"]["missing"] == figures["push"]["surplus"] == figures["missing"] == 0
    assert 0.2 <= figures["heartbeats"]["seconds"] < 2
    assert asked == [Path("data")]
    memory = figures["memory"]
    assert figures["server"]["pss_after"] == memory["server"] > 1_000_000 < memory["generator"]
    assert memory["server_half"] == memory["server"] + memory["kernel"] // 2


def test_what_is_left_out_is_not_in_the_figures(stand_in: Start) -> None:
    result = bench_scale(stand_in().common(), 10, Calls(1, 0, 100), spread=0, hold=0, upgrade=None)
    assert result.ok
    assert not {"spread", "push", "heartbeats", "upgrade"} & result.figures.keys()


def test_losses_of_any_phase_are_told(stand_in: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pushgate.bench.broadcast._QUIET", 0.3)
    result = bench_scale(stand_in(lose=25).common(), 50, Calls(1, 0, 100), spread=0, hold=0, upgrade=None)
    assert not result.ok
    assert result.figures["missing"] == 6


def test_a_node_that_is_not_upgraded_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    said = subprocess.CompletedProcess([], 1, stdout="", stderr="no node runs there")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: said)
    with pytest.raises(BenchError, match="not upgraded: no node runs there"):
        scale._upgrade(Path("data"))


def test_what_the_machine_uses(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "meminfo").write_text("MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 400 kB\n")
    (tmp_path / "net/sockstat").write_text("sockets: used 9\nTCP: inuse 7 orphan 0 tw 1 alloc 8 mem 3\nUDP: inuse 0\n")
    assert machine.used_memory(tmp_path) == 600 * 1024
    assert machine.sockets(tmp_path) == {"tcp_in_use": 7, "orphaned": 0, "time_wait": 1, "buffer_bytes": 3 * 4096}
    assert machine.used_memory() > 0
    assert machine.sockets()["tcp_in_use"] >= 0
