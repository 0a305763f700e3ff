import pytest

from pushgate.metrics.rates import SPAN, STEP, Rates
from pushgate.metrics.rows import Rows


def test_a_rate_is_over_the_last_seconds() -> None:
    rows = Rows(2)
    rates = Rates(rows)
    assert rates.of(3, 100.0) == 0
    now = 100.0
    while now <= 100 + 2 * SPAN:
        rates.sample([3], now)
        now += 0.25
        rows.row(0)[3] += 2
        rows.row(1)[3] += 3
    assert rates.of(3, now) == pytest.approx(20, rel=0.03)
    for _ in range(int((SPAN + STEP) / 0.25)):
        rates.sample([3], now)
        now += 0.25
    assert rates.of(3, now) == 0, "nothing any more"


def test_what_was_counted_before_the_first_sample_is_no_rush() -> None:
    rows = Rows(1)
    rows.row(0)[3] = 1_000_000
    rates = Rates(rows)
    rates.sample([3], 50.0)
    rows.row(0)[3] += 5
    assert rates.of(3, 50.0) == 5, "over a second at least"
    assert rates.of(3, 55.0) == 1


def test_a_slot_that_came_later_begins_at_nothing() -> None:
    rows = Rows(1)
    rates = Rates(rows)
    rates.sample([3], 50.0)
    rows.row(0)[4] += 20
    rates.sample([3, 4], 51.0)
    assert rates.of(4, 52.0) == 10


def test_samples_are_bounded() -> None:
    rates = Rates(Rows(1))
    for tick in range(4000):
        rates.sample([3], tick * 0.25)
    assert len(rates._samples) <= SPAN / STEP + 2
