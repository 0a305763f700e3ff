"""The page of a bench: whole, by itself, and with nothing in it that figures could break."""

import math
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pushgate.bench.commands import app
from pushgate.bench.options import Plot, Result
from pushgate.bench.page import _round_up, make_page
from tests.bench.conftest import StandIn

VOID = {"meta", "line"}
TITLES = ("Latency: handshakes", "Latency: calls", "Latency: to the clients", "Connections open", "Messages a second")


class Tags(HTMLParser):
    """Follows the tags, and fails where one is closed that is not open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attributes: object) -> None:
        self.seen.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: object) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_page_is_whole_and_needs_nothing_else() -> None:
    figures: dict[str, object] = {"bench": "push", "errors": {"<b>": 1}, "rounds": [{"seconds": 1.5}], "none": {}}
    plots = [Plot("Latency", "per cent", "ms", [(50, 1.0), (99, 7.0)]), Plot("One & only", "s", "", [(3, 2)])]
    page = make_page(Result(figures, False, ["a <warning>"], plots))
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert tags.seen.count("svg") == tags.seen.count("path") == 2
    assert "&lt;b&gt;" in page
    assert "a &lt;warning&gt;" in page
    assert not re.search(r"https?://|src=|<script", page)
    numbers = [float(number) for path in re.findall(r'd="M([^"]+)"', page) for number in re.split("[ ,L]+", path)]
    assert all(math.isfinite(number) and 0 <= number <= 640 for number in numbers)


@pytest.mark.parametrize(("value", "rounded"), [(0, 1), (0.013, 0.02), (1, 1), (2.1, 5), (99, 100), (1200, 2000)])
def test_axes_end_at_round_numbers(value: float, rounded: float) -> None:
    assert _round_up(value) == pytest.approx(rounded)


def test_a_bench_writes_its_page(stand_in: Callable[..., StandIn], tmp_path: Path) -> None:
    server = stand_in()
    place = ["--url", server.url, "--api", server.api, "--api-key", "k", "--token-secret", "s" * 32]
    page = tmp_path / "page.html"
    options = ["--users", "5", "--per-user", "2", "--callers", "4", "--seconds", "0.6"]
    found = CliRunner().invoke(app, ["--html", str(page), "push", *options, *place])
    assert found.exit_code == 0, found.output
    text = page.read_text()
    for title in TITLES:
        assert f"<h2>{title}</h2><svg" in text
