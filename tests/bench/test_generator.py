"""The generator costs less than the gateway that it measures, by its own figures of both."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pushgate.bench.figures import heavier
from tests.rig.node import RunningNode

LOADS = ("connect 15000 --hold 0", "broadcast 5000", "push --seconds 2 --callers 100")


@pytest.mark.alone
def test_a_generator_costs_less_than_a_gateway(tmp_path: Path) -> None:
    """By half, when nothing else runs; connections, writes and pushes, memory and CPU."""
    node = RunningNode(tmp_path, PUSHGATE_LIMITS_HANDSHAKES_PER_SECOND="0")
    node.start()
    where = ["--url", node.url, "--api", node.api, "--data-dir", str(node.data_dir), "--server-pid", str(node.pid)]
    costs: dict[str, tuple[float, float]] = {}
    try:
        for load in LOADS:
            # A process of its own, which shares with its generators less than this one would.
            command = [sys.executable, "-m", "pushgate", "bench", *load.split(), *where, "--json"]
            run = subprocess.run(command, capture_output=True, text=True, check=False)
            assert run.returncode == 0, run.stdout + run.stderr
            figures: dict[str, Any] = json.loads(run.stdout)
            assert "takes more" not in run.stderr
            ours, theirs = figures["generator"], figures["server"]
            costs |= {name: (ours[name], theirs[name]) for name in ours if "_per_" in name}
    finally:
        node.stop()
    assert costs.keys() == {
        "cpu_us_per_connection",
        "pss_per_connection",
        "cpu_us_per_write",
        "cpu_us_per_push",
    }
    assert all(0 < ours < theirs for ours, theirs in costs.values()), costs


def test_what_takes_more_than_the_server_is_said() -> None:
    ours = {"processes": 1, "pss_per_connection": 700, "cpu_us_per_write": 2.0, "cpu_us_per_connection": 1.0}
    server = {"processes": 1, "pss_per_connection": 600, "cpu_us_per_write": 3.0, "cpu_us_per_connection": 0.0}
    (words,) = heavier({"generator": ours, "server": server}, 10_000)
    assert words == "the generator takes more than the server: pss_per_connection is 700 and 600"
    assert heavier({"generator": ours, "server": server}, 9_999) == [], "too few to tell"
    assert heavier({"generator": ours}, 10_000) == [], "where the server's are not known"
