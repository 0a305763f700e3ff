"""The three benches against a stand-in: what it loses, doubles, refuses and delays has to show in the figures."""

import socket
from collections.abc import Callable
from typing import Any

import pytest

from pushgate.bench import hostile
from pushgate.bench.broadcast import bench_broadcast
from pushgate.bench.connect import bench_connect
from pushgate.bench.hostile import bench_hostile
from pushgate.bench.options import Address, BenchError, Calls, Common, Target
from pushgate.bench.push import bench_push
from pushgate.bench.resume import bench_resume
from pushgate.errors import ConfigError
from tests.bench.conftest import StandIn

Start = Callable[..., StandIn]
Figures = dict[str, Any]


def test_connect_opens_and_holds(stand_in: Start) -> None:
    result = bench_connect(stand_in(ping=1).common(per_user=3, processes=2), 101, hold=0.6)
    figures: Figures = result.figures
    assert result.ok
    assert figures["opened"] == 101
    assert figures["lost"] == {}
    assert figures["generator"]["processes"] == 2
    assert 10 <= figures["handshake_ms"]["p50"] <= figures["handshake_ms"]["max"] < 5000
    assert figures["server"]["rss_before"] > 1_000_000
    assert figures["server"]["rss_after"] >= figures["server"]["pss_after"]


def test_connect_says_why_handshakes_failed(stand_in: Start) -> None:
    result = bench_connect(stand_in(refuse=5).common(), 50, hold=0)
    assert not result.ok
    assert result.figures["opened"] == 40
    assert result.figures["failed"] == {"close 4500": 10}


def test_connect_says_in_words_what_a_limit_is(stand_in: Start) -> None:
    result = bench_connect(stand_in(limit=5).common(), 50, hold=0)
    assert not result.ok
    assert result.figures["failed"] == {"HTTP 429": 10}
    (words,) = result.warnings
    assert words.startswith("10 handshakes were answered HTTP 429: ")
    assert "--sources" in words


def test_connections_come_from_as_many_addresses_as_wanted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        target = Target(Address.parse(f"ws://127.0.0.1:{port}/ws", "ws"), Address("127.0.0.1", 1, "", ""), "", b"")
        bench_connect(Common(target, sources=3, timeout=0.3), 7, hold=0)
        sources = []
        for _ in range(7):
            connection, address = silent.accept()
            connection.close()
            sources.append(address[0])
    assert sorted(sources) == ["127.0.0.2"] * 3 + ["127.0.0.3"] * 2 + ["127.0.0.4"] * 2


def test_hostile_knocks_at_this_machine_only() -> None:
    with pytest.raises(ConfigError, match=r"203\.0\.113\.9:80: expected a gateway on this machine"):
        bench_hostile(Address("203.0.113.9", 80, "203.0.113.9:80", "/ws"), 100, 1, 1)


def test_hostile_says_who_was_not_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostile, "_PATIENCE_NS", 200_000_000)
    monkeypatch.setattr(hostile, "_HOLD_NS", 100_000_000)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        result = bench_hostile(Address.parse(f"ws://127.0.0.1:{port}/ws", "ws"), 100, 0.4, 3)
    assert not result.ok
    assert result.figures["answers"] == {
        hostile.WRONG_TOKEN: {"no answer": 10},
        hostile.GARBAGE: {"no answer": 10},
        hostile.HALF: {"dropped by us": 10},
        hostile.GET: {"no answer": 10},
    }
    nobody = bench_hostile(Address.parse(f"ws://127.0.0.1:{port}/ws", "ws"), 100, 0.4, 3)
    assert nobody.figures["answers"] == {kind: {"ECONNREFUSED": 10} for kind in hostile.KINDS}
    assert not nobody.ok


def test_connect_to_nobody_fails_every_connection() -> None:
    nowhere = Target(Address.parse("ws://127.0.0.1:1/ws", "ws"), Address.parse("http://127.0.0.1:1", "http"), "", b"")
    result = bench_connect(Common(nowhere), 20, hold=0)
    assert not result.ok
    assert result.figures["failed"] == {"ECONNREFUSED": 20}
    with pytest.raises(BenchError, match="not answered"):
        bench_broadcast(Common(nowhere), 1, 1, 100)


def test_connect_gives_up_a_silent_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        target = Target(Address.parse(f"ws://127.0.0.1:{port}/ws", "ws"), Address("127.0.0.1", 1, "", ""), "", b"")
        assert bench_connect(Common(target, timeout=0.3), 5, hold=0).figures["failed"] == {"timeout": 5}


@pytest.mark.parametrize("size", [100, 1000, 65536])
def test_broadcast_reaches_everyone_in_frames_of_the_size(stand_in: Start, size: int) -> None:
    result = bench_broadcast(stand_in().common(processes=2), 60, rounds=2, size=size)
    figures: Figures = result.figures
    assert result.ok
    assert figures["messages"] == 120
    assert figures["frame_bytes"] == size
    assert [each["missing"] for each in figures["rounds"]] == [0, 0]
    assert 0 < figures["latency_ms"]["max"] / 1000 <= max(each["seconds"] for each in figures["rounds"]) + 0.001


def test_broadcast_counts_what_is_missing(stand_in: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pushgate.bench.broadcast._QUIET", 0.5)
    result = bench_broadcast(stand_in(lose=10).common(), 50, rounds=1, size=100)
    assert not result.ok
    assert result.figures["missing"] == 5


def test_push_counts_every_message(stand_in: Start) -> None:
    result = bench_push(stand_in().common(per_user=3, processes=2), 10, Calls(8, 0.5, 100), idle=7)
    figures: Figures = result.figures
    assert result.ok, figures
    assert figures["opened"] == 37
    assert figures["accepted"] > 50
    assert figures["expected"] == figures["accepted"] * 3
    assert figures["missing"] == figures["surplus"] == 0
    assert figures["frame_bytes"] == 100
    assert 0 < figures["call_ms"]["p50"] <= figures["call_ms"]["p99.9"] <= figures["call_ms"]["max"]
    assert figures["end_to_end_ms"]["p50"] > 0


def test_push_does_not_let_a_double_hide_a_loss(stand_in: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pushgate.bench.worker._QUIET_NS", 300_000_000)
    result = bench_push(stand_in(lose=10, double=9).common(per_user=2), 5, Calls(2, 0.3, 100))
    figures: Figures = result.figures
    sent = figures["expected"]
    assert not result.ok
    assert figures["missing"] > sent / 100
    assert figures["surplus"] > sent / 100


def test_push_reports_errors_by_status(stand_in: Start) -> None:
    result = bench_push(stand_in(reject=4).common(), 5, Calls(3, 0.3, 100))
    figures: Figures = result.figures
    assert not result.ok
    assert list(figures["errors"]) == ["HTTP 503"]
    assert figures["errors"]["HTTP 503"] == pytest.approx(figures["accepted"] / 3, abs=2)
    assert figures["missing"] == 0


@pytest.mark.alone
def test_an_open_loop_keeps_its_rate(stand_in: Start) -> None:
    result = bench_push(stand_in().common(processes=2), 5, Calls(8, 1.0, 100, rate=200))
    assert result.ok
    assert result.figures["accepted"] == pytest.approx(200, abs=1)
    assert result.figures["call_ms"]["p50"] < 100  # type: ignore[index]


@pytest.mark.alone
def test_an_open_loop_that_cannot_keep_up_says_so(stand_in: Start) -> None:
    """A stall longer than the grace, and one caller: most calls are never made, and are not passed over either."""
    result = bench_push(stand_in(stall=1.6).common(timeout=2), 5, Calls(1, 0.5, 100, rate=200))
    figures: Figures = result.figures
    assert not result.ok
    assert figures["accepted"] + figures["errors"]["no free caller"] == 100


@pytest.mark.alone
def test_an_open_loop_hides_no_stall(stand_in: Start) -> None:
    """One stall of 0.4 s at 200 calls a second is met by 80 of 200 calls; a closed loop would show it to two."""
    result = bench_push(stand_in(stall=0.4).common(), 5, Calls(2, 1.0, 100, rate=200))
    figures: Figures = result.figures
    assert figures["accepted"] == pytest.approx(200, abs=1)
    assert figures["call_ms"]["p90"] > 150
    assert figures["end_to_end_ms"]["p90"] > 150
    assert 350 < figures["call_ms"]["max"] < 3000


def test_reliable_pushes_are_acknowledged_and_doubles_are_no_messages(stand_in: Start) -> None:
    result = bench_push(stand_in(double=7).common(per_user=3, devices=True), 10, Calls(8, 0.5, 0))
    figures: Figures = result.figures
    assert result.ok, figures
    assert figures["bench"] == "reliable"
    assert figures["expected"] == figures["accepted"] * 3 > 100
    assert figures["missing"] == figures["surplus"] == 0
    assert figures["again"] == pytest.approx(figures["expected"] / 7, abs=2)
    assert figures["acknowledgements"] > 30
    assert figures["frame_bytes"] < 128


@pytest.mark.parametrize("everyone", [False, True])
def test_resume_counts_what_devices_missed_once_they_are_back(stand_in: Start, everyone: bool) -> None:
    result = bench_resume(stand_in().common(processes=2, devices=True, window=16), 100, 3, everyone, ())
    figures: Figures = result.figures
    assert result.ok, figures
    assert figures["opened"] == 100
    assert figures["expected"] == 300
    assert figures["lost"] == {"cut": 100}
    assert figures["missing"] == figures["again"] == 0
    assert 0 < figures["seconds"] < 5


def test_resume_comes_again_when_it_is_refused(stand_in: Start) -> None:
    result = bench_resume(stand_in(refuse=70).common(devices=True), 60, 2, False, ())
    assert result.ok, result.figures
    assert result.figures["refused"] == {"close 4500": 1}


def test_resume_says_when_the_server_that_was_killed_does_not_come_back(
    stand_in: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pushgate.bench.resume._QUIET", 1.0)
    server = stand_in()
    result = bench_resume(server.common(devices=True), 20, 2, False, (server.pid,))
    figures: Figures = result.figures
    assert not result.ok
    assert figures["missing"] == 40
    assert figures["refused"]["ECONNREFUSED"] >= 20
