import os
import socket

import pytest

from pushgate.node.control import (
    CHANNELS,
    HAND_OVER,
    READY,
    RELOAD,
    STOP,
    Channels,
    Said,
    hear,
    open_control,
    packets_of,
    say,
)


def test_words_are_heard_one_by_one_and_the_end_is_heard() -> None:
    ours, theirs = open_control()
    with theirs:
        with ours:
            say(ours, STOP)
            say(ours, READY, b"body")
            assert hear(theirs) == Said(STOP, b"", [])
            assert hear(theirs) == Said(READY, b"body", [])
            with pytest.raises(BlockingIOError):
                hear(theirs)
        assert hear(theirs) is None


def test_a_descriptor_comes_with_its_word() -> None:
    ours, theirs = open_control()
    with ours, theirs:
        say(ours, STOP)
        say(ours, RELOAD, files=[ours.fileno()])
        assert hear(theirs) == Said(STOP, b"", [])
        said = hear(theirs)
        assert said is not None
        (file,) = said.files
        assert os.path.sameopenfile(file, ours.fileno())
        os.close(file)


@pytest.mark.parametrize("count", [1, CHANNELS, CHANNELS + 1, 256])
def test_any_number_of_channels_comes_whole_and_in_order(count: int) -> None:
    ours, theirs = open_control()
    pairs = [socket.socketpair() for _ in range(count)]
    rows = os.memfd_create("rows")
    description = b"d" * 80_000
    gathered, channels = Channels(), None
    with ours, theirs:
        for body, files in packets_of([sending.fileno() for _, sending in pairs], rows, description):
            assert channels is None, "not all of them yet"
            say(ours, HAND_OVER, body, files)
            said = hear(theirs)
            assert said is not None
            assert said.word == HAND_OVER
            channels = gathered.gather(said)
    assert channels is not None
    assert len(channels) == count
    assert gathered.rows is not None
    file, told = gathered.rows
    assert told == description
    assert os.path.sameopenfile(file, rows)
    for index, (receiving, sending) in enumerate(pairs):
        with receiving, sending, channels[index] as channel:
            channel.send(str(index).encode())
            assert receiving.recv(16) == str(index).encode()
    os.close(file)
    os.close(rows)
