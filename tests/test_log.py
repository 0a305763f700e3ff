"""Lines of the log: their form, their levels, and what they do not say."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pushgate import log
from pushgate.journal import Journal

START = """
import asyncio, logging, sys
from pushgate import log
from pushgate.journal import Journal
log.set_up({level!r}, {style!r})
log.bind(worker=3)
here = log.get_logger("here")
"""


def written_by(code: str, level: str = "info", style: str = "json") -> list[str]:
    """Return the lines that a program logs."""
    environ = {**os.environ, "PYTHONPATH": str(Path(log.__file__).parents[1])}
    command = [sys.executable, "-c", START.format(level=level, style=style) + code]
    error = subprocess.run(command, env=environ, stderr=subprocess.PIPE, check=True, timeout=60).stderr.decode()
    return error.splitlines()


def lines_of(code: str, level: str = "info") -> list[dict[str, Any]]:
    """Return what a program logs, read."""
    return [json.loads(line) for line in written_by(code, level)]


def test_a_line_is_an_object_with_time_level_part_and_what_is_bound() -> None:
    (line,) = lines_of('here.warning("it rains", drops=5)')
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line.pop("timestamp"))
    assert line == {"part": "here", "worker": 3, "event": "it rains", "drops": 5, "level": "warning"}


@pytest.mark.parametrize(("level", "shown"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_levels(level: str, shown: int) -> None:
    code = "for name in ('debug', 'info', 'warning', 'error'): getattr(here, name)(name)"
    assert [line["level"] for line in lines_of(code, level)] == ["debug", "info", "warning", "error"][-shown:]


@pytest.mark.parametrize("style", ["console", "json"])
def test_an_event_is_one_line_whatever_it_says(style: str) -> None:
    code = """
here.info("it rains", where="out\\nside", facts={"drops": [5]})
here.error("it pours")
here.warning("of many words", reason="x" * 500)
here.debug("of nobody")
"""
    lines = written_by(code, style=style)
    assert len(lines) == 3
    assert "\x1b" not in "".join(lines), "no colours but on a terminal"
    for line, event in zip(lines, ("it rains", "it pours", "of many words"), strict=True):
        assert event in line
        assert "here" in line


def kept(code: str, level: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Return what a program has in its journal."""
    journal = Journal()
    start = START.replace("{style!r}", f"'json', Journal(os.dup({journal.file}))")
    start = f"import os\n{start.format(level=level)}"
    environ = {**os.environ, "PYTHONPATH": str(Path(log.__file__).parents[1])}
    subprocess.run([sys.executable, "-c", start + code], env=environ, pass_fds=[journal.file], check=True, timeout=60)
    return [(event.level, event.event, event.facts) for event in journal.read()]


@pytest.mark.parametrize("level", ["debug", "error"])
def test_the_journal_has_what_happens_in_the_nodes_life_at_whatever_level_of_the_log(level: str) -> None:
    code = """
life = log.get_logger("life", lifecycle=True)
here.error("of a client"), life.debug("a detail"), life.info("ready", workers=2), life.bind(purpose="x").warning("away")
logging.getLogger("library").error("theirs")
try:
    {}["a secret"]
except KeyError:
    life.exception("a fault")
"""
    assert kept(code, level) == [
        ("info", "ready", {"worker": 3, "workers": 2}),
        ("warning", "away", {"worker": 3, "purpose": "x"}),
        ("error", "a fault", {"worker": 3}),
    ]


def test_what_is_in_the_journal_is_in_the_log_too_and_looks_as_all_lines() -> None:
    (line,) = lines_of('log.get_logger("life", lifecycle=True).info("ready", workers=2)')
    del line["timestamp"]
    assert line == {"part": "life", "worker": 3, "event": "ready", "workers": 2, "level": "info"}


def test_what_libraries_log_is_lines_of_ours_from_warnings_on() -> None:
    code = """
theirs = logging.getLogger("library")
theirs.debug("a token"), theirs.info("a token"), theirs.warning("100%% of %s", "it"), theirs.log(45, "odd")
try:
    1 / 0
except ZeroDivisionError:
    theirs.exception("broken")
"""
    first, second, third = lines_of(code, "debug")
    assert (first["part"], first["level"], first["event"]) == ("library", "warning", "100% of it")
    assert (second["level"], second["event"]) == ("error", "odd")
    assert third["event"] == "broken"
    assert "ZeroDivisionError: division by zero" in third["exception"]


def test_exceptions_that_nobody_takes() -> None:
    code = """
class Holder:
    def __init__(self, secret):
        self.secret = secret
    def __repr__(self):
        return self.secret
    def __call__(self, *_):
        raise RuntimeError("the reason")
    def __del__(self):
        raise OSError(5, "in the end")

async def fail():
    raise RuntimeError("of a task")

async def main():
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(log.log_loop_error)
    loop.call_soon(Holder("a secret"), "a secret too")
    task = loop.create_task(fail())
    await asyncio.sleep(0.01)
    del task
    loop.call_exception_handler({"message": "only words"})

asyncio.run(main())
"""
    lines = lines_of(code)
    assert {line["event"] for line in lines} == {"nobody took an exception", "only words"}
    told = "\n".join(line.get("exception", "") for line in lines)
    for word in ("RuntimeError: the reason", "RuntimeError: of a task", "OSError: [Errno 5] in the end"):
        assert word in told
    assert "secret" not in told
    assert {line["worker"] for line in lines} == {3}


def raise_from(cause: BaseException, error: BaseException) -> BaseException:
    try:
        try:
            raise cause
        except BaseException as caught:
            raise error from caught
    except BaseException as caught:
        return caught


def test_values_are_not_shown_and_places_are() -> None:
    told = log.describe(raise_from(KeyError("alice"), RuntimeError("the table is wrong")))
    assert "alice" not in told
    assert "KeyError: (not shown)" in told
    assert "RuntimeError: the table is wrong" in told
    assert told.count('test_log.py", line') == 2
    assert "int() with" not in log.describe(ValueError("invalid literal for int() with base 10: 'alice'"))


def test_every_exception_of_a_group_is_told() -> None:
    told = log.describe(ExceptionGroup("both", [OSError(9, "bad"), KeyError("alice")]))
    assert "ExceptionGroup: both (2 sub-exceptions)" in told
    assert "OSError: [Errno 9] bad" in told
    assert "KeyError: (not shown)" in told


def test_no_stream_no_trouble() -> None:
    assert lines_of("import os; os.close(2); here.info('to nobody')") == []
