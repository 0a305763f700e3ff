"""The programs that judge what is in `deploy/`."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def find_tool(name: str) -> str:
    """Return the path of a program; a test that lacks it fails in CI, and is skipped elsewhere."""
    path = shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if path is None:
        reason = f"{name} is not here: scripts/install-test-tools installs it, as root on Debian"
        assert os.environ.get("CI") != "true", reason
        pytest.skip(reason)
    return path


def run_tool(name: str, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run a program to its end, whatever that is."""
    return subprocess.run([find_tool(name), *arguments], check=False, capture_output=True, text=True, timeout=60)
