import os
import shutil
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from pushgate.doctor.resources import LITTLE, SYNCS, TOO_LITTLE, UNSYNCHRONISED, check_clock, check_room, check_sync


@pytest.mark.parametrize(
    ("answer", "state", "says"),
    [
        ((0, 0.0042), "ok", "within 4 ms"),
        ((UNSYNCHRONISED, 16.0), "warning", "nobody keeps the clock right"),
        ((-1, 0.0), "warning", "does not say"),
    ],
)
def test_the_clock(answer: tuple[int, float], state: str, says: str) -> None:
    finding = check_clock(lambda: answer)
    assert finding.state == state
    assert says in finding.says
    assert bool(finding.mend) == (answer[0] == UNSYNCHRONISED)


def test_the_clock_of_this_machine() -> None:
    assert check_clock().state in ("ok", "warning")


@pytest.mark.parametrize(("seconds", "state"), [(0.0, "ok"), (0.03, "warning"), (0.3, "wrong")])
def test_a_disk_that_takes_so_long(tmp_path: Path, seconds: float, state: str) -> None:
    synced = []

    def sync(file: int) -> None:
        synced.append(os.fstat(file).st_size)
        time.sleep(seconds)

    finding = check_sync(tmp_path / "not" / "yet", sync)
    assert finding.state == state
    assert f"{tmp_path} takes " in finding.says, "where the directory would be made"
    assert synced == [4096 * number for number in range(1, len(synced) + 1)]
    assert len(synced) == SYNCS or seconds == 0.3, "a slow disk is not tried for long"
    assert list(tmp_path.iterdir()) == []


class Usage(NamedTuple):
    free: int


@pytest.mark.parametrize(("free", "state"), [(LITTLE, "ok"), (LITTLE - 1, "warning"), (TOO_LITTLE - 1, "wrong")])
def test_room_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, state: str) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(free))
    finding = check_room(tmp_path)
    assert finding.state == state
    assert bool(finding.mend) == (state != "ok")
