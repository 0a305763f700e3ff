import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile.known import KnownNode
from tests.hostile.tokens import TRAP

PLAIN_MALLOC = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}
"""What is freed goes back to the kernel at once, so that memory tells what is held and not what once was."""
HANDSHAKE = "5"
"""Seconds of a handshake: on a machine with much to do it takes those who send byte for byte more than three."""


def run_node(directory: Path, tls: bool) -> Iterator[KnownNode]:
    """Run a node, and end what it leaves behind."""
    node = KnownNode(directory, tls, PUSHGATE_CLIENTS_HANDSHAKE_TIMEOUT=HANDSHAKE, **PLAIN_MALLOC)
    try:
        node.start()
        yield node
    finally:
        node.stop()
        node.end_nats()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KnownNode]:
    """A node for all of the corpus."""
    yield from run_node(tmp_path_factory.mktemp("plain"), tls=False)


@pytest.fixture(scope="module")
def tls_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KnownNode]:
    """A node whose clients speak TLS."""
    yield from run_node(tmp_path_factory.mktemp("tls"), tls=True)


@pytest.fixture(scope="module")
def trap() -> Iterator[socket.socket]:
    """Where the addresses in tokens lead."""
    with socket.create_server(TRAP) as listener:
        listener.setblocking(False)
        yield listener
