from base64 import b64encode
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from pushgate.api.bodies import MAX_UNKNOWN
from pushgate.errors import BusUnavailable, Problem
from pushgate.messages.shard import shard_of
from pushgate.metrics.catalogue import PUSHES, PUSHES_REFUSED
from tests.api.rig import AUTH, Rig

JSON = {"content-type": "application/json"}


@pytest.fixture(params=["/v1/push", "/v1/push?by=litestar"])
def path(request: pytest.FixtureRequest) -> str:
    """The protocol answers the one, Litestar the other: both have to behave the same."""
    return str(request.param)


def problem_of(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem["status"] == status
    assert {"type", "title", "status", "detail", "code"} <= problem.keys()
    return problem


def test_a_push_to_a_user_goes_to_the_users_shard(rig: Rig, path: str) -> None:
    response = rig.http.post(path, json={"user": "alice", "event": "comment", "data": {"text": "hi"}})
    assert response.status_code == 202
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "date" in response.headers
    [parcel] = rig.bus.parcels
    [push] = rig.bus.pushes
    assert parcel.shard == shard_of("acme", "alice")
    assert (push.tenant, push.uids, push.event) == ("acme", ["alice"], "comment")
    assert push.data.replace(b" ", b"") == b'{"text":"hi"}'
    assert response.json() == {"id": push.id}
    assert rig.context.row[PUSHES["live", "user"]] == 1


def test_users_are_grouped_by_shard_without_doubles(rig: Rig) -> None:
    users = [f"user-{number}" for number in range(600)]
    assert rig.push(users=[*users, *users[:400]]).status_code == 202
    seen: list[str] = []
    for parcel, push in zip(rig.bus.parcels, rig.bus.pushes, strict=True):
        assert push.uids is not None
        assert {shard_of("acme", uid) for uid in push.uids} == {parcel.shard}
        assert push.uids == sorted(push.uids, key=users.index)
        seen += push.uids
    assert sorted(seen) == sorted(users)
    assert len({push.id for push in rig.bus.pushes}) == 1
    assert len({parcel.shard for parcel in rig.bus.parcels}) == len(rig.bus.parcels)
    assert rig.context.row[PUSHES["live", "users"]] == 1


def test_large_data_for_many_users_goes_out_once(rig: Rig) -> None:
    users = [f"user-{number}" for number in range(1000)]
    assert rig.push(users=users, data="x" * 3000).status_code == 202
    assert len(rig.bus.parcels) > 200
    rig.bus.parcels.clear()
    assert rig.push(users=users, data="x" * 6000).status_code == 202
    [parcel] = rig.bus.parcels
    [push] = rig.bus.pushes
    assert (parcel.shard, push.uids) == (None, users)
    rig.bus.parcels.clear()
    assert rig.push(users=users[:2], data="x" * 500_000).status_code == 202
    assert [parcel.shard is None for parcel in rig.bus.parcels] == [False, False]


def test_users_of_one_counts_as_users(rig: Rig) -> None:
    assert rig.push(users=["a", "a"]).status_code == 202
    assert rig.bus.pushes[0].uids == ["a"]
    assert rig.context.row[PUSHES["live", "users"]] == 1


def test_everyone_is_one_parcel_for_all(rig: Rig) -> None:
    assert rig.push(everyone=True, spread=10, tags=["beta"], data=None).status_code == 202
    [parcel] = rig.bus.parcels
    [push] = rig.bus.pushes
    assert parcel.shard is None
    assert push.uids is None
    assert (push.spread, push.tags, push.data) == (10.0, ["beta"], b"null")
    assert rig.context.row[PUSHES["live", "everyone"]] == 1


def test_what_narrows_is_passed_on(rig: Rig) -> None:
    rig.push(user="a", device="phone:1.b-2_C", tags=["x", "y"], except_session="00f100f100f100f1", id='a"\\ ~', ttl=5)
    [push] = rig.bus.pushes
    assert (push.device, push.tags, push.except_session) == ("phone:1.b-2_C", ["x", "y"], "00f100f100f100f1")
    assert (push.id, push.ttl, push.qos) == ('a"\\ ~', 5, "live")


def test_an_id_that_needs_escapes_comes_back(rig: Rig) -> None:
    assert rig.push(user="a", id='a"\\ ~').json() == {"id": 'a"\\ ~'}


def test_made_ids_are_unique_and_in_order_of_time(rig: Rig) -> None:
    ids = [rig.push(user="a").json()["id"] for _ in range(50)]
    assert len(set(ids)) == 50
    times = [made[:11] for made in ids]
    assert times == sorted(times)
    assert all(len(made) <= 32 for made in ids)


def test_data_is_not_touched(rig: Rig) -> None:
    data = b'{"b":1.50 , "a":[1e5,"\\u00e9\\ud83d\\ude00 \xc3\xa9"]}'
    body = b'{"user":"a","data": %b }' % data
    assert rig.http.post("/v1/push", content=body, headers=JSON).status_code == 202
    assert rig.bus.pushes[0].data == data


def test_bytes(rig: Rig) -> None:
    assert rig.push(user="a", data_base64=b64encode(bytes(range(256))).decode()).status_code == 202
    assert rig.push(user="a", data_base64="").status_code == 202
    assert [(push.binary, push.data) for push in rig.bus.pushes] == [(True, bytes(range(256))), (True, b"")]


def test_no_data_is_null(rig: Rig) -> None:
    assert rig.push(user="a", event="refresh").status_code == 202
    assert rig.bus.pushes[0].data == b"null"


GOOD: list[dict[str, Any]] = [
    {"user": "x" * 255},
    {"user": "*"},
    {"user": "a>/.b c"},
    {"user": "é\u2028\u00a0👩\u200d👩"},
    {"users": [f"{n}" for n in range(1000)]},
    {"user": "a", "event": "x" * 128},
    {"user": "a", "id": "x" * 128},
    {"user": "a", "device": "x" * 64},
    {"user": "a", "tags": ["x" * 64]},
    {"user": "a", "data": 2**53 - 1},
    {"user": "a", "data": -(2**53) + 1},
    {"user": "a", "data": "9" * 100},
    {"user": "a", "data": 1e308},
    {"user": "a", "data": {'1234567890123456789\\"': '\\" 1e999'}},
    {"everyone": True, "spread": 0},
    {"user": "a", "qos": "live"},
]


@pytest.mark.parametrize("body", GOOD, ids=lambda body: str(body)[:40])
def test_what_is_allowed(rig: Rig, body: dict[str, Any]) -> None:
    response = rig.push(**body)
    assert response.status_code == 202, response.text


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("user", {}, "exactly one of `user`, `users` and `everyone`, got none"),
    ("user", {"user": "a", "everyone": True}, "got `user` and `everyone`"),
    ("users", {"users": ["a"], "everyone": True}, "got `users` and `everyone`"),
    ("user", {"user": ""}, "1 to 255 characters"),
    ("user", {"user": "x" * 256}, "a string of 256 characters"),
    ("user", {"user": "a\n"}, "control"),
    ("user", {"user": "a\x7f"}, "control"),
    ("user", {"user": "a\x85"}, "control"),
    ("user", {"user": 5}, "got 5"),
    ("user", {"user": None}, "got null"),
    ("user", {"user": ["a"]}, "got a list of 1"),
    ("users", {"users": []}, "1 to 1,000 strings, got a list of 0"),
    ("users", {"users": ["a"] * 1001}, "got a list of 1001"),
    ("users", {"users": "a"}, 'got "a"'),
    ("users[1]", {"users": ["a", 3]}, "got 3"),
    ("users[2]", {"users": ["a", "b", ""]}, "got a string of 0"),
    ("users[1]", {"users": ["a", "b\x00"]}, "control"),
    ("everyone", {"everyone": False}, "expected true, got false"),
    ("everyone", {"everyone": 1}, "expected true, got 1"),
    ("everyone", {"everyone": "true"}, 'got "true"'),
    ("device", {"user": "a", "device": ""}, "1 to 64"),
    ("device", {"user": "a", "device": "x" * 65}, "1 to 64"),
    ("device", {"user": "a", "device": "a b"}, "1 to 64"),
    ("device", {"user": "a", "device": "a\n"}, "1 to 64"),
    ("device", {"user": "a", "device": "é"}, "1 to 64"),
    ("tags", {"user": "a", "tags": []}, "list of 1"),
    ("tags[0]", {"user": "a", "tags": [""]}, "1 to 64"),
    ("tags[0]", {"user": "a", "tags": ["\t"]}, "control"),
    ("except_session", {"user": "a", "except_session": ""}, "16 hexadecimal"),
    ("except_session", {"user": "a", "except_session": "00F100F100F100F1"}, "16 hexadecimal"),
    ("except_session", {"user": "a", "except_session": "00f100f100f100f1", "qos": "reliable"}, "live"),
    ("event", {"user": "a", "event": ""}, "1 to 128"),
    ("event", {"user": "a", "event": "x" * 129}, "1 to 128"),
    ("event", {"user": "a", "event": "\x1b"}, "control"),
    ("data_base64", {"user": "a", "data": 1, "data_base64": "AA=="}, "only one"),
    ("data_base64", {"user": "a", "data_base64": "A"}, "base64"),
    ("data_base64", {"user": "a", "data_base64": "AA"}, "base64"),
    ("data_base64", {"user": "a", "data_base64": "_-=="}, "base64"),
    ("data_base64", {"user": "a", "data_base64": "é"}, "base64"),
    ("data", {"user": "a", "data": 2**53}, "9007199254740992"),
    ("data", {"user": "a", "data": {"x": [-(2**53)]}}, "-9007199254740992"),
    ("data", {"user": "a", "data": ["1", 10**400]}, "1000"),
    ("qos", {"user": "a", "qos": "best"}, '"live" or "reliable", got "best"'),
    ("ttl", {"user": "a", "qos": "reliable", "ttl": 0}, "got 0"),
    ("ttl", {"user": "a", "qos": "reliable", "ttl": 366 * 86400 + 1}, "1 to 31622400"),
    (
        "ttl",
        {"user": "a", "qos": "reliable", "ttl": 7 * 86400 + 1},
        "expected a whole number of seconds, 1 to 604800, this tenant's limit, got 604801",
    ),
    ("ttl", {"user": "a", "ttl": True}, "got true"),
    ("ttl", {"user": "a", "ttl": 1.5}, "got 1.5"),
    ("ttl", {"user": "a", "ttl": "60"}, 'got "60"'),
    ("id", {"user": "a", "id": ""}, "1 to 128"),
    ("id", {"user": "a", "id": "x" * 129}, "1 to 128"),
    ("id", {"user": "a", "id": "é"}, "printable ASCII"),
    ("id", {"user": "a", "id": "a\n"}, "printable ASCII"),
    ("collapse", {"user": "a", "collapse": ""}, "1 to 128"),
    ("collapse", {"user": "a", "qos": "reliable", "collapse": "\x00"}, "control"),
    ("spread", {"user": "a", "spread": 5}, "everyone"),
    ("spread", {"everyone": True, "spread": 5, "qos": "reliable"}, "live"),
    ("spread", {"everyone": True, "spread": -1}, "0 to 3600"),
    ("spread", {"everyone": True, "spread": True}, "got true"),
    ("usr", {"usr": "a"}, "did you mean `user`?"),
    ("zzz", {"user": "a", "zzz": 1}, "no such field"),
    ("x" * 64, {"user": "a", "x" * 5000: 1}, "no such field"),
    ("qos", {"user": "a", "qos": "x - at `$[0]`"}, '"live" or "reliable"'),
]


@pytest.mark.parametrize(("field", "body", "says"), BAD, ids=lambda value: str(value)[:40])
def test_what_is_wrong_is_named(rig: Rig, field: str, body: dict[str, Any], says: str) -> None:
    problem = problem_of(rig.push(**body), 400)
    assert problem["code"] == "bad_request"
    messages = {error["field"]: error["message"] for error in problem["errors"]}
    assert says in messages[field]
    assert rig.bus.parcels == []
    assert rig.context.row[PUSHES_REFUSED["400"]] == 1


def test_several_wrong_fields_are_told_together(rig: Rig) -> None:
    wrong_types = problem_of(rig.push(user=1, ttl=True, colapse="x"), 400)
    assert [error["field"] for error in wrong_types["errors"]] == ["user", "ttl", "colapse"]
    wrong_values = problem_of(rig.push(user="a\x00", event="\x00", id="é", device="é", tags=["\x00"]), 400)
    assert [error["field"] for error in wrong_values["errors"]] == ["user", "event", "device", "tags[0]", "id"]


def test_of_many_unknown_fields_the_first_are_named(rig: Rig) -> None:
    problem = problem_of(rig.push(user=1, **{f"field{number}": 1 for number in range(5000)}), 400)
    assert [error["field"] for error in problem["errors"]] == ["user", *(f"field{n}" for n in range(MAX_UNKNOWN))]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'{"user":"a"} x', "not JSON"),
        (b'{"user":"a","data":NaN}', "not JSON"),
        (b'{"user":"a","data":"\x01"}', "not JSON"),
        (b'{"user":"a","data":"\\ud800"}', "not JSON"),
        (b'\xef\xbb\xbf{"user":"a"}', "not JSON"),
        (b"[]", "JSON object"),
        (b"null", "JSON object"),
        (b'{"user":"a","data":"\xff"}', "UTF-8"),
        (b'{"user":"\xff"}', "UTF-8"),
        (b'{"\xff":1}', "UTF-8"),
        (b'{"user":"a","data":' + b"[" * 100_000, "deeply"),
        (b'{"user":1,"data":' + b"[" * 100_000, "deeply"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_no_json_object(rig: Rig, path: str, body: bytes, says: str) -> None:
    assert says in problem_of(rig.http.post(path, content=body, headers=JSON), 400)["detail"]


def test_numbers_too_long_for_python_are_refused(rig: Rig) -> None:
    for field in (b"ttl", b"spread", b"data", b"user"):
        body = b'{"everyone":true,"%b":%b}' % (field, b"9" * 20_000)
        errors = problem_of(rig.http.post("/v1/push", content=body, headers=JSON), 400)["errors"]
        assert field.decode() in [error["field"] for error in errors]


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Basic abc", "Bearer", "", "key-of-acme"])
def test_without_a_key(rig: Rig, path: str, header: str | None) -> None:
    headers = {} if header is None else {"authorization": header}
    with httpx.Client(base_url=rig.http.base_url) as http:
        response = http.post(path, json={"user": "a"}, headers=headers)
    assert problem_of(response, 401)["code"] == "unauthorized"
    assert response.headers["www-authenticate"] == "Bearer"
    assert "key-of-acme" not in response.text
    assert rig.context.row[PUSHES_REFUSED["401"]] == 1


def test_the_scheme_has_no_case(rig: Rig) -> None:
    headers = {"authorization": AUTH["authorization"].replace("Bearer", "bEARER ")}
    assert rig.http.post("/v1/push", json={"user": "a"}, headers=headers).status_code == 202


@pytest.mark.parametrize("header", ["authorization", "content-type"])
def test_two_of_a_header(rig: Rig, path: str, header: str) -> None:
    value = {"authorization": AUTH["authorization"], "content-type": "application/json"}[header]
    headers = [(header, value), (header, value)]
    if header == "authorization":
        headers.append(("content-type", "application/json"))
        with httpx.Client(base_url=rig.http.base_url) as http:
            response = http.post(path, content=b'{"user":"a"}', headers=headers)
    else:
        response = rig.http.post(path, content=b'{"user":"a"}', headers=headers)
    assert header in problem_of(response, 400)["detail"]


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON", "application/json;a=b"])
def test_json_by_its_other_names(rig: Rig, path: str, kind: str) -> None:
    response = rig.http.post(path, content=b'{"user":"a"}', headers={"content-type": kind})
    assert response.status_code == 202


@pytest.mark.parametrize("kind", ["text/plain", "application/x-msgpack", "application/jsonx", "", None])
def test_other_types(rig: Rig, path: str, kind: str | None) -> None:
    headers = {} if kind is None else {"content-type": kind}
    assert problem_of(rig.http.post(path, content=b'{"user":"a"}', headers=headers), 415)
    assert rig.context.row[PUSHES_REFUSED["415"]] == 1


def test_the_size_limit(make_rig: Callable[..., Rig], path: str) -> None:
    rig = make_rig(max_body=2000)
    fits = b'{"user":"a","data":"' + b"x" * (2000 - 22) + b'"}'
    assert len(fits) == 2000
    assert rig.http.post(path, content=fits, headers=JSON).status_code == 202
    assert problem_of(rig.http.post(path, content=fits + b" ", headers=JSON), 413)["code"] == "too_large"
    chunks = (fits[at : at + 100] for at in range(0, 2000, 100))
    assert rig.http.post(path, content=chunks, headers=JSON).status_code == 202
    chunks = ((fits + b" ")[at : at + 100] for at in range(0, 2001, 100))
    assert problem_of(rig.http.post(path, content=chunks, headers=JSON), 413)
    assert rig.context.row[PUSHES_REFUSED["413"]] == 2


@pytest.mark.parametrize("stalling", [False, True])
def test_the_bus_is_away(rig: Rig, path: str, stalling: bool) -> None:
    rig.bus.error = BusUnavailable("the bus is away")
    rig.bus.stalling = stalling
    if stalling:
        rig.loop.call_soon_threadsafe(rig.loop.call_later, 0.05, _release, rig)
    response = rig.http.post(path, json={"user": "a"})
    assert problem_of(response, 503)["code"] == "bus_unavailable"
    assert int(response.headers["retry-after"]) >= 1
    assert rig.context.row[PUSHES_REFUSED["503"]] == 1


def _release(rig: Rig) -> None:
    for future in rig.bus.waiting:
        future.set_result(None)


def test_a_push_over_the_limit_of_the_bus(rig: Rig, path: str) -> None:
    rig.bus.error = Problem("too_large", "9 bytes on the bus, which takes 8")
    assert problem_of(rig.http.post(path, json={"user": "a"}), 413)


def test_a_fault_of_ours_tells_nothing(rig: Rig, path: str, capfd: pytest.CaptureFixture[str]) -> None:
    rig.bus.error = ZeroDivisionError("a secret detail")
    response = rig.http.post(path, json={"user": "a"})
    assert problem_of(response, 500)["code"] == "internal_error"
    assert "secret" not in response.text
    assert "Traceback" not in response.text
    assert rig.context.row[PUSHES_REFUSED["other"]] == 1
    assert "a secret detail" in "".join(capfd.readouterr())
