from pushgate.node.back_off import PAUSES, STEADY, BackOff
from tests.node.conftest import Clock


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
