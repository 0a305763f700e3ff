"""The properties hold for what fuzzing begins with, and for some of what hypothesis thinks of; `make fuzz` goes on."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz import lobby_target, message_targets, wire_targets

TARGETS = wire_targets.TARGETS | message_targets.TARGETS | lobby_target.TARGETS


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.__name__)
def test_targets(target: Callable[[bytes], None]) -> None:
    for seed in TARGETS[target]:
        target(seed)
        for end in range(len(seed)):
            target(seed[:end])

    @given(st.binary(max_size=64))
    def any_bytes(data: bytes) -> None:
        target(data)

    any_bytes()


def test_a_wrong_reader_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire_targets, "read_single", lambda buffer, size: (1, b"hullo") if size == 11 else None)
    with pytest.raises(AssertionError):
        wire_targets.frames(b"\x00\x00\x04\x81\x85\x00\x00\x00\x00hello")
