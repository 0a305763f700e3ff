"""The floor does what the benches ask of a server, and a script says how far a gateway is above it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pushgate.bench.broadcast import bench_broadcast
from pushgate.bench.connect import bench_connect
from pushgate.bench.options import Calls
from pushgate.bench.push import bench_push
from tests.bench.conftest import StandIn

SCRIPT = Path(__file__).parents[2] / "scripts" / "bench"


@pytest.fixture
def floor() -> Iterator[StandIn]:
    with subprocess.Popen([sys.executable, "-m", "pushgate", "bench", "floor"], stdout=subprocess.PIPE) as process:
        assert process.stdout
        url, api = process.stdout.readline().decode().split()
        yield StandIn(url, api, process.pid)
        process.kill()


def test_the_floor_does_what_the_benches_ask(floor: StandIn) -> None:
    common = floor.common(per_user=3, processes=2)
    assert bench_connect(common, 30, hold=0).ok
    for _ in range(2):
        everyone = bench_broadcast(common, 30, rounds=2, size=100)
        assert everyone.ok, "those who have left are written to no more"
        assert everyone.figures["messages"] == 60
        assert everyone.figures["frame_bytes"] == 100
    pushes = bench_push(common, 10, Calls(4, 0.3, 100))
    assert pushes.ok
    assert pushes.figures["surplus"] == 0
    assert pushes.figures["frame_bytes"] == 100


@pytest.fixture
def script() -> ModuleType:
    spec = spec_from_loader("bench_script", SourceFileLoader("bench_script", str(SCRIPT)))
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("cost", "status"), [(15.9, 0), (16.1, 1)])
def test_what_got_worse_is_said(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], cost: float, status: int
) -> None:
    costs = {"floor": iter([10.0, 20.0, 10.0]), "gateway": iter([1.0, 2 * cost, 100.0])}

    def measure(server: str, load: str, words: list[str]) -> dict[str, Any]:
        each = next(costs[server]) if load == "broadcast" else 1.0
        figures = {"connections_per_s": 1.0, "pushes_per_s": 1.0, "call_ms": {"p99": 1.0}, "rounds": [{"seconds": 1}]}
        return {**figures, "server": {script.COST[load]: each}}

    monkeypatch.setattr(script, "LIMITS", {"connect": 1.5, "broadcast": 1.6, "push": 1.5})
    monkeypatch.setattr(script, "measure", measure)
    monkeypatch.setattr(script, "run_floor", lambda: nullcontext("floor"))
    monkeypatch.setattr(script, "run_gateway", lambda *_: nullcontext("gateway"))
    monkeypatch.setattr(sys, "argv", ["bench", "--connections", "10"])
    assert script.main() == status
    said = capsys.readouterr()
    assert f"{cost / 10:.2f} x (0.10 to 10.00), limit 1.6" in said.out
    assert ("worse than it was: broadcast" in said.err) == bool(status)


def test_a_run_in_small() -> None:
    """As `make bench`, in seconds; so few say little of cost."""
    command = [sys.executable, str(SCRIPT), "--runs", "1", "--connections", "2000", "--seconds", "0.5"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    rows = [line for line in run.stdout.splitlines() if " x (" in line]
    assert [row.split()[0] for row in rows] == ["connect", "broadcast", "push"], run.stderr
    assert run.returncode == ("worse" in run.stderr)
