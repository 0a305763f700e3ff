"""For how long SIGTERM drains."""

import pytest

from pushgate.config import load
from pushgate.node.draining import drain_time


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, 0),
        ({"PUSHGATE_BUS_URL": "memory:"}, 0),
        ({"PUSHGATE_BUS_URL": "nats://elsewhere"}, 15),
        ({"PUSHGATE_CLUSTER_NODES": "a,b,c"}, 15),
        ({"PUSHGATE_NODE_DRAIN": "7.5"}, 7.5),
        ({"PUSHGATE_BUS_URL": "nats://elsewhere", "PUSHGATE_NODE_DRAIN": "0"}, 0),
    ],
)
def test_a_node_that_is_alone_does_not_drain_unless_it_is_told_to(environ: dict[str, str], seconds: float) -> None:
    assert drain_time(load(environ=environ)) == seconds
