"""Sessions go from old workers to new ones: each gets every message once, in order, whenever who hears what.

A model of two generations: each hears the same pushes and entries in the same order, at its own pace; shards are given
at any moment. It uses the real Notes and Holding, and what stands in for sessions only keeps what it is written.
"""

import random
from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pushgate.delivery.holding import Holding
from pushgate.delivery.notes import Notes, digest_of, split
from pushgate.delivery.outgoing import Outgoing
from pushgate.inbox.base import EVERYONE, Entry
from pushgate.messages.push import Push, decode_push, encode_push
from pushgate.messages.shard import owner_of, shard_of
from pushgate.metrics.rows import Rows

OLD = 2
USERS = [f"user{number}" for number in range(6)]
SHARDS = sorted({shard_of("acme", user) for user in USERS})


class FakeUser:
    def __init__(self, uid: str, tenant: str = "acme") -> None:
        self.uid = uid
        self.tenant = tenant


class FakeChannel:
    def __init__(self, fd: int, uid: str) -> None:
        self.fd = fd
        self.user = FakeUser(uid)
        self.format = 0
        self.device: str | None = None
        self.tags: tuple[str, ...] = ()
        self.got: list[str] = []


class Side:
    """The sessions of one generation, by descriptor."""

    def __init__(self) -> None:
        self.by_fd: list[FakeChannel | None] = [None] * len(USERS)

    def find(self, tenant: str, uid: str) -> Sequence[Any]:
        return [channel for channel in self.by_fd if channel is not None and channel.user.uid == uid]

    def deliver(self, outgoing: Outgoing, channels: Sequence[Any]) -> None:
        for channel in channels:
            assert self.by_fd[channel.fd] is channel
            channel.got.append(outgoing.push.id)

    def start(self, outgoing: Outgoing) -> None:
        self.deliver(outgoing, [channel for channel in self.by_fd if channel is not None])


class OldWorker(Side):
    """Takes what comes, notes it, and writes it to the sessions that are still here."""

    def __init__(self, index: int) -> None:
        super().__init__()
        self.index = index
        self.notes = Notes()
        self.sent = self.heard = self.place = 0

    def hear(self, message: "bytes | Entry") -> None:
        if isinstance(message, Entry):
            push = decode_push(message.payload)
            self.place = message.offset
            mine = None if message.uid == EVERYONE else [message.uid]
        else:
            push = decode_push(message)
            mine = push.uids
            if mine is None or any(owner_of(shard_of("acme", uid), OLD) == self.index for uid in mine):
                self.notes.add(message)
        for channel in self.by_fd:
            if channel is not None and (mine is None or channel.user.uid in mine):
                channel.got.append(push.id)


def make(number: int, kind: str, user: str) -> "bytes | Entry":
    everyone = kind.startswith("everyone")
    reliable = kind.endswith("reliable")
    uids = None if everyone else [user]
    payload = encode_push(Push("acme", uids, f"m{number}", "e", 0, b"1", qos="reliable" if reliable else "live"))
    return Entry("acme", EVERYONE if everyone else user, number + 1, payload) if reliable else payload


KINDS = st.sampled_from(["live", "reliable", "everyone live", "everyone reliable"])


@settings(max_examples=500)
@given(st.lists(st.tuples(KINDS, st.sampled_from(USERS)), min_size=1, max_size=25), st.integers(0, 2**32))
def test_each_session_gets_each_message_once_and_in_order(messages: list[tuple[str, str]], seed: int) -> None:
    dice = random.Random(seed)  # decides who goes on when
    stream = [make(number, kind, user) for number, (kind, user) in enumerate(messages)]
    old = [OldWorker(index) for index in range(OLD)]
    channels = {user: FakeChannel(fd, user) for fd, user in enumerate(USERS)}
    for channel in channels.values():
        old[owner_of(shard_of("acme", channel.user.uid), OLD)].by_fd[channel.fd] = channel
    subscribed = dice.randint(0, len(stream))  # the new one hears what comes from here on
    new = Side()
    holding = Holding(new, new.deliver, new.start, SHARDS, OLD, Rows(1).row(0))
    heard = subscribed
    for worker in old:  # the barrier: it has taken all that there was when the new one was ready
        while worker.heard < subscribed:
            worker.hear(stream[worker.heard])
            worker.heard += 1
    waiting = list(SHARDS)
    under_way: list[tuple[int, OldWorker, int, int]] = []  # sessions are here, and the last word of their shard is not
    while waiting or under_way or heard < len(stream):
        steps = ["old 0", "old 1"] + (["new"] if heard < len(stream) else []) + (["give"] if waiting else [])
        steps += ["arrive"] if under_way else []
        step = dice.choice(steps)
        if step == "new":
            message = stream[heard]
            heard += 1
            if isinstance(message, Entry):
                assert holding.bring(message, decode_push(message.payload))
            else:
                assert holding.take(message, decode_push(message))
        elif step == "give":
            shard = waiting.pop(dice.randrange(len(waiting)))
            worker = old[owner_of(shard, OLD)]
            for fd, session in enumerate(worker.by_fd):
                if session is not None and shard_of("acme", session.user.uid) == shard:
                    worker.by_fd[fd], new.by_fd[fd] = None, session
                    holding.adopt(session, shard)
            under_way.append((shard, worker, len(worker.notes), worker.place))
        elif step == "arrive":
            shard, worker, notes, place = under_way.pop(0)
            holding.note(worker.index, split(worker.notes.between(worker.sent, notes)))
            worker.sent = max(worker.sent, notes)
            holding.release(shard, worker.index, notes, {"acme": place})
        else:
            worker = old[int(step[-1])]
            if worker.heard < len(stream):
                worker.hear(stream[worker.heard])
                worker.heard += 1
    assert holding.missing == []
    for user, channel in channels.items():
        meant = [
            f"m{number}" for number, (kind, target) in enumerate(messages) if kind.startswith("every") or target == user
        ]
        assert channel.got == meant, user


def test_a_session_that_is_opened_here_gets_what_comes_whatever_an_old_worker_noted() -> None:
    """The old one wrote it to others: it has heard it sooner than this one, and never knew of the session."""
    side = Side()
    holding = Holding(side, side.deliver, side.start, SHARDS, 1, Rows(1).row(0))
    payload = make(0, "everyone live", "")
    assert isinstance(payload, bytes)
    for shard in SHARDS:
        holding.release(shard, 0, 0, {})
    late = side.by_fd[0] = FakeChannel(0, USERS[0])
    holding.note(0, [digest_of(payload)])
    assert holding.take(payload, decode_push(payload))
    assert late.got == ["m0"]


def test_who_was_closed_meanwhile_gets_nothing_and_neither_does_its_descriptor() -> None:
    side = Side()
    holding = Holding(side, side.deliver, side.start, SHARDS, 1, Rows(1).row(0))
    user, *_ = USERS
    shard = shard_of("acme", user)
    gone = side.by_fd[0] = FakeChannel(0, user)
    holding.adopt(gone, shard)
    side.by_fd[0] = FakeChannel(0, "another")
    payload = make(0, "everyone live", "")
    assert isinstance(payload, bytes)
    assert holding.take(payload, decode_push(payload))
    for each in SHARDS:
        holding.release(each, 0, 0, {})
    assert gone.got == []
    assert holding.adopted(shard) == []
