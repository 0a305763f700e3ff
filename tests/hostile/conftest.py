import socket
from collections.abc import Iterator

import pytest

from tests.hostile.known import KnownNode
from tests.hostile.tokens import TRAP
from tests.rig.node import RunningNode

PLAIN_MALLOC = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}
"""What is freed goes back to the kernel at once, so that memory tells what is held and not what once was."""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """A node for all of the corpus."""
    node = KnownNode(tmp_path_factory.mktemp("hostile"), **PLAIN_MALLOC)
    try:
        node.start()
        yield node
    finally:
        node.stop()
        node.end_nats()


@pytest.fixture(scope="module")
def trap() -> Iterator[socket.socket]:
    """Where the addresses in tokens lead."""
    with socket.create_server(TRAP) as listener:
        listener.setblocking(False)
        yield listener
