"""The request that sends messages."""

import time

from pushgate.rocketmq.link import Request

SEND_BATCH = 320
STORED = frozenset({0, 10, 11, 12})
"""What says that the broker has a batch; beside 0 that its disk or replica did not confirm in time."""


def send_request(topic: str, group: str, queue: int, batch: bytes) -> Request:
    """Return the request that stores messages, encoded one behind the other, in a queue."""
    fields = {
        "a": group,
        "b": topic,
        "c": "TBW102",
        "d": 4,
        "e": queue,
        "f": 0,
        "g": time.time_ns() // 1_000_000,
        "h": 0,
        "i": "",
        "j": 0,
        "k": False,
        "m": True,
    }
    return Request(SEND_BATCH, fields, batch)
