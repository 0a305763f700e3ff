"""The verdicts of the soak know right from wrong."""

from tests.soak.good import Window
from tests.soak.soak import CREEP, MEMORY, P99, ROBBED, judge_latency, judge_memory, legs

QUICK = Window(4000, 0.5, P99, 90.0, ROBBED + 1)
SLOW = Window(4000, 0.5, P99 + 1, 90.0, ROBBED)
ROBBED_ONE = Window(4000, 0.5, P99 + 1, 90.0, ROBBED + 1)


def test_a_slow_window_is_a_fault_unless_the_cpus_were_with_others() -> None:
    assert judge_latency([QUICK] * 3) == []
    assert judge_latency([QUICK, SLOW, QUICK]) == [f"p99 of a window was {P99 + 1} ms, over {P99:.0f}"]
    assert judge_latency([QUICK, ROBBED_ONE]) == []
    [fault] = judge_latency([QUICK, ROBBED_ONE, ROBBED_ONE])
    assert "nothing can be said" in fault


def test_memory_may_rise_at_first_and_must_not_creep() -> None:
    base = 50 * 2**20
    assert judge_memory([[base, base], [base + MEMORY, base]]) == []
    [fault] = judge_memory([[base, base], [base, base + MEMORY + 2**20]])
    assert fault == f"worker 1 held {MEMORY / 2**20 + 1:.1f} MiB more than after the first leg"
    flat = [[base + 2**20 * (leg % 3)] for leg in range(9)]
    assert judge_memory(flat) == []
    [fault] = judge_memory([[base + leg * CREEP // 3] for leg in range(9)])
    assert "second half" in fault


def test_legs_make_up_the_whole() -> None:
    for seconds in (10, 60, 600, 3600):
        assert sum(legs(seconds)) == seconds
        assert len(legs(seconds)) >= 2
