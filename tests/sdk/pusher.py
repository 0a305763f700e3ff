"""Reliable pushes while everything is hurt, and what became of them."""

import threading
import time
from dataclasses import dataclass, field
from itertools import pairwise

import httpx

from tests.rig.node import RunningNode

RATE = 50
PATIENCE = 60.0
TTL = 120  # seconds: a user's log holds 10,000 messages


class Pusher:
    """Pushes a user the numbers from 0 on, 50 a second, one after the other, each until it is accepted."""

    def __init__(self, node: RunningNode, user: str) -> None:
        self.accepted = 0
        self._user = user
        self._refusal = ""
        self._node = node
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Push no more; what is under way is accepted first. Fails where a push was refused."""
        self._stopped.set()
        self._thread.join(PATIENCE)
        assert not self._refusal, self._refusal
        assert not self._thread.is_alive(), "the last push was never accepted"

    def _run(self) -> None:
        with httpx.Client(headers={"Authorization": f"Bearer {self._node.key}"}, timeout=5) as client:
            due = time.monotonic()
            while not self._stopped.is_set():
                number = self.accepted
                body = {"user": self._user, "data": number, "qos": "reliable", "ttl": TTL, "id": f"push-{number}"}
                while not self._push(client, body):
                    if self._refusal:
                        return
                    time.sleep(0.1)
                self.accepted += 1
                due = max(due + 1 / RATE, time.monotonic() - 1)
                time.sleep(max(0.0, due - time.monotonic()))

    def _push(self, client: httpx.Client, body: dict[str, object]) -> bool:
        try:
            answer = client.post(f"{self._node.api}/v1/push", json=body)
        except httpx.TransportError:
            return False
        if answer.status_code not in (202, 503):
            self._refusal = answer.text
        return answer.status_code == 202


@dataclass
class Verdict:
    """What became of the messages, over all pages."""

    pushed: int = 0
    cycles: int = 0
    lost: int = 0
    twice: int = 0
    disordered: int = 0
    reconnected: list[float] = field(default_factory=list)
    """Seconds from the moment that the gateway was ready again until a page was connected."""

    @property
    def good(self) -> bool:
        """Whether every promise held."""
        return self.pushed > 0 and not (self.lost or self.twice or self.disordered)

    def judge(self, got: list[int], first: int, last: int) -> None:
        """Count what is wrong with what one page got, that is to have everything from one number to another."""
        self.lost += len(set(range(first, last + 1)) - set(got))
        self.twice += len(got) - len(set(got))
        self.disordered += sum(a > b for a, b in pairwise(got))
