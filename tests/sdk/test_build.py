"""The SDK as it is built, and its own suite."""

import gzip
import re
import subprocess

import pytest

from tests.sdk.site import SDK, require_build

require_build()

MOST = 6 * 1024  # bytes, gzipped


@pytest.mark.parametrize("name", ["pushgate.js", "pushgate.iife.js"])
def test_it_is_small(name: str) -> None:
    assert len(gzip.compress((SDK / "dist" / name).read_bytes(), 9)) <= MOST


def test_it_needs_nothing_of_others() -> None:
    assert not re.search(r"\b(import|require)\b", (SDK / "dist" / "pushgate.js").read_text())


def test_its_own_suite() -> None:
    said = subprocess.run(["npm", "test"], cwd=SDK, check=False, capture_output=True, text=True, timeout=120)
    assert said.returncode == 0, said.stdout + said.stderr


def test_the_lock_names_no_host() -> None:
    assert '"resolved"' not in (SDK / "package-lock.json").read_text()
