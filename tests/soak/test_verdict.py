"""The verdicts of the soak know right from wrong."""

from tests.soak.good import Window
from tests.soak.soak import MEMORY, P99, ROBBED, judge_latency, judge_memory, legs

QUICK = Window(4000, 0.5, P99, 90.0, ROBBED + 1)
SLOW = Window(4000, 0.5, P99 + 1, 90.0, ROBBED)
ROBBED_ONE = Window(4000, 0.5, P99 + 1, 90.0, ROBBED + 1)


def test_a_slow_window_is_a_fault_unless_the_cpus_were_with_others() -> None:
    assert judge_latency([QUICK] * 3) == []
    assert judge_latency([QUICK, SLOW, QUICK]) == [f"p99 of a window was {P99 + 1} ms, over {P99:.0f}"]
    assert judge_latency([QUICK, ROBBED_ONE]) == []
    [fault] = judge_latency([QUICK, ROBBED_ONE, ROBBED_ONE])
    assert "nothing can be said" in fault


def test_memory_has_a_bound() -> None:
    base = 50 * 2**20
    assert judge_memory([[base, base], [base + MEMORY, base - 2**20]]) == []
    faults = judge_memory([[base, base], [base, base + MEMORY + 2**20], [base, base]])
    assert faults == [f"worker 1 held {MEMORY / 2**20 + 1:.1f} MiB more than after the warm-up"]


def test_legs_make_up_the_whole() -> None:
    assert legs(10) == [10]
    assert legs(600) == [60] * 10
    assert sum(legs(90)) == 90
