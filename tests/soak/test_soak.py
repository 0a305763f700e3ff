import os
from pathlib import Path

import pytest

from tests.hostile.known import KnownNode
from tests.soak.soak import soak

CI = os.environ.get("CI") == "true"
SECONDS = 30 if CI else 10


@pytest.mark.alone
def test_soak(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A short soak; `make soak` is the long one. Elsewhere than in CI other things may have the CPUs."""
    node = KnownNode(tmp_path)
    try:
        node.start()
        with capsys.disabled():
            print()
            faults = soak(node, tmp_path, SECONDS, print, judge_speed=CI)
    finally:
        node.stop()
        node.end_nats()
    assert faults == []
