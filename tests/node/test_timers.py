from pushgate.node.timers import PAUSES, STEADY, BackOff, Timers
from tests.node.conftest import Clock


def test_actions_run_when_they_are_due_the_earliest_first(clock: Clock) -> None:
    due = Timers()
    done: list[str] = []
    assert due.wait() is None
    due.after(2.0, lambda: done.append("second"))
    due.after(1.0, lambda: done.append("first"))
    due.after(5.0, lambda: done.append("third"))
    assert due.wait() == 1.0
    due.run_due()
    assert done == []
    clock.now += 2.0
    due.run_due()
    assert done == ["first", "second"]
    assert due.wait() == 3.0
    clock.now += 10.0
    assert due.wait() == 0.0


def test_an_action_may_arm_another(clock: Clock) -> None:
    due = Timers()
    due.after(0.0, lambda: due.after(1.0, lambda: None))
    due.run_due()
    assert due.wait() == 1.0


def test_what_keeps_dying_waits_longer_and_what_lived_is_forgiven(clock: Clock) -> None:
    back_off = BackOff()
    pauses = []
    for _ in range(len(PAUSES) + 2):
        back_off.note_start()
        clock.now += 0.5
        pauses.append(back_off.pause())
    assert pauses == [*PAUSES, PAUSES[-1], PAUSES[-1]]
    back_off.note_start()
    clock.now += STEADY + 1
    assert back_off.pause() == PAUSES[0]
