import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushgate.inbox import nats_tail
from pushgate.inbox.nats_get import Found
from pushgate.inbox.nats_tail import Tail


class Log:
    """A log that counts how often it is walked."""

    def __init__(self, sequences: Sequence[int], size: int = 10) -> None:
        self.entries = [Found(sequence, b"s", b"", bytes(size)) for sequence in sequences]
        self.walks: list[tuple[int, int, int]] = []

    def above(self, after: int, up_to: int, limit: int) -> list[int]:
        return [each.sequence for each in self.entries if after < each.sequence <= up_to][:limit]

    async def walk(self, after: int, up_to: int, limit: int) -> list[Found]:
        self.walks.append((after, up_to, limit))
        await asyncio.sleep(0)
        return [each for each in self.entries if after < each.sequence <= up_to][:limit]


async def read(tail: Tail, log: Log, after: int, up_to: int, limit: int = 100, era: str = "e") -> list[int]:
    return [found.sequence for found in await tail.read(log.walk, era, after, up_to, limit)]


async def test_many_that_read_at_once_ask_once() -> None:
    tail, log = Tail(), Log(range(5, 50, 5))
    results = await asyncio.gather(*(read(tail, log, 10 + number % 3, 60) for number in range(100)))
    assert all(result == log.above(10 + number % 3, 60, 100) for number, result in enumerate(results))
    assert len(log.walks) == 1


async def test_what_came_since_is_asked_for_alone() -> None:
    tail, log = Tail(), Log([5, 10, 15])
    assert await read(tail, log, 0, 12) == [5, 10]
    assert await read(tail, log, 7, 20) == [10, 15]
    assert await read(tail, log, 7, 12) == [10]
    assert [walk[:2] for walk in log.walks] == [(0, 12), (12, 20)]


async def test_one_who_is_a_little_further_behind_has_it_read_before() -> None:
    tail, log = Tail(), Log([5, 10, 15])
    assert await read(tail, log, 7, 20) == [10, 15]
    assert await read(tail, log, 2, 20) == [5, 10, 15]
    assert await read(tail, log, 3, 20) == [5, 10, 15]
    assert [walk[:2] for walk in log.walks] == [(7, 20), (2, 20)], "anew: another copy may have answered before"


async def test_one_who_is_far_behind_reads_for_himself_and_does_not_spoil_it() -> None:
    tail, log = Tail(), Log(range(1, 501))
    assert await read(tail, log, 490, 500) == list(range(491, 501))
    assert await read(tail, log, 0, 500, 5) == [1, 2, 3, 4, 5]
    log.walks.clear()
    assert await read(tail, log, 495, 500) == list(range(496, 501))
    assert log.walks == []


async def test_no_more_is_read_than_somebody_wants_give_or_take_a_piece() -> None:
    tail, log = Tail(), Log(range(1, 1001))
    assert await read(tail, log, 0, 1000, 10) == list(range(1, 11))
    assert log.walks == [(0, 1000, nats_tail.PIECE)]


@pytest.mark.parametrize(("size", "most"), [(10, nats_tail.MOST), (100_000, 64)])
async def test_it_keeps_so_much_and_the_rest_is_read_all_the_same(size: int, most: int) -> None:
    tail, log = Tail(), Log(range(1, 1501), size)
    assert await read(tail, log, 0, 1500, 1400) == list(range(1, 1401))
    assert most <= len(tail._entries) <= most + nats_tail.PIECE
    assert await read(tail, log, 1300, 1500) == list(range(1301, 1401))


async def test_it_is_read_anew_after_a_second_and_in_another_era(monkeypatch: pytest.MonkeyPatch) -> None:
    tail, log = Tail(), Log([5, 10])
    assert await read(tail, log, 0, 20) == [5, 10]
    log.entries = log.entries[1:]  # as if it had expired
    assert await read(tail, log, 0, 20, era="another") == [10]
    log.entries = []
    assert await read(tail, log, 0, 20, era="another") == [10]
    tail._until = 0
    assert await read(tail, log, 0, 20, era="another") == []


async def test_a_walk_that_fails_is_not_taken_for_an_empty_log() -> None:
    async def fail(after: int, up_to: int, limit: int) -> list[Found]:
        raise ConnectionError

    tail, log = Tail(), Log([5, 10])
    with pytest.raises(ConnectionError):
        await tail.read(fail, "e", 0, 20, 10)
    assert await read(tail, log, 0, 20) == [5, 10]


READS = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300), st.integers(1, 90)), min_size=1, max_size=30)


@given(st.sets(st.integers(1, 300)), READS)
def test_whoever_reads_gets_what_he_would_have_read_himself(
    sequences: set[int], reads: list[tuple[int, int, int]]
) -> None:
    async def run() -> None:
        tail, log = Tail(), Log(sorted(sequences))
        for after, up_to, limit in reads:
            assert await read(tail, log, after, max(after, up_to), limit) == log.above(after, max(after, up_to), limit)

    asyncio.run(run())
