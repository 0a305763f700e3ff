"""A running node with a console, whose tenant has an API key and a read key."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pushgate.tenants.registry import hash_api_key
from tests.rig.node import RunningNode

KEY = "key-of-acme"
READ_KEY = "read-key-of-acme"
SECRET = "a secret of acme's that is long enough"
CONFIG = f"""
[tenants.acme]
api_keys = ["{hash_api_key(KEY)}"]
read_keys = ["{hash_api_key(READ_KEY)}"]
token_keys = [{{ algorithm = "HS256", secret = "{SECRET}" }}]
connections = 20
"""


def make_node(directory: Path) -> RunningNode:
    """Return a node with the tenant `acme`."""
    file = directory / "pushgate.toml"
    file.write_text(CONFIG)
    return RunningNode(directory, "--config", str(file))


@pytest.fixture(scope="module")
def running_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """A node; stopped by SIGTERM."""
    node = make_node(tmp_path_factory.mktemp("node"))
    try:
        node.start()
        yield node
    finally:
        node.stop()


@pytest.fixture
def page_url(running_node: RunningNode) -> str:
    """The console of the node."""
    return f"{running_node.api}/console"
