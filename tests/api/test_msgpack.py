"""Pushes in MessagePack."""

import datetime
import json
import math
from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw, msgpack
from msgspec.msgpack import Ext

from pushgate.api.bodies import Errors
from pushgate.api.push import FORMS, to_push
from pushgate.api.rules import MAX_NESTING
from pushgate.api.said import say_json, say_packed
from pushgate.api.schemas import PushBody
from pushgate.delivery.outgoing import Outgoing
from pushgate.errors import Problem
from pushgate.messages import json_codec, msgpack_codec
from pushgate.messages.formats import FORMATS
from pushgate.messages.push import Push
from pushgate.metrics.catalogue import PUSHES_REFUSED
from tests.api.rig import Rig
from tests.api.test_push import problem_of
from tests.messages.test_json_codec import values

KINDS = ["application/msgpack", "application/vnd.msgpack", "Application/MsgPack; v=5"]
PATHS = ["/v1/push", "/v1/push?by=litestar"]
pack = msgpack.encode


def send(rig: Rig, body: bytes, path: str = PATHS[0], kind: str = KINDS[0]) -> httpx.Response:
    return rig.http.post(path, content=body, headers={"content-type": kind})


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_push_is_taken_and_answered_in_its_type(rig: Rig, path: str, kind: str) -> None:
    body = {"user": "alice", "event": "comment", "data": {"text": "hi", "list": [1, 2.5, None, True]}, "tags": ["a"]}
    response = send(rig, pack(body), path, kind)
    assert response.status_code == 202
    assert response.headers["content-type"] == kind.lower().partition(";")[0]
    [push] = rig.bus.pushes
    assert msgpack.decode(response.content) == {"id": push.id}
    assert (push.tenant, push.uids, push.event, push.tags, push.binary) == ("acme", ["alice"], "comment", ["a"], False)
    assert json.loads(push.data) == body["data"]


def test_both_notations_on_one_connection(rig: Rig) -> None:
    for _ in range(2):
        assert send(rig, pack({"user": "a"})).headers["content-type"] == "application/msgpack"
        assert rig.push(user="a").headers["content-type"] == "application/json"


def test_bin_is_bytes_like_data_base64(rig: Rig) -> None:
    assert send(rig, pack({"user": "a", "data": b"\x00\xff"})).status_code == 202
    assert send(rig, pack({"user": "a", "data_base64": "AP8="})).status_code == 202
    assert send(rig, pack({"user": "a"})).status_code == 202
    assert [(push.data, push.binary) for push in rig.bus.pushes] == [
        (b"\x00\xff", True),
        (b"\x00\xff", True),
        (b"null", False),
    ]


BAD: list[tuple[str, Any, str]] = [
    ("data", math.nan, "finite"),
    ("data", -math.inf, "finite"),
    ("data.list[1]", {"list": [1, math.inf]}, "finite"),
    ("data", 2**53, "within ±(2^53 - 1)"),
    ("data[0]", [-(2**63)], "within ±(2^53 - 1)"),
    ("data.a.b[2].c", {"a": {"b": [0, 0, {"c": 2**64 - 1}]}}, "send a string"),
    ("data", {1: 2}, "keys that are strings, got int 1"),
    ("data[0]", [{b"a": 2}], "keys that are strings, got bytes"),
    ("data.a", {"a": {None: 2}}, "keys that are strings"),
    ("data.raw", {"raw": b"x"}, "got bytes"),
    ("data[1]", [0, Ext(5, b"x")], "got an extension"),
    ("data", Ext(5, b"x"), "got an extension"),
    ("data.at", {"at": datetime.datetime.now(datetime.UTC)}, "got a timestamp"),
]


@pytest.mark.parametrize(("field", "data", "says"), BAD, ids=lambda value: str(value)[:30])
@pytest.mark.parametrize("path", PATHS)
def test_what_json_cannot_carry_is_named(rig: Rig, path: str, field: str, data: Any, says: str) -> None:
    problem = problem_of(send(rig, pack({"user": "a", "data": data}), path), 400)
    [error] = problem["errors"]
    assert error["field"] == field
    assert says in error["message"]
    assert rig.bus.parcels == []


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\xa1\xff", "UTF-8"),
        (b"\xa3\xed\xa0\x80", "UTF-8"),
        (b"\x81\x80\xc0", "keys must be hashable"),
        (b"\xd7\xff" + b"\xff" * 8, "timestamp"),
        (b"\x91" * 5000 + b"\xc0", "within each other"),
    ],
    ids=["not utf-8", "surrogate", "map as key", "timestamp", "deep"],
)
def test_data_that_cannot_be_read(data: bytes, says: str) -> None:
    errors: Errors = []
    say_packed(Raw(data), errors)
    [(field, message)] = errors
    assert field == "data"
    assert says in message


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"user": 7}, ["user"]),
        ({"user": b"alice"}, ["user"]),
        ({"users": ["a", 7]}, ["users[1]"]),
        ({"user": "a", "ttl": 60.5}, ["ttl"]),
        ({"user": "a", "ttl": math.nan}, ["ttl"]),
        ({"user": "a", "ttl": 2**64 - 1}, ["ttl"]),
        ({"user": "a", "device": Ext(1, b"")}, ["device"]),
        ({"user": "a", "usr": b"x"}, ["usr"]),
        ({}, ["user"]),
        ({"user": "a", "everyone": True}, ["user", "everyone"]),
        ({"user": "a", "data": 1, "data_base64": ""}, ["data_base64"]),
    ],
    ids=lambda value: str(value)[:30],
)
def test_wrong_fields_are_named_like_those_of_json(rig: Rig, body: dict[str, Any], fields: list[str]) -> None:
    problem = problem_of(send(rig, pack(body)), 400)
    assert [error["field"] for error in problem["errors"]] == fields
    assert rig.bus.parcels == []


def test_a_field_that_is_not_utf8(rig: Rig) -> None:
    problem = problem_of(send(rig, b"\x81\xa4user\xa1\xff"), 400)
    assert [error["field"] for error in problem["errors"]] == ["user"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not MessagePack"),
        (b"\xc1", "not MessagePack"),
        (pack({"user": "a"})[:-1], "not MessagePack"),
        (pack({"user": "a", "data": [1, 2]})[:-1], "not MessagePack"),
        (pack({"user": "a"}) + b"\xc0", "not MessagePack"),
        (b"\x82\xa4user\xa1a\xa4data" + b"\xdd\xff\xff\xff\xff", "not MessagePack"),
        (b"\x82\xa4user\xa1a\xa4data" + b"\x91" * 100_000, "deeply"),
        (b"\x82\xa4user\x01\xa4data" + b"\x81\xa1a" * 100_000, "deeply"),
        (pack([]), "MessagePack object, got a list of 0"),
        (pack(b"abc"), "got 3 bytes"),
        (b'{"user":"a"}', "MessagePack"),
        (pack({1: 2}), "keys are strings"),
        (b"\x81\xa1\xff\xc0", "UTF-8"),
    ],
    ids=lambda value: str(value)[:30],
)
@pytest.mark.parametrize("path", PATHS)
def test_what_is_no_msgpack_map(rig: Rig, path: str, body: bytes, says: str) -> None:
    assert says in problem_of(send(rig, body, path), 400)["detail"]


def test_other_types_are_named_what_is_taken(rig: Rig) -> None:
    detail = problem_of(send(rig, b"", kind="application/x-msgpack"), 415)["detail"]
    assert "application/json or application/msgpack or application/vnd.msgpack" in detail
    assert rig.context.row[PUSHES_REFUSED["415"]] == 1


def test_tokens_are_asked_for_in_json(rig: Rig) -> None:
    problem = problem_of(send(rig, pack({"user": "a"}), "/v1/tokens"), 415)
    assert "application/json, got" in problem["detail"]


def outcome(body: bytes, kind: str = KINDS[0]) -> Push | Problem:
    form = FORMS[kind]
    try:
        return to_push("t", form.read(body), form.say)
    except Problem as problem:
        return problem


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.integers(-9, 9), inner, max_size=4),
    max_leaves=10,
)


@given(anything)
def test_any_data_reaches_json_and_msgpack_clients_as_the_same_value_or_is_refused(data: Any) -> None:
    push = outcome(pack({"user": "a", "data": data}))
    if isinstance(push, Problem):
        assert push.status == 400
        assert push.errors[0][0].startswith("data")
        return
    packed = msgpack.decode(msgpack_codec.encode_push(push))["data"]
    text = json.loads(json_codec.encode_push(push))
    assert repr(packed) == repr(data)
    assert isinstance(data, bytes) or repr(text["data"]) == repr(data)
    assert ("encoding" in text) == isinstance(data, bytes)


def nested(levels: int) -> Any:
    """A value of so many lists and maps within each other; a string in it has brackets, which are none."""
    value: Any = '"[{' * MAX_NESTING
    for level in range(levels):
        value = [value, [], {}] if level % 2 else {"[": value}
    return value


@pytest.mark.parametrize(("kind", "write"), [(KINDS[0], pack), ("application/json", msgspec.json.encode)])
def test_nesting_has_a_limit_and_what_is_within_it_goes_into_every_format(
    kind: str, write: Callable[[Any], bytes]
) -> None:
    push = outcome(write({"user": "a", "data": nested(MAX_NESTING)}), kind)
    assert isinstance(push, Push)
    for number in range(len(FORMATS)):
        assert b"undeliverable" not in Outgoing(push).fill(number)
    refused = outcome(write({"user": "a", "data": nested(MAX_NESTING + 1)}), kind)
    assert isinstance(refused, Problem)
    expected = f"expected at most {MAX_NESTING} lists and maps within each other, got more"
    assert refused.errors == (("data", expected),)


@given(values)
def test_data_of_both_notations_is_the_same(value: Any) -> None:
    errors: Errors = []
    packed, _ = say_packed(Raw(pack(value)), errors)
    text, _ = say_json(Raw(json.dumps(value).encode()), errors)
    assert errors or repr(json.loads(packed)) == repr(json.loads(text))


@given(st.binary(max_size=200) | anything.map(pack))
def test_any_bytes(body: bytes) -> None:
    assert isinstance(outcome(body), Problem)


@given(
    st.dictionaries(st.sampled_from(PushBody.__struct_fields__), anything, max_size=5), st.integers(0, 99), st.binary()
)
def test_broken_maps(body: dict[str, Any], at: int, damage: bytes) -> None:
    packed = pack(body)
    outcome(packed)
    outcome(packed[:at] + damage + packed[at + len(damage) :])
