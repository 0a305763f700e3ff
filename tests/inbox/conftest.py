from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.nats import RealNats


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RealNats]:
    server = RealNats(tmp_path / "data")
    yield server
    server.close()
