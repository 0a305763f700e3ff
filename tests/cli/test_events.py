import json
from datetime import datetime

import httpx
import pytest

from pushgate.client import nodes as client
from pushgate.messages.nodes import NodeEvent, NodeEvents
from tests.cli.conftest import Main, invoke

TOLD = NodeEvents(
    [
        NodeEvent("a", 1_767_225_600.5, "info", "ready", {}),
        NodeEvent("b", 1_767_225_601.25, "error", "a worker ended", {"worker": 1, "again_in": 0.5}),
    ],
    [],
)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keys that asked; the answer is TOLD."""
    keys: list[str] = []

    def ask_events(http: httpx.Client, api_key: str) -> NodeEvents:
        keys.append(api_key)
        return TOLD

    monkeypatch.setattr(client, "ask_events", ask_events)
    return keys


def test_a_line_an_event(told: list[str]) -> None:
    result = invoke("events", "--api-key", "the key")
    assert (result.exit_code, told) == (0, ["the key"])
    when = [datetime.fromtimestamp(event.time).strftime("%Y-%m-%d %H:%M:%S") for event in TOLD.events]
    assert result.stdout.splitlines() == [
        f"{when[0]}  a  info     ready",
        f"{when[1]}  b  error    a worker ended (worker 1, again in 0.5)",
    ]


def test_the_last_one_as_json(told: list[str]) -> None:
    result = invoke("events", "--api-key", "the key", "--last", "1", "--json")
    facts = {"worker": 1, "again_in": 0.5}
    (line,) = map(json.loads, result.stdout.splitlines())
    assert line == {"node": "b", "time": 1_767_225_601.25, "level": "error", "event": "a worker ended", "facts": facts}


def test_a_node_that_does_not_answer_is_1(main: Main, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "ask_events", lambda http, key: NodeEvents([], ["b", "c"]))
    assert main("events", "--api-key", "the key") == (1, "", "pushgate: no answer from b, c\n")


def test_no_key_is_2(main: Main) -> None:
    status, _, said = main("events")
    assert status == 2
    assert "no API key" in said
