"""Any body at all gets a 2xx or a problem that is the caller's."""

import json
import math
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import fields

from pushgate.api.bodies import BodyReader
from pushgate.api.push import PushRoute, to_push
from pushgate.api.rules import MAX_SAFE_INTEGER, unsafe_number
from pushgate.api.schemas import PushBody
from pushgate.errors import Problem
from pushgate.messages.push import Push, decode_push, encode_push

NAMES = [info.encode_name for info in fields(PushBody)]

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
likely = st.sampled_from(["a", "", "\x00", "reliable", "live", ["a"], [], True, False, 1, 0, None, "QUE="])
bodies = st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=8), likely | values, max_size=6)
read = BodyReader(PushBody).read


def outcome(body: bytes) -> Push | Problem:
    try:
        return to_push("t", read(body))
    except Problem as problem:
        return problem


@given(bodies)
@settings(max_examples=500, suppress_health_check=[HealthCheck.too_slow])
def test_any_object(body: dict[str, Any]) -> None:
    push = outcome(json.dumps(body).encode())
    if isinstance(push, Push):
        assert decode_push(encode_push(push)) == push
        assert (push.uids is None) == (body.get("everyone") is True)
    else:
        assert push.status == 400
        assert push.errors


@given(st.binary(max_size=200) | st.text().map(str.encode))
def test_any_bytes(body: bytes) -> None:
    assert isinstance(outcome(body), Problem)


@given(bodies, st.integers(0, 200), st.binary(min_size=1, max_size=3))
def test_broken_objects(body: dict[str, Any], at: int, damage: bytes) -> None:
    text = json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")
    outcome(text[:at] + damage + text[at + len(damage) :])


def is_safe(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(is_safe, value.values()))
    if isinstance(value, list):
        return all(map(is_safe, value))
    if isinstance(value, float):
        return math.isfinite(value)
    return not isinstance(value, int) or abs(value) <= MAX_SAFE_INTEGER


@given(values, st.sampled_from([None, 1]))
@settings(max_examples=500)
def test_unsafe_numbers_are_found(value: Any, indent: int | None) -> None:
    text = json.dumps(value, indent=indent).encode()
    assert (unsafe_number(text) is None) == is_safe(value)


numbers = st.from_regex(rb"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,5})?", fullmatch=True)


@given(numbers)
@settings(max_examples=500)
def test_numbers_as_they_are_written(number: bytes) -> None:
    assert (unsafe_number(b"[" + number + b"]") is None) == is_safe(json.loads(number))


def test_the_route_is_what_the_protocol_takes_it_for() -> None:
    """The protocol starts the coroutine by hand; it must be one."""
    assert PushRoute.push.__code__.co_flags & 0x80
