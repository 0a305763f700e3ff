import socket

import pytest

from pushgate.node.loop import Loop
from tests.node.conftest import Clock


def test_actions_run_when_they_are_due_the_earliest_first(clock: Clock) -> None:
    loop, done = Loop(), list[str]()
    loop.after(2.0, lambda: done.append("second"))
    loop.after(1.0, lambda: done.append("first"))
    loop.after(5.0, lambda: done.append("third"))
    assert loop._patience() == 1.0
    clock.advance(0.0, loop)
    assert done == []
    clock.advance(2.0, loop)
    assert done == ["first", "second"]
    assert loop._patience() == 3.0
    clock.advance(10.0, loop)
    assert done == ["first", "second", "third"]
    assert loop._patience() is None


def test_an_action_may_arm_another(clock: Clock) -> None:
    loop, done = Loop(), list[str]()
    loop.after(0.0, lambda: loop.after(1.0, lambda: done.append("the other")))
    clock.advance(0.0, loop)
    assert loop._patience() == 1.0
    clock.advance(1.0, loop)
    assert done == ["the other"]


def test_what_a_file_brings_comes_before_what_is_due_and_ends_with_unwatch(clock: Clock) -> None:
    loop, done = Loop(), list[str]()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        loop.watch(ours, lambda: done.append("file"))
        clock.advance(0.0, loop)
        assert done == []
        theirs.send(b"!")
        loop.after(0.0, lambda: done.append("due"))
        loop.turn()
        assert done == ["file", "due"]
        theirs.close()
        clock.advance(0.0, loop)
        assert done == ["file", "due", "file"], "the other side is gone"
        loop.unwatch(ours)
        clock.advance(0.0, loop)
        assert len(done) == 3
        with pytest.raises(KeyError):
            loop.unwatch(ours)
