"""The integers of a device's connection, against a model that keeps lists."""

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pushgate.delivery.tracks import HALF, TRIES, WINDOW, Tracks


class TracksMachine(RuleBasedStateMachine):
    """Messages are written, skipped, acknowledged and sent again; the model knows each of them."""

    def __init__(self) -> None:
        super().__init__()
        self.tracks = Tracks()
        self.number = self.tracks.begin(10)
        self.log: list[tuple[int, bool]] = []  # (offset, for this device) of everything there is
        self.position = 0  # how much of the log was written or skipped since the last rewind
        self.cursor = 10
        self.written: set[int] = set()
        self.unacknowledged: list[int] = []  # written since the last rewind
        self.rewinds = 0

    def sent(self) -> int:
        return self.log[self.position - 1][0] if self.position else self.cursor

    @rule(step=st.integers(1, 3), meant=st.booleans())
    def append(self, step: int, meant: bool) -> None:
        self.log.append(((self.log[-1][0] if self.log else 10) + step, meant))

    @rule(count=st.integers(1, 300))
    def append_many(self, count: int) -> None:
        for _ in range(count):
            self.append(1, True)

    @rule(count=st.integers(1, 300))
    def send(self, count: int) -> None:
        for offset, meant in self.log[self.position : self.position + count]:
            if not meant:
                idle = self.tracks.note_skipped(self.number, offset)
                assert idle == (not self.unacknowledged)
                if idle:
                    self.cursor = offset
            else:
                if not self.tracks.has_room(self.number):
                    assert self.unacknowledged, "all is free again when all is acknowledged"
                    return
                self.tracks.note_written(self.number, offset, 7)
                self.written.add(offset)
                self.unacknowledged.append(offset)
            self.position += 1

    @precondition(lambda self: self.written)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        offset = data.draw(st.sampled_from(sorted(self.written)))
        before = self.cursor
        moved = self.tracks.acknowledge(self.number, offset, 9)
        if offset > self.cursor:
            self.cursor = offset
        self.unacknowledged = [each for each in self.unacknowledged if each > offset]
        while self.position < len(self.log) and self.log[self.position][0] <= offset:
            self.position += 1
        if not self.unacknowledged and offset == max(self.written):
            self.cursor = max(self.cursor, self.sent())
        assert moved == (self.cursor > before)
        if moved:
            self.rewinds = 0

    @rule()
    def rewind(self) -> None:
        went = self.tracks.rewind(self.number)
        assert went == (self.rewinds < TRIES)
        if went:
            self.rewinds += 1
            self.unacknowledged = []
            self.position = sum(offset <= self.cursor for offset, _ in self.log)

    @invariant()
    def agree(self) -> None:
        tracks, number = self.tracks, self.number
        assert tracks.acknowledged[number] == self.cursor
        assert tracks.sent[number] == max(self.sent(), self.cursor)
        assert tracks.highest[number] == max(self.written, default=10)
        counted = tracks.before[number] + tracks.after[number]
        assert len(self.unacknowledged) <= counted <= WINDOW
        assert bool(tracks.due[number]) == bool(self.unacknowledged)


TestTracks = TracksMachine.TestCase
TestTracks.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_numbers_are_reused_and_begin_anew() -> None:
    tracks = Tracks()
    numbers = [tracks.begin(cursor) for cursor in range(1000)]
    assert len(set(numbers)) == 1000
    assert 0 not in numbers
    tracks.note_written(numbers[5], 99, 3)
    tracks.end(numbers[5])
    again = tracks.begin(7)
    assert again == numbers[5]
    assert (tracks.sent[again], tracks.highest[again], tracks.due[again], tracks.after[again]) == (7, 7, 0, 0)
    assert [tracks.sent[number] for number in numbers[:5]] == list(range(5))


@given(st.lists(st.integers(1, 2**53 - 1), min_size=1, max_size=600, unique=True))
def test_who_acknowledges_each_message_is_never_held_up_for_long(offsets: list[int]) -> None:
    """At most a window is on the way, and each half that is acknowledged lets another half go."""
    tracks = Tracks()
    number = tracks.begin(0)
    waiting = sorted(offsets)
    unacknowledged: list[int] = []
    while waiting or unacknowledged:
        while waiting and tracks.has_room(number):
            unacknowledged.append(waiting.pop(0))
            tracks.note_written(number, unacknowledged[-1], 1)
        assert len(unacknowledged) <= WINDOW
        if waiting:
            assert len(unacknowledged) >= HALF
        tracks.acknowledge(number, unacknowledged.pop(0), 1)
    assert tracks.acknowledged[number] == max(offsets)
