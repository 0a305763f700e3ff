from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushgate.messages.push import decode_push, encode_push
from pushgate.messages.questions import (
    Answer,
    Ask,
    Closed,
    Count,
    Counted,
    Find,
    Found,
    Here,
    Kick,
    Node,
    Overview,
    Sessions,
    Word,
    decode_word,
    encode_word,
)
from tests.messages.test_push import pushes

numbers = st.integers(0, 2**53)
nodes = st.builds(Node, st.text(), st.integers(0, 2**64 - 1))
questions = st.one_of(
    st.builds(Find, st.text(), st.text()),
    st.builds(Kick, st.text(), st.text(), st.none() | st.text()),
    st.builds(Count, st.text()),
)
found = st.builds(Found, st.text(), st.none() | st.text(), numbers, st.text(), st.text())
counts = [numbers, numbers, numbers, numbers, st.floats(0, 1e9), st.floats(0, 1e9)]
overviews = st.builds(
    Overview,
    *[numbers] * 3,
    *[st.floats(0, 1e9)] * 2,
    *[st.booleans()] * 2,
    numbers,
    st.none() | numbers,
    st.lists(st.text()),
)
replies = st.one_of(
    st.builds(Sessions, st.lists(found)),
    st.builds(Closed, numbers),
    st.builds(Counted, st.text(), numbers, st.booleans(), *counts, st.none() | overviews),
)
ids = st.integers(0, 2**64 - 1)
words: st.SearchStrategy[Word] = st.one_of(
    st.builds(Ask, ids, nodes, st.integers(0, 255), questions),
    st.builds(Answer, ids, nodes, replies),
    st.builds(Here, nodes, st.booleans()),
)


@given(words)
def test_a_word_survives_the_bus_and_is_no_push(word: Word) -> None:
    payload = encode_word(word)
    assert decode_word(payload) == word
    with pytest.raises(ValueError, match="not a push"):
        decode_push(payload)


@given(pushes)
def test_a_push_is_no_word(push: Any) -> None:
    with pytest.raises(ValueError, match="not a word"):
        decode_word(encode_push(push))


@given(st.binary())
def test_anything_else_is_told_by_a_value_error(payload: bytes) -> None:
    with pytest.raises(ValueError, match="not a word"):
        decode_word(payload)


@given(words)
def test_neighbouring_versions_read_each_other(word: Word) -> None:
    fields = msgspec.msgpack.decode(encode_word(word))
    assert decode_word(msgspec.msgpack.encode({**fields, "a_field": "of the future"})) == word


def test_what_older_nodes_tell_is_read() -> None:
    old = {"type": "counted", "version": "0.1", "workers": 2, "ready": True, "connections": 3, "users": 2}
    old |= {"pushes": 1, "delivered": 1, "pushes_per_second": 0.5, "delivered_per_second": 0.5}
    answer = {"type": "answer", "id": 1, "node": ["n", 2], "reply": old}
    read = decode_word(msgspec.msgpack.encode(answer))
    assert read == Answer(1, Node("n", 2), Counted("0.1", 2, True, 3, 2, 1, 1, 0.5, 0.5, None))


def test_an_overview_of_the_future_is_read() -> None:
    overview = Overview(1, 2, 3, 4.0, 5.0, False, True, 1, None, ["why"])
    word = Answer(1, Node("n", 2), Counted("0.1", 2, True, 3, 2, 1, 1, 0.5, 0.5, overview))
    fields = msgspec.msgpack.decode(encode_word(word))
    fields["reply"]["overview"]["a_field"] = "of the future"
    assert decode_word(msgspec.msgpack.encode(fields)) == word


def test_sessions_and_nodes_of_the_future_are_read() -> None:
    reply = {"type": "sessions", "sessions": [["s", "d", 1, "a", "b", 7, 5, "new"]]}
    answer = {"type": "answer", "id": 1, "node": ["n", 2, "new"], "reply": reply}
    assert decode_word(msgspec.msgpack.encode(answer)) == Answer(
        1, Node("n", 2), Sessions([Found("s", "d", 1, "a", "b", 7, 5)])
    )
