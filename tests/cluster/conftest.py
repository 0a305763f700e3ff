from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.cluster.network import need_namespaces
from tests.cluster.nodes import NAMES, Cluster, running_cluster
from tests.cluster.scene import Scene


@pytest.fixture
def cluster(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A cluster that runs; on external servers where the test's parameter says so."""
    need_namespaces()
    external = getattr(request, "param", "embedded") == "external"
    with running_cluster(tmp_path, NAMES, "--workers", "2", external=external) as cluster:
        yield cluster


@pytest_asyncio.fixture
async def scene(cluster: Cluster) -> AsyncIterator[Scene]:
    """The cluster under load."""
    scene = Scene(cluster)
    try:
        await scene.start()
        yield scene
    finally:
        await scene.stop()
