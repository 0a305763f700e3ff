"""What a key that may only ask is answered, and what it is refused."""

import httpx
import pytest

from pushgate.messages.questions import Kick
from tests.api.rig import READ_KEY, Rig

LIMITS = {"connections": 0, "pushes_per_second": 0, "max_message": 0, "max_batch": 1000, "max_ttl": 604800}


@pytest.fixture
def reader(rig: Rig) -> httpx.Client:
    """A caller with the read key."""
    rig.http.headers["authorization"] = f"Bearer {READ_KEY}"
    return rig.http


@pytest.mark.parametrize("path", ["/v1/stats", "/v1/nodes", "/v1/events", "/v1/users/alice", "/v1/tenant"])
def test_it_may_ask(reader: httpx.Client, path: str) -> None:
    assert reader.get(path).status_code == 200


def test_it_may_ask_for_receipts(reader: httpx.Client) -> None:
    assert reader.get("/v1/messages/m?user=alice&offset=1").status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/push"),
        ("POST", "/v1/push?x=y"),
        ("POST", "/v1/push/batch"),
        ("POST", "/v1/tokens"),
        ("DELETE", "/v1/users/alice/sessions"),
        ("DELETE", "/v1/users/alice/sessions/00f100f100f100f1"),
    ],
)
def test_it_changes_nothing(rig: Rig, reader: httpx.Client, method: str, path: str) -> None:
    json = {"user": "alice", "data": 1} if method == "POST" else None
    for _ in range(2):  # what was learnt of a key is kept
        response = reader.request(method, path, json=json)
        assert (response.status_code, response.json()["code"]) == (403, "forbidden")
        assert reader.get("/v1/tenant").status_code == 200
    assert rig.bus.parcels == []
    assert not any(isinstance(question, Kick) for question in rig.questions.asked)


def test_a_reload_takes_it_away(rig: Rig, reader: httpx.Client) -> None:
    assert reader.get("/v1/stats").status_code == 200
    rig.tenants.load(read_keys=[])
    assert reader.get("/v1/stats").status_code == 401


def test_the_tenant_of_a_key(rig: Rig) -> None:
    assert rig.http.get("/v1/tenant").json() == {"tenant": "acme", "access": "full", "limits": LIMITS}
    rig.tenants.load(connections=3, max_ttl=60)
    limits = {**LIMITS, "connections": 3, "max_ttl": 60}
    rig.http.headers["authorization"] = f"Bearer {READ_KEY}"
    assert rig.http.get("/v1/tenant").json() == {"tenant": "acme", "access": "read", "limits": limits}
