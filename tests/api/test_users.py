"""What can be asked of users, and done to them; who answers are fakes."""

from typing import Any
from urllib.parse import quote

import httpx
import pytest

from pushgate.errors import BusUnavailable
from pushgate.messages.questions import Closed, Find, Found, Kick, Sessions
from tests.api.rig import AUTH, KEY, Rig
from tests.api.test_routes import is_problem

SESSION = "00f100f100f100f1"
PATHS = [("GET", "/v1/users/{}"), ("DELETE", "/v1/users/{}/sessions"), ("DELETE", "/v1/users/{}/sessions/" + SESSION)]


def found(session: str, since: int, device: str | None = None) -> Found:
    return Found(session, device, since, "203.0.113.7", "Mozilla/5.0")


def test_a_users_sessions_on_all_nodes_the_oldest_first(rig: Rig) -> None:
    rig.questions.replies = [
        ("here", Sessions([found("b" * 16, 20, "phone"), found("c" * 16, 30)])),
        ("there", Sessions([found("a" * 16, 10)])),
    ]
    response = rig.http.get("/v1/users/alice")
    assert response.status_code == 200
    answer: dict[str, Any] = response.json()
    assert [(each["node"], each["session"], each["device"]) for each in answer.pop("sessions")] == [
        ("there", "a" * 16, None),
        ("here", "b" * 16, "phone"),
        ("here", "c" * 16, None),
    ]
    assert answer == {"user": "alice", "online": True, "missing": []}
    assert rig.questions.asked == [Find("acme", "alice")]
    session = rig.http.get("/v1/users/alice").json()["sessions"][0]
    assert session.keys() == {"session", "device", "node", "since", "address", "agent", "sent", "acknowledged"}
    assert (session["since"], session["address"], session["agent"]) == (10, "203.0.113.7", "Mozilla/5.0")
    assert (session["sent"], session["acknowledged"]) == (None, None)


def test_how_far_a_device_has_come(rig: Rig) -> None:
    rig.questions.replies = [("here", Sessions([Found(SESSION, "phone", 1, "", "", 47, 44)]))]
    session = rig.http.get("/v1/users/alice").json()["sessions"][0]
    assert (session["sent"], session["acknowledged"]) == (47, 44)


def test_a_user_whom_nobody_holds_is_offline(rig: Rig) -> None:
    assert rig.http.get("/v1/users/nobody").json() == {
        "user": "nobody",
        "online": False,
        "sessions": [],
        "missing": [],
    }


def test_nobody_knows_of_a_user_while_a_node_is_missing(rig: Rig) -> None:
    rig.questions.missing = ["there"]
    answer = rig.http.get("/v1/users/alice").json()
    assert (answer["online"], answer["missing"]) == (None, ["there"])
    rig.questions.replies = [("here", Sessions([found(SESSION, 1)]))]
    answer = rig.http.get("/v1/users/alice").json()
    assert (answer["online"], answer["missing"]) == (True, ["there"])


UIDS = ["alice", "a/b", "/", "//a//", "*", ">", ".", "..", "a b", " ", "%2F", "%", "é😀\u2028", "?#&=+;,"]
LONGEST = ["x" * 255, "😀" * 255]


@pytest.mark.parametrize("uid", UIDS + LONGEST)
@pytest.mark.parametrize(("method", "path"), PATHS)
def test_any_uid_can_stand_in_a_path(rig: Rig, method: str, path: str, uid: str) -> None:
    rig.questions.replies = [("here", Sessions([])), ("here", Closed(1))]
    encoded = quote(uid, safe="").replace(".", "%2E")  # as dots, most clients would resolve them
    response = rig.http.request(method, path.format(encoded))
    assert response.status_code == 200, response.text
    [asked] = rig.questions.asked
    assert isinstance(asked, Find | Kick)
    assert (asked.tenant, asked.uid) == ("acme", uid)
    if method == "GET":
        assert response.json()["user"] == uid


@pytest.mark.parametrize("uid", [b".", b"..", b"~", b"a;b=c", b"*", b"+", b"%2e%2E", b"a:b@c"])
def test_a_uid_is_taken_as_it_stands(rig: Rig, uid: bytes) -> None:
    caller = rig.connect()
    caller.send(b"GET /v1/users/%b?x=y HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %b\r\n\r\n" % (uid, KEY.encode()))
    assert caller.read()[0] == 200
    caller.close()
    assert rig.questions.asked == [Find("acme", uid.replace(b"%2e%2E", b"..").decode())]


@pytest.mark.parametrize(
    ("uid", "says"),
    [
        ("x" * 256, "a string of 256 characters"),
        ("a%00", "control"),
        ("%0A", "control"),
        ("%7F", "control"),
        ("%C2%85", "control"),
        ("%FF", "UTF-8"),
        ("%ED%A0%80", "UTF-8"),
        ("%C3", "UTF-8"),
        ("%zz", "UTF-8"),
        ("a%", "UTF-8"),
        ("%2", "UTF-8"),
    ],
)
@pytest.mark.parametrize(("method", "path"), PATHS)
def test_what_is_no_uid_is_told(rig: Rig, method: str, path: str, uid: str, says: str) -> None:
    caller = rig.connect()
    line = f"{method} {path.format(uid)} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n\r\n"
    status, headers, body = caller.send(line.encode()).read()
    caller.close()
    assert status == 400
    assert headers["content-type"] == "application/problem+json"
    assert '"field":"user","message":"expected ' in body.decode()
    assert says in body.decode()
    assert rig.questions.asked == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/users"),
        ("GET", "/v1/users/"),
        ("GET", "/v1/users/alice/"),
        ("GET", "/v1/users//alice"),
        ("DELETE", "/v1/users//sessions"),
        ("DELETE", "/v1/users/alice/sessions/"),
        ("DELETE", "/v1/users/alice//sessions"),
        ("DELETE", f"/v1/users//sessions/{SESSION}"),
        ("DELETE", f"/v1/users/alice/sessions/{SESSION}/"),
        ("DELETE", f"/v1/users/alice/sessions/{SESSION}/x"),
        ("GET", "/v1/users/alice/devices"),
        ("GET", "/v1/%75sers/alice"),
    ],
)
def test_a_path_with_an_empty_part_is_nothing(rig: Rig, method: str, path: str) -> None:
    """Least of all is it the path without that part: the kick of one session would be that of all."""
    caller = rig.connect()
    status, _, _ = caller.send(
        f"{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n\r\n".encode()
    ).read()
    caller.close()
    assert status == 404 or (status, method) == (405, "DELETE")
    assert rig.questions.asked == []


@pytest.mark.parametrize(("method", "path"), [("DELETE", "/v1/users/alice"), ("GET", "/v1/users/alice/sessions")])
def test_a_wrong_method(rig: Rig, method: str, path: str) -> None:
    is_problem(rig.http.request(method, path), 405, "method_not_allowed")


def test_kicking_a_user(rig: Rig) -> None:
    rig.questions.replies = [("here", Closed(2)), ("there", Closed(1))]
    response = rig.http.delete("/v1/users/alice/sessions")
    assert (response.status_code, response.json()) == (200, {"closed": 3, "missing": []})
    assert rig.questions.asked == [Kick("acme", "alice")]
    rig.questions.replies, rig.questions.missing = [("here", Closed(0))], ["there"]
    assert rig.http.delete("/v1/users/alice/sessions").json() == {"closed": 0, "missing": ["there"]}


def test_kicking_one_session(rig: Rig) -> None:
    path = f"/v1/users/alice/sessions/{SESSION}"
    is_problem(rig.http.delete(path), 404, "not_found")
    assert rig.questions.asked == [Kick("acme", "alice", SESSION)]
    rig.questions.replies = [("here", Closed(0)), ("there", Closed(1))]
    response = rig.http.delete(path)
    assert (response.status_code, response.json()) == (200, {"closed": 1, "missing": []})


def test_a_session_that_may_be_on_a_missing_node_is_not_said_to_be_none(rig: Rig) -> None:
    rig.questions.missing = ["there"]
    response = rig.http.delete(f"/v1/users/alice/sessions/{SESSION}")
    assert "there" in is_problem(response, 503, "unavailable")["detail"]
    assert response.headers["retry-after"] == "1"


@pytest.mark.parametrize("session", ["x", "00F100F100F100F1", "0" * 15, "0" * 17, "%00", "*"])
def test_what_is_no_session(rig: Rig, session: str) -> None:
    problem = is_problem(rig.http.delete(f"/v1/users/alice/sessions/{session}"), 400, "bad_request")
    assert [error["field"] for error in problem["errors"]] == ["session"]
    assert rig.questions.asked == []


ALL = [*((method, path.format("alice")) for method, path in PATHS), ("GET", "/v1/stats"), ("GET", "/v1/nodes")]


@pytest.mark.parametrize(("method", "path"), ALL)
def test_when_nobody_knows_the_answer_is_503(rig: Rig, method: str, path: str) -> None:
    rig.questions.missing = ["here"]
    response = rig.http.request(method, path)
    is_problem(response, 503, "unavailable")
    assert response.headers["retry-after"] == "1"
    rig.questions.error = BusUnavailable("the bus is away")
    response = rig.http.request(method, path)
    is_problem(response, 503, "bus_unavailable")
    assert response.headers["retry-after"] == "1"


@pytest.mark.parametrize(("method", "path"), ALL)
def test_it_needs_a_key(rig: Rig, method: str, path: str) -> None:
    with httpx.Client(base_url=rig.http.base_url) as http:
        for headers in ({}, {"authorization": "Bearer wrong"}):
            is_problem(http.request(method, path, headers=headers), 401, "unauthorized")
        twice = [("authorization", AUTH["authorization"])] * 2
        is_problem(http.request(method, path, headers=twice), 400, "bad_request")
    assert rig.questions.asked == []
