"""What is refused of produced pushes, and what workers agree on; the whole way: tests/rocketmq/test_java.py."""

import hmac
import time
from hashlib import sha256

import pytest

from pushgate.api.context import ApiContext
from pushgate.api.produced import FRESH, ProducedPushes
from pushgate.api.push import PushRoute
from pushgate.config import Config, TenantConfig
from pushgate.messages.push import Push, decode_push
from pushgate.metrics.catalogue import PUSHES, PUSHES_REFUSED
from pushgate.metrics.rows import Rows
from pushgate.tenants.registry import Tenants, hash_api_key
from tests.api.rig import KEY, FakeBus, FakeQuestions

BODY = b'{"user": "alice", "data": 1}'


class Worker:
    """One worker's part."""

    def __init__(self, index: int = 0) -> None:
        tenants = Tenants({"acme": TenantConfig(api_keys=[hash_api_key("older"), hash_api_key(KEY)])})
        self.row = Rows(1).row(0)
        self.payloads: list[bytes] = []
        context = ApiContext(Config(), tenants, FakeBus(), None, FakeQuestions(), Rows(1), self.row, list)
        self.produced = ProducedPushes(PushRoute(context), tenants, self.row, index == 0, self.payloads.append)

    def take(self, body: bytes = BODY, **properties: str) -> None:
        self.produced.take(signed(body) | {f"pushgate-{name}": value for name, value in properties.items()}, body)

    @property
    def pushes(self) -> list[Push]:
        return [decode_push(payload) for payload in self.payloads]

    def refused(self, status: str) -> int:
        return self.row[PUSHES_REFUSED[status]]


def signed(body: bytes, moment: str = "", tenant: str = "acme", key: str = KEY) -> dict[str, str]:
    moment = moment or str(time.time_ns() // 1_000_000)
    text = f"{tenant}\n{moment}\n".encode() + body
    signature = hmac.digest(sha256(key.encode()).digest(), text, "sha256").hex()
    return {"pushgate-tenant": tenant, "pushgate-time": moment, "pushgate-signature": signature}


def test_a_signed_push_is_delivered_and_counted_by_one_worker() -> None:
    first, second = Worker(0), Worker(1)
    properties = signed(BODY)
    for worker in (first, second):
        worker.produced.take(properties, BODY)
        worker.produced.take(properties, BODY)  # as a producer does that got no answer
    assert first.payloads == second.payloads, "the same everywhere, its id and time too"
    (push,) = first.pushes
    assert (push.tenant, push.uids, push.data) == ("acme", ["alice"], b"1")
    assert [worker.row[PUSHES["live", "user"]] for worker in (first, second)] == [1, 0]


def test_an_id_of_its_own_is_kept() -> None:
    worker = Worker()
    worker.take(b'{"everyone": true, "id": "order-7"}')
    assert [push.id for push in worker.pushes] == ["order-7"]


@pytest.mark.parametrize("changed", [{"signature": "00" * 32}, {"signature": "ß"}, {"tenant": "other"}, {"time": "1"}])
def test_what_was_not_signed_so_is_refused(changed: dict[str, str]) -> None:
    worker = Worker()
    worker.take(BODY, **changed)
    assert worker.payloads == []
    assert worker.refused("401") == 1


@pytest.mark.parametrize("moment", ["soon", "", "9" * 400, "-1", "١٢٣"])
def test_a_time_that_is_none_is_refused_even_signed(moment: str) -> None:
    worker = Worker()
    worker.produced.take(signed(BODY, moment or " "), BODY)
    assert worker.payloads == []
    assert worker.refused("401") == 1


@pytest.mark.parametrize("away", [-FRESH - 1, FRESH + 1])
def test_what_is_not_of_now_is_refused(away: float) -> None:
    worker = Worker()
    worker.produced.take(signed(BODY, str(round((time.time() + away) * 1000))), BODY)
    assert worker.refused("401") == 1


@pytest.mark.parametrize("body", [b"", b"[]", b'{"user": 7}', b'{"user": "alice", "qos": "reliable"}'])
def test_what_is_no_live_push_is_refused(body: bytes) -> None:
    worker = Worker()
    worker.take(body)
    assert worker.payloads == []
    assert worker.refused("400") == 1


def test_signatures_are_forgotten_once_their_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker()
    worker.take()
    later = time.time() + 2 * FRESH + 1
    monkeypatch.setattr(time, "time", lambda: later)
    monkeypatch.setattr(time, "time_ns", lambda: int(later * 1e9))
    worker.take()
    assert len(worker.pushes) == 2
    assert len(worker.produced._seen) == 1
