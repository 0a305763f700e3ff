"""Receipts: what is kept, which devices have it, and what is no question for one."""

from typing import Any
from urllib.parse import quote

import httpx
import pytest

from pushgate.api.receipts import BEFORE
from pushgate.inbox.base import Cursor, Device
from pushgate.messages.questions import Find, Found, Question, Reach, Reached, Sessions
from tests.api.rig import Rig
from tests.api.test_reliable import inbox_of
from tests.api.test_routes import is_problem


def ask(rig: Rig, id: str, **query: Any) -> httpx.Response:
    return rig.http.get(f"/v1/messages/{id}", params=query)


def store(rig: Rig, device: str, offset: int, epoch: str = "now", uid: str = "alice") -> None:
    inbox_of(rig).cursors[Device("acme", uid, device)] = Cursor(offset, epoch, 0)


def live(device: str | None, acknowledged: int | None) -> Found:
    return Found("a" * 16, device, 1, "", "", acknowledged, acknowledged)


def test_a_message_that_is_kept_and_who_has_it(rig: Rig) -> None:
    rig.push(user="alice", qos="reliable", id="before")
    pushed = rig.push(user="alice", qos="reliable", ttl=60, id="order-7").json()
    store(rig, "behind", 1)
    store(rig, "there", 2)
    store(rig, "of-another-epoch", 9, "past")
    store(rig, "ahead-of-what-is-stored", 0)
    store(rig, "of-somebody-else", 2, uid="bob")
    rig.questions.replies = [
        ("here", Sessions([live("ahead-of-what-is-stored", 2), live(None, None)])),
        ("there", Sessions([live("brand-new", 0)])),
    ]
    answer: dict[str, Any] = ask(rig, pushed["id"], user="alice", offset=pushed["offset"]).json()
    assert answer.pop("expires") == answer.pop("accepted") // 1000 + 60
    assert answer == {
        "id": "order-7",
        "offset": 2,
        "state": "kept",
        "devices": [
            {"device": "ahead-of-what-is-stored", "acknowledged": True, "cursor": 2, "connected": True},
            {"device": "behind", "acknowledged": False, "cursor": 1, "connected": False},
            {"device": "brand-new", "acknowledged": False, "cursor": 0, "connected": True},
            {"device": "of-another-epoch", "acknowledged": False, "cursor": None, "connected": False},
            {"device": "there", "acknowledged": True, "cursor": 2, "connected": False},
        ],
        "missing": [],
    }
    assert rig.questions.asked == [Find("acme", "alice")]
    rig.questions.missing = ["there"]
    with_less = ask(rig, "order-7", user="alice", offset=2).json()
    assert with_less["missing"] == ["there"]
    connected = [each["connected"] for each in with_less["devices"]]
    assert connected == [True, None, True, None, None], "of those that were not found nobody knows"


def test_of_a_push_to_many_each_users_entry_is_found_by_the_highest_offset(rig: Rig) -> None:
    pushed = rig.push(users=["a", "b", "c"], qos="reliable").json()
    rig.push(user="a", qos="reliable")
    assert pushed["offset"] == 3
    for place, user in enumerate("abc", 1):
        answer = ask(rig, pushed["id"], user=user, offset=3).json()
        assert (answer["state"], answer["offset"]) == ("kept", place)
    assert ask(rig, pushed["id"], user="d", offset=3).json()["state"] == "gone"


def test_it_is_looked_for_in_long_logs_too(rig: Rig) -> None:
    first = rig.push(users=["a"], qos="reliable", id="first").json()
    for number in range(200):
        rig.push(user="a", qos="reliable", id=f"n{number}")
    rig.push(user="b", qos="reliable", id="b")
    assert ask(rig, "first", user="a", offset=202).json()["offset"] == first["offset"]
    inbox_of(rig).newest_offset = 10_000
    assert ask(rig, "first", user="a", offset=BEFORE + 1).json()["state"] == "gone", "no further than that"


def test_one_that_is_narrowed_to_a_device(rig: Rig) -> None:
    rig.push(user="alice", device="phone", qos="reliable", id="i")
    store(rig, "phone", 1)
    store(rig, "tablet", 0)
    assert [each["device"] for each in ask(rig, "i", user="alice", offset=1).json()["devices"]] == ["phone"]


def test_one_that_is_gone(rig: Rig) -> None:
    store(rig, "phone", 7)
    answer = ask(rig, "i", user="alice", offset=7).json()
    assert (answer["state"], answer["accepted"], answer["expires"]) == ("gone", None, None)
    assert answer["devices"][0]["acknowledged"] is True


def test_one_that_cannot_have_been(rig: Rig) -> None:
    rig.push(user="alice", qos="reliable", id="i")
    rig.push(everyone=True, qos="reliable", id="all")
    for query in ({"user": "alice", "offset": 1}, {"user": "alice", "offset": 2}, {"everyone": "true", "offset": 2}):
        is_problem(ask(rig, "another", **query), 404, "not_found")
    is_problem(ask(rig, "i", user="alice", offset=1001), 404, "not_found")
    assert ask(rig, "i", user="bob", offset=1).json()["state"] == "gone", "another user's log says nothing"


def test_one_to_everyone_has_counts(rig: Rig) -> None:
    rig.push(everyone=True, qos="reliable", id="all")
    rig.questions.replies = [("here", Reached(2, 10, 4)), ("there", Reached(1, 3, 3))]
    answer = ask(rig, "all", everyone="true", offset=1).json()
    assert (answer["state"], answer["connected"]) == ("kept", {"devices": 13, "acknowledged": 7})
    assert "devices" not in answer
    asked: list[Question] = [Reach("acme", 1)]
    assert rig.questions.asked == asked


WRONG: list[tuple[str, str, list[str]]] = [
    ("i", "", ["offset"]),
    ("i", "user=a", ["offset"]),
    ("i", "user=a&offset=0", ["offset"]),
    ("i", "user=a&offset=-1", ["offset"]),
    ("i", "user=a&offset=1.5", ["offset"]),
    ("i", "user=a&offset=%D9%A1", ["offset"]),
    ("i", "user=a&offset=9007199254740992", ["offset"]),
    ("i", "user=a&offset=" + "9" * 5000, ["offset"]),
    ("i", "user=a&offset=1&offset=1", ["offset"]),
    ("i", "offset=1", ["user"]),
    ("i", "user=a&everyone=true&offset=1", ["user"]),
    ("i", "user=&offset=1", ["user"]),
    ("i", "user=%00&offset=1", ["user"]),
    ("i", f"user={'x' * 256}&offset=1", ["user"]),
    ("i", "everyone=false&offset=1", ["everyone"]),
    ("%00", "user=a&offset=1", ["id"]),
    ("%C3%A9", "user=a&offset=1", ["id"]),
    ("x" * 129, "user=a&offset=1", ["id"]),
    ("i", "user=%FF&offset=1", []),
    ("i", "user=%zz&offset=1", []),
    ("i", "&".join(f"n{number}=1" for number in range(20)), []),
]


@pytest.mark.parametrize(("id", "query", "fields"), WRONG)
def test_what_is_no_question(rig: Rig, id: str, query: str, fields: list[str]) -> None:
    problem = is_problem(rig.http.get(f"/v1/messages/{id}?{query}"), 400, "bad_request")
    assert [error["field"] for error in problem.get("errors", [])] == fields


@pytest.mark.parametrize("id", ["a/b", "a b", "%", "?&#", "..", "~!'()*"])
def test_any_id_can_stand_in_the_path(rig: Rig, id: str) -> None:
    rig.push(user="a/b c+d", qos="reliable", id=id)
    path = quote(id, safe="").replace(".", "%2E")
    answer = rig.http.get(f"/v1/messages/{path}?user={quote('a/b c+d', safe='')}&offset=1").json()
    assert (answer["id"], answer["state"]) == (id, "kept")


def test_when_the_inbox_is_away_or_there_is_none(rig: Rig) -> None:
    inbox_of(rig).away = True
    is_problem(ask(rig, "i", user="a", offset=1), 503, "inbox_unavailable")
    rig.context.inbox = None
    is_problem(ask(rig, "i", user="a", offset=1), 409, "no_inbox")
