"""What a tenant may take, and a reload of the tenants while callers push."""

import pytest

from pushgate.api import push as push_module
from pushgate.metrics.catalogue import PUSHES_REFUSED, TENANT_PUSHES
from pushgate.metrics.rows import tenant_slot
from tests.api.rig import Rig


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.2]
    monkeypatch.setattr(push_module, "monotonic", lambda: now[0])
    return now


def test_pushes_over_the_rate_are_told_when_to_come_again(rig: Rig, clock: list[float]) -> None:
    rig.tenants.load(pushes_per_second=2)
    assert [rig.push(user="alice").status_code for _ in range(4)] == [202, 202, 429, 429]
    refused = rig.push(user="alice")
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["code"] == "rate_limited"
    assert len(rig.bus.pushes) == 2
    assert rig.context.row[PUSHES_REFUSED["429"]] == 3
    assert rig.context.row[tenant_slot(0, TENANT_PUSHES)] == 2
    clock[0] += 1
    assert rig.push(user="alice").status_code == 202, "the next second"


def test_a_push_that_is_wrong_takes_nothing_of_the_rate(rig: Rig, clock: list[float]) -> None:
    rig.tenants.load(pushes_per_second=1)
    assert [rig.push(user="").status_code for _ in range(3)] == [400] * 3
    assert rig.push(user="alice").status_code == 202


def test_a_message_over_the_tenants_size(rig: Rig) -> None:
    rig.tenants.load(max_message=10)
    assert rig.push(user="alice", data="x" * 8).status_code == 202, "ten bytes with its quotes"
    refused = rig.push(user="alice", data="x" * 9)
    assert (refused.status_code, refused.json()["code"]) == (413, "too_large")
    assert "11 bytes" in refused.json()["detail"]


def test_a_key_that_a_reload_took_away_is_not_known_any_more(rig: Rig) -> None:
    assert rig.push(user="alice").status_code == 202
    rig.tenants.load(api_keys=[])
    assert rig.push(user="alice").status_code == 401
    rig.tenants.load()
    assert rig.push(user="alice").status_code == 202
