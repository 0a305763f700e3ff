"""`scripts/compare-with-nchan`, with a load that is too small to tell anything."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "compare-with-nchan"


def compare(*options: str) -> "subprocess.CompletedProcess[str]":
    command = [
        sys.executable,
        str(SCRIPT),
        "--runs",
        "1",
        "--seconds",
        "0.3",
        "--users",
        "3",
        "--callers",
        "4",
        *options,
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    if "apt-get install" in done.stderr or "a CPU each" in done.stderr:
        assert os.environ.get("CI") != "true", done.stderr
        pytest.skip(done.stderr.strip())
    return done


def test_both_are_measured_and_a_ratio_that_is_too_low_fails() -> None:
    done = compare("--at-least", "1000")
    rates = dict(re.findall(r"run 1: (\w+) +([0-9,]+) pushes/s", done.stdout))
    assert set(rates) == {"nchan", "pushgate"}, done.stderr
    nchan, pushgate = (float(rates[name].replace(",", "")) for name in ("nchan", "pushgate"))
    (ratio,) = re.findall(r"pushgate takes ([0-9.]+) ", done.stdout)
    assert float(ratio) == pytest.approx(pushgate / nchan, abs=0.02)
    assert done.stderr == "expected 1000 times at least\n"
    assert done.returncode == 1


def test_a_ratio_that_is_high_enough_does_not() -> None:
    done = compare("--at-least", "0.001", "--size", "200")
    assert done.returncode == 0, done.stderr
