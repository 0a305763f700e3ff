"""The journal: what it keeps, whoever writes to it and whatever befalls them."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pushgate import journal as module
from pushgate.journal import EVENTS, MOST_TEXT, Event, Journal

PATH = {**os.environ, "PYTHONPATH": str(Path(module.__file__).parents[1])}


def told(journal: Journal) -> list[tuple[str, str, dict[str, Any]]]:
    return [(event.level, event.event, event.facts) for event in journal.read()]


def test_the_last_ones_are_kept_the_oldest_first() -> None:
    journal, before = Journal(), time.time()
    assert journal.read() == []
    for number in range(3 * EVENTS + 5):
        journal.write("info", "it happened", {"number": number})
    events = journal.read()
    assert [event.facts["number"] for event in events] == [*range(2 * EVENTS + 5, 3 * EVENTS + 5)]
    assert before - 0.001 <= events[0].time <= events[-1].time <= time.time() + 0.001


def test_facts_are_numbers_and_short_texts() -> None:
    journal = Journal()
    facts = {
        "worker": 1,
        "pause": 0.5,
        "well": True,
        "nobody": None,
        "address": ("127.0.0.1", 80),
        "why": OSError("no"),
    }
    journal.write("error", "x" * 500, {**facts, "long": "ä" * 1000})
    ((_, event, shown),) = told(journal)
    assert event == "x" * MOST_TEXT
    assert shown.pop("long") == "ä" * (MOST_TEXT - 1) + "…"
    assert shown == {**facts, "address": "127.0.0.1, 80", "why": "no"}


def test_what_does_not_fit_is_told_without_its_facts() -> None:
    journal = Journal()
    journal.write("info", "large", {str(number): "é" * MOST_TEXT for number in range(5)})
    journal.write("info", "small", {})
    assert told(journal) == [("info", "large", {}), ("info", "small", {})]


def test_processes_write_at_once_and_nothing_is_lost() -> None:
    journal = Journal()
    code = f"""
from pushgate.journal import Journal
journal = Journal({journal.file})
for number in range(50):
    journal.write("info", "it happened", {{"number": number}})
"""
    writers = [
        subprocess.Popen([sys.executable, "-c", code], pass_fds=[journal.file], env=PATH) for _ in range(EVENTS // 50)
    ]
    assert [writer.wait(60) for writer in writers] == [0] * len(writers)
    numbers = [event.facts["number"] for event in journal.read()]
    assert sorted(map(int, map(str, numbers))) == sorted([*range(50)] * len(writers))


HOLDER = """
import fcntl, sys, time
fcntl.lockf({file}, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(60)
"""


def test_a_writer_that_stopped_or_was_killed_holds_nobody_up() -> None:
    journal = Journal()
    journal.write("info", "before", {})
    command = [sys.executable, "-c", HOLDER.format(file=journal.file)]
    with subprocess.Popen(command, pass_fds=[journal.file], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        holder.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        journal.write("info", "meanwhile", {})
        assert told(journal) == [("info", "before", {})], "it cannot be written, and the log has it"
        assert time.monotonic() - began < 5
        holder.kill()
    journal.write("info", "afterwards", {})
    assert [event for _, event, _ in told(journal)] == ["before", "afterwards"]


def test_a_slot_that_was_half_written_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal()
    journal.write("info", "first", {})
    journal.write("info", "second", {"reason": "a text"})
    journal.write("info", "third", {})
    packet = os.pread(journal.file, module._SLOT, module._place_of(1))
    os.pwrite(journal.file, packet[:10] + bytes(20), module._place_of(1))
    assert [event for _, event, _ in told(journal)] == ["first", "third"]


def test_a_generation_takes_it_over_and_one_of_another_layout_begins_anew() -> None:
    journal = Journal()
    journal.write("info", "before", {})
    successor = Journal(os.dup(journal.file))
    successor.write("info", "after", {})
    assert [event for _, event, _ in told(journal)] == ["before", "after"] == [each.event for each in successor.read()]
    other = os.memfd_create("other")
    os.ftruncate(other, 100)
    anew = Journal(other)
    assert anew.read() == []
    anew.write("info", "anew", {})
    assert len(anew.read()) == 1


def test_no_room_no_trouble() -> None:
    journal = Journal()
    sealed = os.open(f"/proc/self/fd/{journal.file}", os.O_RDONLY)
    os.dup2(sealed, journal.file)
    journal.write("info", "it cannot be written", {})
    assert journal.read() == []


def test_what_goes_over_the_bus_is_small_enough_for_any() -> None:
    journal = Journal()
    for _ in range(EVENTS):
        journal.write("error", "é" * MOST_TEXT, {"a": "é" * 150, "b": "é" * 150})
    assert len(module._encode(journal.read())) < 300_000
    assert json.dumps(journal.read()[0].facts)
    assert isinstance(journal.read()[0], Event)
    assert fcntl.lockf(journal.file, fcntl.LOCK_EX | fcntl.LOCK_NB) is None
