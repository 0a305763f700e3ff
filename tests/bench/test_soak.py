"""`bench soak` against a stand-in: those that read lose nothing, and whatever they lose has to show."""

from collections.abc import Callable
from typing import Any

import pytest

from pushgate.bench.options import Calls, Unrest
from pushgate.bench.soak import PARTS, bench_soak
from tests.bench.conftest import StandIn

Start = Callable[..., StandIn]
Figures = dict[str, Any]


def test_a_crowd_comes_and_goes_and_stalls(stand_in: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pushgate.bench.unruly.STALL", 1.0)
    monkeypatch.setattr("pushgate.bench.soak._FILL_EVERY", 0.01)
    common = stand_in(ping=1).common(per_user=2, processes=2)
    result = bench_soak(common, 10, Calls(4, 4.0, 100, rate=100), Unrest(8, 20.0, 2), idle=3)
    figures: Figures = result.figures
    assert result.ok, figures
    assert figures["opened"] == figures["connections"] == 33
    assert figures["accepted"] == pytest.approx(400, abs=1)
    assert figures["expected"] == figures["accepted"] * 2
    assert figures["missing"] == figures["surplus"] == 0
    assert figures["lost"] == figures["refused"] == figures["errors"] == {}
    assert 16 <= figures["churn"]["left"] <= 90, "20 a second, where there is time for it"
    assert figures["churn"]["handshake_ms"]["p50"] > 0
    assert figures["pings"] >= 33 + figures["churn"]["left"] / 4
    assert figures["stalling"]["stalls"] >= 4
    assert figures["stalling"]["closed"].keys() == {"close 4001"}
    parts = figures["parts"]
    assert len(parts) == PARTS
    assert sum(part["messages"] for part in parts) >= figures["expected"] * 0.9
    assert 4.0 <= parts[-1]["seconds"] < 10
    assert 0 < figures["end_to_end_ms"]["p50"] < 1000, "what is read late does not count"
    growth = figures["growth"]
    assert growth["pss_last"] > 1_000_000
    assert growth["files_first"] >= 33
    assert {plot.title for plot in result.plots} >= {"To the clients: p99", "Memory of the server"}


def test_one_that_reads_and_is_closed_is_a_fault(stand_in: Start) -> None:
    result = bench_soak(stand_in(kick=50).common(per_user=2), 10, Calls(4, 1.0, 100, rate=100), Unrest())
    figures: Figures = result.figures
    assert not result.ok
    assert figures["lost"].keys() == {"close 4503"}
    assert figures["missing"] > 0
    assert figures["stalling"] == {"connections": 0, "stalls": 0, "closed": {}}


def test_a_message_that_is_missing_is_a_fault(stand_in: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pushgate.bench.worker._QUIET_NS", 300_000_000)
    result = bench_soak(stand_in(lose=50).common(per_user=2), 10, Calls(4, 1.0, 100, rate=100), Unrest())
    figures: Figures = result.figures
    assert not result.ok
    assert figures["lost"] == {}
    assert figures["missing"] == 4


def test_one_that_comes_back_and_is_refused_is_a_fault(stand_in: Start) -> None:
    result = bench_soak(stand_in(limit=30).common(per_user=2), 10, Calls(4, 1.0, 100, rate=50), Unrest(5, 20.0))
    figures: Figures = result.figures
    assert not result.ok
    assert figures["failed"] == {}
    assert figures["refused"].keys() == {"HTTP 429"}
    assert figures["missing"] == 0
