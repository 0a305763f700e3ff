"""Reliable pushes: what goes into the inbox, and what is answered."""

import pytest

from pushgate.inbox.base import EVERYONE, Refused, Unknown
from pushgate.messages.push import decode_push
from pushgate.metrics.catalogue import PUSHES, PUSHES_REFUSED
from tests.api.rig import Rig
from tests.fakes.inbox import FakeInbox


@pytest.fixture(params=["/v1/push", "/v1/push?by=litestar"])
def path(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def inbox_of(rig: Rig) -> FakeInbox:
    assert rig.inbox is not None
    return rig.inbox


def test_a_push_goes_into_the_users_log(rig: Rig, path: str) -> None:
    body = {
        "user": "alice",
        "event": "paid",
        "data": {"n": 1},
        "qos": "reliable",
        "ttl": 60,
        "collapse": "k",
        "id": "i",
    }
    response = rig.http.post(path, json=body)
    assert (response.status_code, response.json()) == (202, {"id": "i", "offset": 1})
    ((tenant, draft),) = inbox_of(rig).drafts
    assert (tenant, draft.uid, draft.id, draft.ttl, draft.collapse) == ("acme", "alice", "i", 60, "k")
    push = decode_push(draft.payload)
    assert (push.uids, push.event, push.data.replace(b" ", b"")) == (["alice"], "paid", b'{"n":1}')
    assert rig.bus.parcels == [], "the bus is for live pushes"
    assert (rig.context.row[PUSHES["reliable", "user"]], rig.context.row[PUSHES["live", "user"]]) == (1, 0)


def test_the_same_id_again_is_answered_as_the_first_time(rig: Rig, path: str) -> None:
    for answer in ({"id": "i", "offset": 1}, {"id": "i", "offset": 1, "duplicate": True}):
        response = rig.http.post(path, json={"user": "alice", "qos": "reliable", "id": "i", "data": 1})
        assert (response.status_code, response.json()) == (202, answer)
    assert len(inbox_of(rig).drafts) == 1


def test_many_users_have_an_entry_each(rig: Rig) -> None:
    answer = rig.push(users=["a", "b", "c", "a"], qos="reliable").json()
    assert answer["offset"] == 3, "the highest"
    drafts = [draft for _, draft in inbox_of(rig).drafts]
    assert [draft.uid for draft in drafts] == ["a", "b", "c"]
    assert {draft.id for draft in drafts} == {answer["id"]}
    assert [decode_push(draft.payload).uids for draft in drafts] == [[]] * 3, "not the whole list for each of it"
    assert rig.push(users=["c", "d"], qos="reliable", id=answer["id"]).json() == {"id": answer["id"], "offset": 4}


def test_everyone_has_a_log_of_its_own(rig: Rig) -> None:
    assert rig.push(everyone=True, qos="reliable").status_code == 202
    assert [(draft.uid, draft.ttl) for _, draft in inbox_of(rig).drafts] == [(EVERYONE, 3600)]


@pytest.mark.parametrize(
    ("outcome", "status", "code"),
    [
        (Refused("inbox_full", "full"), 429, "inbox_full"),
        (Refused("user_full", "full"), 429, "user_full"),
        (Refused("too_large", "too large"), 413, "too_large"),
        (Unknown("it did not answer"), 503, "inbox_unavailable"),
    ],
)
def test_what_was_not_stored_for_all_is_an_error(
    rig: Rig, path: str, outcome: Refused | Unknown, status: int, code: str
) -> None:
    inbox_of(rig).outcomes = {"b": outcome}
    response = rig.http.post(path, json={"users": ["a", "b"], "qos": "reliable", "id": "i"})
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert ("retry-after" in response.headers) == (status != 413)
    assert rig.context.row[PUSHES_REFUSED[str(status)]] == 1
    inbox_of(rig).outcomes = {}
    again = rig.http.post(path, json={"users": ["a", "b"], "qos": "reliable", "id": "i"})
    assert (again.status_code, again.json()["offset"]) == (202, 2), "safe to repeat"


def test_a_node_without_an_inbox_says_so(rig: Rig, path: str) -> None:
    rig.context.inbox = None
    response = rig.http.post(path, json={"user": "alice", "qos": "reliable"})
    assert (response.status_code, response.json()["code"]) == (409, "no_inbox")
    assert rig.push(user="alice").status_code == 202


def test_how_long_a_tenants_messages_are_kept(rig: Rig) -> None:
    rig.tenants.load(max_ttl=600)
    assert rig.push(user="a", qos="reliable").status_code == 202
    assert rig.push(user="a", qos="reliable", ttl=600).status_code == 202
    assert [draft.ttl for _, draft in inbox_of(rig).drafts] == [600, 600]
    [error] = rig.push(user="a", qos="reliable", ttl=601).json()["errors"]
    assert error == {
        "field": "ttl",
        "message": "expected a whole number of seconds, 1 to 600, this tenant's limit, got 601",
    }
    rig.tenants.load(max_ttl=30 * 86400)
    assert rig.push(user="a", qos="reliable", ttl=30 * 86400).status_code == 202
