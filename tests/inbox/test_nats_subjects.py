import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushgate.inbox.base import EVERYONE, Device
from pushgate.inbox.nats_subjects import CursorSubjects, Subjects, message_id, uid_header

SUBJECTS = Subjects("p", "acme")
CURSORS = CursorSubjects("p")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=255)
LEGAL = re.compile(r"[A-Za-z0-9_+.-]+")


@given(TEXT, TEXT)
def test_any_uid_and_key_make_a_legal_subject_and_the_uid_comes_back(uid: str, key: str) -> None:
    headers = b"NATS/1.0\r\nNats-Msg-Id: x\r\n" + uid_header(uid) + b"\r\n"
    for subject in (SUBJECTS.log(uid), SUBJECTS.collapsed(uid, key)):
        assert LEGAL.fullmatch(subject)
        assert all(0 < len(token) <= 255 for token in subject.split("."))
        assert SUBJECTS.uid_of(subject.encode(), headers) == uid
    assert len(SUBJECTS.log(uid).split(".")) == 5
    assert len(SUBJECTS.collapsed(uid, key).split(".")) == 6


def test_everyones_log_is_no_users() -> None:
    assert SUBJECTS.log(EVERYONE) == "p.inbox.acme.all.e"
    assert SUBJECTS.uid_of(b"p.inbox.acme.all.e", b"") == EVERYONE
    assert SUBJECTS.uid_of(SUBJECTS.collapsed(EVERYONE, "key").encode(), b"") == EVERYONE
    assert SUBJECTS.place_of(SUBJECTS.log(EVERYONE)) == "all"
    assert SUBJECTS.log("e") != SUBJECTS.log(EVERYONE)


@given(st.lists(st.tuples(TEXT, TEXT), unique=True, min_size=2, max_size=2))
def test_different_ids_and_logs_are_different(pairs: list[tuple[str, str]]) -> None:
    (uid, own_id), (other, other_id) = pairs
    assert message_id(uid, own_id) != message_id(other, other_id)
    assert (SUBJECTS.log(uid) == SUBJECTS.log(other)) == (uid == other)
    assert (SUBJECTS.collapsed(uid, own_id) == SUBJECTS.collapsed(uid, other_id)) == (own_id == other_id)


@pytest.mark.parametrize(("uid", "hashed"), [("x" * 190, False), ("x" * 191, True), ("\U0001f388" * 255, True)])
def test_a_long_uid_is_hashed_and_stands_in_a_header(uid: str, hashed: bool) -> None:
    token = SUBJECTS.log(uid).rpartition(".")[2]
    assert token.startswith("h" if hashed else "u")
    assert bool(uid_header(uid)) == hashed


def test_what_is_followed() -> None:
    assert SUBJECTS.followed(range(256)) == ["p.inbox.acme.>"]
    assert SUBJECTS.followed([3, 7]) == ["p.inbox.acme.all.>", "p.inbox.acme.3.>", "p.inbox.acme.7.>"]
    assert SUBJECTS.followed([]) == ["p.inbox.acme.all.>"]


def test_streams_of_a_prefix_and_a_tenant_never_have_the_name_of_others() -> None:
    names = [Subjects("a", "b-c").stream, Subjects("a-b", "c").stream, CursorSubjects("a").stream]
    names += [Subjects("a", "cursors").stream, Subjects("a", "inbox").stream]
    assert len(set(names)) == len(names)


@given(TEXT, st.from_regex(r"[A-Za-z0-9._:-]{1,64}", fullmatch=True))
def test_any_device_makes_a_legal_subject_and_its_name_comes_back(uid: str, name: str) -> None:
    subject = CURSORS.cursor(Device("acme", uid, name))
    assert LEGAL.fullmatch(subject)
    assert CURSORS.device_of(subject.encode()) == name
    assert subject.rpartition(".")[0] + ".*" == CURSORS.of_user("acme", uid)
