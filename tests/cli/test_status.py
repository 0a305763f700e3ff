import json
import time
from typing import Any

import httpx
import pytest
from msgspec import structs

from pushgate.cli import status as command
from pushgate.client import status as client
from pushgate.client.errors import Unreachable
from pushgate.client.status import BusState, Look, Rates, Status, Worker
from tests.cli.conftest import Main, invoke

WORKERS = [
    Worker(0, 75.0, 7512, 7000, 0.42, 120 * 2**20, 0.0015, 0.002, 7550, 20000, 0, 0, True),
    Worker(1, None, 0, 0, 0.0, 0, 0.0, 0.0, 0, 0, 3, 2, False),
]
NODE = Status(
    "node-1",
    "1.2.3",
    "3.11",
    "",
    7300.0,
    7512,
    7000,
    5,
    3 * 2**30,
    False,
    Rates(1234.5, 0, 12345, 0.25, 3, 2, 0),
    BusState(1, 0.0021, 4, 5, 6),
    WORKERS,
)


class Answers:
    """What the node is asked for, in turn; the last one for ever."""

    def __init__(self, *said: Status | Exception) -> None:
        self.said = list(said)
        self.asked: list[str] = []
        self.pauses: list[float] = []

    def look(self, http: httpx.Client) -> Look:
        self.asked.append(str(http.base_url))
        said = self.said[0]
        if isinstance(said, Exception):
            self.said.pop(0)
            raise said
        return Look(0.0, {}, {}, "")

    def compare(self, before: Look, after: Look) -> Status:
        now = self.said.pop(0) if len(self.said) > 1 else self.said[0]
        assert isinstance(now, Status)
        return now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        if len(self.pauses) == 5:
            raise KeyboardInterrupt


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Answers:
    answers = Answers(NODE)
    monkeypatch.setattr(client, "look", answers.look)
    monkeypatch.setattr(client, "compare", answers.compare)
    monkeypatch.setattr(time, "sleep", answers.sleep)
    return answers


def test_a_table(node: Answers) -> None:
    result = invoke("status", "--api", "http://other:1")
    assert result.exit_code == 0, result.stderr
    assert node.asked == ["http://other:1"] * 2
    assert node.pauses == [command.PAUSE]
    lines = result.stdout.splitlines()
    assert lines[0] == "node-1  pushgate 1.2.3, Python 3.11, up 2 h, ready"
    assert "7,512 of 7,000 users, 5 in their handshake, 3.0 GiB in write buffers" in lines[1]
    assert "1,234 pushes (0 refused), 12,345 messages (0.2 dropped), 3.0 opened, 2.0 closed, 0 refused" in lines[2]
    assert "1 of 2 workers connected, 2.1 ms a push" in lines[3]
    assert "4 reconnects, 5 gaps, 6 restarts" in lines[3]
    first = "0 7,512 7,000 42% 120 MiB 1.5 ms 2.0 ms 7,550 / 20,000 75 s 0"
    assert [" ".join(line.split()) for line in lines[-2:]] == [
        first,
        "1 0 0 0% 0 B 0.0 ms 0.0 ms 0 / 0 away 3 (2 stuck)",
    ]


def test_json(node: Answers) -> None:
    result = invoke("status", "--json")
    assert result.exit_code == 0
    said: dict[str, Any] = json.loads(result.stdout)
    assert (said["node"], said["rates"]["delivered"], said["bus"]["lag"]) == ("node-1", 12345, 0.0021)
    assert [worker["files"] for worker in said["workers"]] == [7550, 0]


def test_a_node_that_is_not_ready_is_1(node: Answers, main: Main) -> None:
    node.said = [structs.replace(NODE, not_ready="the bus is away")]
    code, out, err = main("status")
    assert code == 1
    assert "not ready: the bus is away" in out
    assert err == "pushgate: not ready: the bus is away\n"


def test_a_node_that_does_not_answer_is_1(node: Answers, main: Main) -> None:
    node.said = [Unreachable("http://127.0.0.1:8001: Connection refused")]
    assert main("status") == (1, "", "pushgate: http://127.0.0.1:8001: Connection refused\n")


def test_watching_goes_on_over_a_restart_of_the_node(node: Answers, main: Main) -> None:
    node.said = [NODE, Unreachable("away"), NODE]
    code, out, err = main("status", "--watch", "2", "--json")
    assert code == 0, "until it is interrupted"
    assert node.pauses == [2.0] * 5
    assert err == "pushgate: away\n"
    assert [json.loads(line)["node"] for line in out.splitlines()] == ["node-1"] * 2
