"""Many pushes in one call."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from msgspec import json, msgpack

from pushgate.api import push as push_module
from pushgate.errors import BusUnavailable, Problem
from pushgate.inbox.base import Refused, Unknown
from pushgate.metrics.catalogue import PUSHES, PUSHES_REFUSED, TENANT_PUSHES
from pushgate.metrics.rows import tenant_slot
from tests.api.rig import Rig
from tests.api.test_push import BAD, GOOD
from tests.api.test_push import problem_of as is_problem

MSGPACK = "application/msgpack"


def send(rig: Rig, pushes: Any, kind: str = "application/json", **more: Any) -> httpx.Response:
    encode = json.encode if kind == "application/json" else msgpack.encode
    return rig.http.post("/v1/push/batch", content=encode({"pushes": pushes, **more}), headers={"content-type": kind})


def results_of(response: httpx.Response) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.text
    results: list[dict[str, Any]] = response.json()["results"]
    return results


@pytest.mark.parametrize("kind", ["application/json", MSGPACK, "application/vnd.msgpack"])
def test_each_push_is_taken_and_answered_in_its_order(rig: Rig, kind: str) -> None:
    response = send(rig, [{"user": f"u{number}", "data": number} for number in range(300)], kind)
    assert response.status_code == 200
    assert response.headers["content-type"] == kind
    answer = (json.decode if kind == "application/json" else msgpack.decode)(response.content)
    assert [result["status"] for result in answer["results"]] == [202] * 300
    assert [result["id"] for result in answer["results"]] == [push.id for push in rig.bus.pushes]
    assert [(push.uids, push.data) for push in rig.bus.pushes] == [
        ([f"u{number}"], b"%d" % number) for number in range(300)
    ]
    assert rig.context.row[PUSHES["live", "user"]] == 300
    assert rig.context.row[tenant_slot(0, TENANT_PUSHES)] == 300


def test_they_go_onto_the_bus_as_one_group(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    groups: list[int] = []
    publish = rig.bus.publish

    async def watch(parcels: Any) -> None:
        groups.append(len(parcels))
        await publish(parcels)

    monkeypatch.setattr(rig.bus, "publish", watch)
    pushes = [{"user": "a", "id": f"{number}"} for number in range(500)]
    results_of(send(rig, [*pushes, {"users": ["a", "b"], "id": "500"}, {"everyone": True, "id": "501"}]))
    assert groups == [503]
    assert [push.id for push in rig.bus.pushes] == [f"{number}" for number in [*range(501), 500, 501]]
    assert [rig.context.row[PUSHES["live", kind]] for kind in ("user", "users", "everyone")] == [500, 1, 1]


def test_a_wrong_push_is_refused_alone_as_it_would_be_by_itself(rig: Rig) -> None:
    wrong = [body for _, body, _ in BAD]
    mixed = [body for pair in zip(wrong, GOOD * 10, strict=False) for body in pair]
    results = results_of(send(rig, mixed))
    assert [result["status"] for result in results] == [400, 202] * len(wrong)
    for body, result in zip(wrong, results[::2], strict=True):
        alone = rig.push(**body).json()
        alone.pop("request_id")
        assert result["problem"] == alone
    assert len(rig.bus.pushes) >= len(wrong)
    assert rig.context.row[PUSHES_REFUSED["400"]] == 2 * len(wrong)
    assert rig.context.row[tenant_slot(0, TENANT_PUSHES)] == len(wrong)


@pytest.mark.parametrize("kind", ["application/json", MSGPACK])
def test_what_is_no_push_at_all(rig: Rig, kind: str) -> None:
    response = send(rig, [7, None, [], "x", {}, {"user": "a"}], kind)
    answer = (json.decode if kind == "application/json" else msgpack.decode)(response.content)
    assert [result["status"] for result in answer["results"]] == [400] * 5 + [202]
    assert "object, got 7" in answer["results"][0]["problem"]["detail"]


def test_nothing_is_published_where_all_are_wrong(rig: Rig) -> None:
    rig.bus.error = BusUnavailable("the bus is away")
    assert [result["status"] for result in results_of(send(rig, [{}, {"user": 1}]))] == [400, 400]


def test_reliable_and_live_ones_each_go_their_way(rig: Rig) -> None:
    assert rig.inbox is not None
    rig.inbox.outcomes = {"full": Refused("user_full", "full"), "lost": Unknown("no answer")}
    pushes = [{"user": uid, "qos": "reliable", "id": f"id-{uid}"} for uid in ("a", "full", "lost", "b")]
    results = results_of(send(rig, [pushes[0], {"user": "c"}, *pushes[1:], pushes[0]]))
    assert [result["status"] for result in results] == [202, 202, 429, 503, 202, 202]
    assert [result.get("offset") for result in results] == [1, None, None, None, 2, 1]
    assert [result.get("duplicate") for result in results] == [None, None, None, None, None, True]
    assert [results[place]["problem"]["code"] for place in (2, 3)] == ["user_full", "inbox_unavailable"]
    assert [push.uids for push in rig.bus.pushes] == [["c"]]
    assert rig.context.row[tenant_slot(0, TENANT_PUSHES)] == 4


def test_a_batch_of_which_nothing_could_be_taken_is_503_as_a_whole(rig: Rig) -> None:
    assert rig.inbox is not None
    rig.inbox.outcomes = {"a": Unknown("no answer")}
    rig.bus.error = BusUnavailable("the bus is away")
    refused = send(rig, [{"user": "a", "qos": "reliable"}, {"user": "b"}])
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    rig.inbox.outcomes = {}
    results = results_of(send(rig, [{"user": "a", "qos": "reliable"}, {"user": "b"}]))
    assert [result["status"] for result in results] == [202, 503]


def test_bytes_in_messagepack(rig: Rig) -> None:
    assert send(rig, [{"user": "a", "data": b"\x00\xff"}], MSGPACK).status_code == 200
    [push] = rig.bus.pushes
    assert (push.data, push.binary) == (b"\x00\xff", True)


@pytest.mark.parametrize(
    ("pushes", "says"),
    [
        ([], "expected a list of 1 to 1,000 pushes, got a list of 0"),
        ([{"user": "a"}] * 1001, "expected a list of 1 to 1,000 pushes, got a list of 1001"),
        ({"user": "a"}, "expected a list of 1 to 1,000 pushes, got an object"),
        (None, "got null"),
    ],
    ids=["none", "too many", "an object", "null"],
)
def test_a_wrong_list(rig: Rig, pushes: Any, says: str) -> None:
    problem = is_problem(send(rig, pushes), 400)
    assert [error["field"] for error in problem["errors"]] == ["pushes"]
    assert says in problem["errors"][0]["message"]
    assert rig.bus.parcels == []


def test_a_wrong_body(rig: Rig) -> None:
    assert is_problem(send(rig, [{"user": "a"}], user="a"), 400)["errors"][0]["field"] == "user"
    headers = {"content-type": "application/json"}
    assert is_problem(rig.http.post("/v1/push/batch", content=b"[]", headers=headers), 400)
    assert is_problem(rig.http.post("/v1/push/batch", content=b'{"pushes":[{"user":"\xff"}]}', headers=headers), 400)
    assert is_problem(rig.http.post("/v1/push/batch", json={}), 400)["errors"][0]["field"] == "pushes"
    assert is_problem(rig.http.post("/v1/push/batch", content=b"{}"), 415)
    with httpx.Client(base_url=rig.http.base_url) as http:
        assert is_problem(http.post("/v1/push/batch", json={"pushes": [{"user": "a"}]}), 401)


def test_the_size_of_the_body(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(max_body=2000)
    assert is_problem(send(rig, [{"user": "a", "data": "x" * 2000}]), 413)["code"] == "too_large"
    assert results_of(send(rig, [{"user": "a", "data": "x" * 1900}]))


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (BusUnavailable("the bus is away"), 503, "bus_unavailable"),
        (Problem("too_large", "9 bytes on the bus, which takes 8"), 413, "too_large"),
        (ZeroDivisionError(), 500, "internal_error"),
    ],
)
def test_when_none_could_be_published_the_whole_is_refused(
    rig: Rig, error: Exception, status: int, code: str, capfd: pytest.CaptureFixture[str]
) -> None:
    rig.bus.error = error
    response = send(rig, [{"user": "a"}, {}, {"user": "b"}])
    assert is_problem(response, status)["code"] == code
    assert ("retry-after" in response.headers) == (status == 503)
    assert rig.context.row[PUSHES_REFUSED.get(str(status), PUSHES_REFUSED["other"])] == 3
    assert rig.context.row[PUSHES["live", "user"]] == 0


class TestQuotas:
    def test_a_batch_is_charged_at_once_or_not_at_all(self, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
        now = [1000.0]
        monkeypatch.setattr(push_module, "monotonic", lambda: now[0])
        rig.tenants.load(pushes_per_second=5)
        three = [{"user": "a"}] * 3
        assert [result["status"] for result in results_of(send(rig, three))] == [202] * 3
        response = send(rig, three)
        assert is_problem(response, 429)["code"] == "rate_limited"
        assert response.headers["retry-after"] == "1"
        assert len(rig.bus.pushes) == 3
        assert rig.context.row[PUSHES_REFUSED["429"]] == 3
        assert results_of(send(rig, [{"user": "a"}, {}, {"user": "a"}])), "wrong ones take nothing of the rate"
        now[0] += 1
        assert results_of(send(rig, three))

    def test_more_than_the_tenant_may_ever_send_is_no_matter_of_waiting(self, rig: Rig) -> None:
        rig.tenants.load(max_batch=2)
        problem = is_problem(send(rig, [{"user": "a"}] * 3), 400)
        assert "1 to 2 pushes, this tenant's limit, got a list of 3" in problem["errors"][0]["message"]
        rig.tenants.load(pushes_per_second=2)
        assert "1 to 2 pushes" in is_problem(send(rig, [{"user": "a"}] * 3), 400)["errors"][0]["message"]

    def test_a_message_over_the_tenants_size_is_refused_alone(self, rig: Rig) -> None:
        rig.tenants.load(max_message=10)
        results = results_of(send(rig, [{"user": "a", "data": "x" * 9}, {"user": "a", "data": 1}]))
        assert [result["status"] for result in results] == [413, 202]

    def test_a_tenant_that_a_reload_took_away(self, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rig.tenants, "quota_of", lambda tenant: None)
        assert is_problem(send(rig, [{"user": "a"}]), 401)
