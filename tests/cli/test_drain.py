"""What `pushgate drain` shows of what the node says."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pushgate.cli import drain as command
from pushgate.errors import StartError
from pushgate.node import commands
from pushgate.node.commands import DrainProgress
from tests.cli.conftest import Main, invoke

DRAINED = [
    DrainProgress("draining", 100, 100, 60.0, 60.0),
    DrainProgress("draining", 98, 100, 59.0, 60.0),
    DrainProgress("draining", 50, 100, 30.0, 60.0),
    DrainProgress("drained", 0, 100, 0.0, 60.0),
]


class Node:
    """Says what a test wants; `asked` has the data directory and the time of each call."""

    def __init__(self) -> None:
        self.said: list[DrainProgress | Exception | type[BaseException]] = list(DRAINED)
        self.asked: list[tuple[str, float]] = []

    def ask_drain(self, data_dir: Path, over: float) -> Iterator[DrainProgress]:
        self.asked.append((str(data_dir), over))
        for each in self.said:
            if not isinstance(each, DrainProgress):
                raise each
            yield each


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Node:
    made = Node()
    monkeypatch.setattr(commands, "ask_drain", made.ask_drain)
    return made


def test_lines_where_there_is_no_terminal(main: Main, node: Node) -> None:
    status, out, err = main("drain", "--data-dir", "there")
    assert (status, out) == (0, "")
    assert err.splitlines() == [
        "pushgate: 100 of 100 connections left, 60 s to go",
        "pushgate: 50 of 100 connections left, 30 s to go",
        "pushgate: drained, 0 connections left: the node stops",
        "pushgate: drained of 100 connections; the node has ended",
    ]
    assert node.asked == [("there", 60.0)]


def test_json_is_an_object_a_line(main: Main, node: Node) -> None:
    status, out, err = main("drain", "--json", "--over", "2m")
    assert (status, err) == (0, "")
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["connections"] for line in lines] == [100, 98, 50, 0]
    assert set(lines[0]) >= {"state", "connections", "first", "left", "over"}
    assert node.asked == [("pushgate-data", 120.0)]


def test_a_bar_on_a_terminal(main: Main, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    status, _, err = main("drain")
    assert status == 0
    assert "drained, 0 connections left" in err
    assert "━" in err
    assert sys.stderr.isatty()


def test_an_early_end_is_a_failure(main: Main, node: Node) -> None:
    for last in (DrainProgress("ended early", 7, 100, 30.0, 60.0), DrainProgress("draining", 7, 100, 30.0, 60.0)):
        node.said = [DRAINED[0], last]
        status, _, err = main("drain")
        assert status == 1
        assert err.endswith("the node ended early, with 7 connections left\n")


def test_a_node_that_ended_before_it_said_anything(main: Main, node: Node) -> None:
    node.said = []
    assert main("drain")[::2] == (1, "pushgate: the node ended early, with an unknown number of connections left\n")


def test_what_keeps_it_from_draining_is_one_line(main: Main, node: Node) -> None:
    node.said = [StartError("there: no node runs there")]
    assert main("drain") == (1, "", "pushgate: there: no node runs there\n")


def test_interrupted_it_goes_on(main: Main, node: Node) -> None:
    node.said = [DRAINED[0], KeyboardInterrupt]
    status, _, err = main("drain")
    assert status == 1
    assert "the node goes on draining" in err


def test_the_configuration_says_where_the_node_is(main: Main, node: Node, tmp_path: Path) -> None:
    file = tmp_path / "pushgate.toml"
    file.write_text('[node]\ndata_dir = "elsewhere"')
    main("drain", "--config", str(file), "--over", "0")
    assert node.asked == [("elsewhere", 0.0)]


@pytest.mark.parametrize("text", ["", "soon", "-1", "1d", "25h", "1e3", "nan", "1 s"])
def test_no_time(text: str, node: Node) -> None:
    result = invoke("drain", "--over", text)
    assert result.exit_code == 2
    assert "24h" in result.output
    assert node.asked == []


@pytest.mark.parametrize(("text", "seconds"), [("60", 60), ("1.5m", 90), ("24h", 86400), ("0s", 0)])
def test_times(text: str, seconds: float) -> None:
    assert command._read_span(text) == seconds
