"""The short form of `make sdk-faults`, and that it sees what is wrong."""

from tests.sdk.faults import run
from tests.sdk.pusher import Verdict


async def test_pages_lose_nothing_and_get_nothing_twice() -> None:
    verdict = await run(cycles=4)
    assert verdict.good, verdict
    assert verdict.cycles == 4
    assert verdict.pushed > 200


def test_what_is_wrong_is_counted() -> None:
    verdict = Verdict(pushed=6)
    verdict.judge([0, 1, 2, 3, 4, 5], 0, 5)
    assert verdict.good
    verdict.judge([0, 1, 3, 2, 2], 0, 5)
    assert (verdict.lost, verdict.twice, verdict.disordered) == (2, 1, 1)
    assert not verdict.good
    assert not Verdict().good
