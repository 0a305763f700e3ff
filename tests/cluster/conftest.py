from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.cluster.network import need_namespaces
from tests.cluster.nodes import Cluster, running_cluster
from tests.cluster.scene import Scene


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster that runs."""
    need_namespaces()
    with running_cluster(tmp_path) as cluster:
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
