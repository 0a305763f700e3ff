import socket
from collections.abc import Iterator

import pytest

from tests.hostile.keys import API_KEY, SECRET, configuration
from tests.hostile.tokens import TRAP
from tests.rig.node import RunningNode

PLAIN_MALLOC = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}
"""What is freed goes back to the kernel at once, so that memory tells what is held and not what once was."""


class KnownNode(RunningNode):
    """A node whose keys are those of `keys`."""

    def _keys(self) -> dict[str, str]:
        return {"api_key": API_KEY, "token_secret": SECRET}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """A node of two workers with the embedded NATS, for all of the corpus."""
    directory = tmp_path_factory.mktemp("hostile")
    (directory / "pushgate.toml").write_text(configuration())
    options = ["--workers", "2", "--config", str(directory / "pushgate.toml")]
    node = KnownNode(directory, *options, PUSHGATE_CLIENTS_HANDSHAKE_TIMEOUT="3", **PLAIN_MALLOC)
    try:
        node.start()
        yield node
        node.stop()
    finally:
        node.end_nats()


@pytest.fixture(scope="module")
def trap() -> Iterator[socket.socket]:
    """Where the addresses in tokens lead."""
    with socket.create_server(TRAP) as listener:
        listener.setblocking(False)
        yield listener
