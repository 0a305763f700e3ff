"""The SDK as it lies there, built, and its own suite."""

import gzip
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.sdk.site import SDK, require_node

MOST = 6 * 1024  # bytes, gzipped
SHIPPED = ("pushgate.js", "pushgate.iife.js", "msgpack.js", "index.d.ts", "msgpack.d.ts", "types.d.ts")


def run_npm(*arguments: str, cwd: Path) -> None:
    """Run npm; where it, or what it installs, is missing: a failure in CI, elsewhere a test that is skipped."""
    require_node()
    said = subprocess.run(["npm", *arguments], cwd=cwd, check=False, capture_output=True, text=True, timeout=120)
    assert said.returncode == 0, said.stdout + said.stderr


@pytest.mark.parametrize("name", ["pushgate.js", "pushgate.iife.js"])
def test_it_is_small(name: str) -> None:
    assert len(gzip.compress((SDK / "dist" / name).read_bytes(), 9)) <= MOST


def test_it_needs_nothing_of_others() -> None:
    assert not re.search(r"\b(import|require)\b", (SDK / "dist" / "pushgate.js").read_text())


def test_what_lies_there_is_what_its_source_says(tmp_path: Path) -> None:
    for name in ("src", "tests"):
        shutil.copytree(SDK / name, tmp_path / name)
    for name in ("package.json", "tsconfig.json"):
        shutil.copy(SDK / name, tmp_path)
    (tmp_path / "node_modules").symlink_to(SDK / "node_modules")
    run_npm("run", "build", cwd=tmp_path)
    for name in SHIPPED:
        assert (tmp_path / "dist" / name).read_bytes() == (SDK / "dist" / name).read_bytes(), f"{name}: run `make sdk`"


def test_its_own_suite() -> None:
    run_npm("test", cwd=SDK)


def test_the_lock_names_no_host() -> None:
    assert '"resolved"' not in (SDK / "package-lock.json").read_text()
