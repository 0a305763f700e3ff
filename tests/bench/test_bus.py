"""`bench bus`, against a real broker that is killed, and against buses that lose and double."""

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pushgate.bench import bus as bench
from pushgate.bench.bus import Load, bench_bus
from pushgate.bench.bus_listener import Elsewhere
from pushgate.bench.flags import parse_place
from pushgate.bench.options import BenchError
from pushgate.bus import Parcel, create_bus
from pushgate.bus.memory import MemoryBus
from pushgate.errors import BusUnavailable, ConfigError
from tests.fakes.nats import PlainNats, free_ports, nats_program

SHORT = Load(callers=20, seconds=0.3, size=100, rates=(100,))


@contextmanager
def killed_after(pid: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.kill(pid, signal.SIGKILL)


def run(*arguments: str) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "pushgate", "bench", "bus", *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def test_the_command_measures_a_real_broker_and_its_death(tmp_path: Path) -> None:
    port = free_ports(1)[0]
    command = [nats_program(), "-a", "127.0.0.1", "-p", str(port)]
    url = f"nats://127.0.0.1:{port}"
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as server:
        options = ["--seconds", "0.5", "--rate", "100", "--rate", "300", "--server-pid", str(server.pid), "--json"]
        outage = ["--kill", str(server.pid), "--restart", f"exec {shlex.join(command)}"]
        status, out, words = run(url, *options, *outage)
        server.kill()
    figures: dict[str, Any] = json.loads(out)
    with killed_after(figures["outage"]["restarted_pid"]):
        assert status == 0, words
        assert (figures["bench"], figures["url"], figures["message_bytes"]) == ("bus", url, 200)
        throughput = figures["throughput"]
        assert throughput["accepted"] > 1000
        assert (throughput["refused"], throughput["lost"], throughput["doubled"]) == (0, 0, 0)
        assert 0 < throughput["received_per_s"] <= 1.1 * throughput["published_per_s"]
        assert all(cost > 0 for cost in throughput["cpu_us"].values())
        for rate in (100, 300):
            paced = figures[f"at_{rate}_per_s"]
            assert 0.3 * rate < paced["accepted"] <= 0.5 * rate + 1
            assert 0 < paced["received_ms"]["p50"] <= paced["received_ms"]["max"]
            assert paced["lost"] == 0
        death = figures["outage"]
        assert death["refused"] > 100
        assert death["accepted"] > 200
        assert death["lost"] < 100  # what was confirmed before the listener was back, which no promise forbids
        assert death["gaps"] == 1
        assert 0 < death["recovered_s"] < 5


def test_a_table_shows_it_where_no_json_is_wanted() -> None:
    status, out, _ = run("memory:", "--seconds", "0.1", "--rate", "50")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines() if line.strip()][:4] == [
        "bench",
        "url",
        "message_bytes",
        "throughput",
    ]


@pytest.mark.parametrize("option", [["--kill", "1"], ["--restart", "true"], ["--kill", "1", "--restart", "true"]])
def test_an_outage_wants_who_how_and_where(option: list[str]) -> None:
    status, _, words = run("memory:", *option)
    assert status == 2
    assert "--kill and --restart: expected both" in words or "--listens: expected HOST:PORT" in words


def test_a_place_is_that_of_the_url_unless_given() -> None:
    assert parse_place("nats://host:4222") == ("host", 4222)
    assert parse_place("[::1]:9876") == ("::1", 9876)
    for wrong in ("nats://a:1,b:2", "redis://host", "host", ":1", "host:x", "memory:"):
        with pytest.raises(ConfigError, match="HOST:PORT"):
            parse_place(wrong)


class FaultyBus(MemoryBus):
    """Loses every tenth message, brings every seventh twice, and refuses every fifth."""

    faults: frozenset[str]

    async def publish(self, parcels: Sequence[Parcel]) -> None:
        self.count = getattr(self, "count", 0) + 1
        if "refuse" in self.faults and self.count % 5 == 0:
            raise BusUnavailable("the bus is away")
        if "lose" in self.faults and self.count % 10 == 0:
            return
        await super().publish([*parcels, *parcels] if "double" in self.faults and self.count % 7 == 0 else parcels)


@pytest.mark.parametrize(("fault", "figure"), [("lose", "lost"), ("double", "doubled"), ("refuse", "refused")])
def test_what_a_bus_does_wrong_is_counted(monkeypatch: pytest.MonkeyPatch, fault: str, figure: str) -> None:
    monkeypatch.setattr(bench, "_QUIET", 0.2)
    monkeypatch.setattr(bench, "create_bus", lambda url, prefix: FaultyBus())
    monkeypatch.setattr(FaultyBus, "faults", frozenset([fault]), raising=False)
    result = bench_bus("memory:", SHORT)
    assert not result.ok
    paced: Any = result.figures["at_100_per_s"]
    wrong = {name: paced[name] for name in ("lost", "doubled", "refused")}
    assert {name for name, count in wrong.items() if count} == {figure}
    total = paced["accepted"] + paced["refused"]
    assert wrong[figure] == pytest.approx(total / {"lose": 10, "double": 7, "refuse": 5}[fault], abs=1)


def test_a_bus_that_is_not_there_is_said_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "_PATIENCE", 0.3)
    with pytest.raises(BenchError, match="the bus is not there"):
        bench_bus(f"nats://127.0.0.1:{free_ports(1)[0]}", SHORT)


def test_a_listener_that_ends_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = PlainNats(tmp_path, "")
    try:
        elsewhere = Elsewhere(lambda: create_bus(f"nats://127.0.0.1:{server.port}"), 5)
        elsewhere._process.kill()
        elsewhere._process.join()
        with pytest.raises(BenchError, match="ended early"):
            elsewhere.ask(1)
        elsewhere.close()
    finally:
        server.close()
