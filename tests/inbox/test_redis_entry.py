"""Entries and cursors as Redis has them."""

import pytest

from pushgate.inbox import Cursor, Draft, Entry
from pushgate.inbox.redis_entry import pack_draft, root_key, tenant_key, unpack_cursor, unpack_entry


@pytest.mark.parametrize("key", [None, "", "a key", "k" * 100_000])
@pytest.mark.parametrize("uid", ["", "alice", "\U0001f388" * 255])
def test_an_entry_comes_back_as_it_was(uid: str, key: str | None) -> None:
    *_, record = pack_draft(Draft(uid, "id", b"pay load \xff", 60, key))
    assert isinstance(record, bytes)
    assert unpack_entry("acme", b"9007199254740991 " + record) == Entry("acme", uid, 2**53 - 1, b"pay load \xff")


def test_no_key_is_told_from_an_empty_one() -> None:
    assert pack_draft(Draft("u", "id", b"", 60, ""))[3] == "="
    assert pack_draft(Draft("u", "id", b"", 60))[3] == ""


def test_a_cursor_is_good_until_it_runs_out() -> None:
    assert unpack_cursor(b"7 e1 1000", 999) == Cursor(7, "e1", 1000)
    assert unpack_cursor(b"7 e1 1000", 1000) is None
    assert unpack_cursor(None, 0) is None


def test_all_keys_of_a_gateway_share_a_hash_tag() -> None:
    assert root_key("p") == "{p}:inbox"
    assert tenant_key("p", "acme") == "{p}:inbox:acme"
