import json
import time
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec import structs
from rich.console import Console

from pushgate.cli import status as command
from pushgate.cli import status_tables
from pushgate.client import nodes as client_nodes
from pushgate.client import status as client
from pushgate.client.errors import ApiProblem, Unreachable
from pushgate.client.status import BusState, Look, Rates, Status, Worker
from pushgate.messages.nodes import Nodes, NodeState
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
NODES = Nodes(
    [
        NodeState("node-1", "1.2.3", 2, True, [], False, False, 7300, 7512, 7000, 1234.5, 12345, 2, 2),
        NodeState("old", "1.2.2", 4, True),
    ],
    [],
)


class Answers:
    """What the node is asked for, in turn; the last one for ever. `nodes` is what it says of all nodes."""

    def __init__(self, *said: Status | Exception) -> None:
        self.said = list(said)
        self.nodes: Nodes | Exception = NODES
        self.keys: list[str] = []
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

    def ask_nodes(self, http: httpx.Client, api_key: str) -> Nodes:
        self.keys.append(api_key)
        if isinstance(self.nodes, Exception):
            raise self.nodes
        return self.nodes

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        if len(self.pauses) == 5:
            raise KeyboardInterrupt


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Answers:
    answers = Answers(NODE)
    monkeypatch.setattr(client, "look", answers.look)
    monkeypatch.setattr(client, "compare", answers.compare)
    monkeypatch.setattr(client_nodes, "ask_nodes", answers.ask_nodes)
    monkeypatch.setattr(time, "sleep", answers.sleep)
    return answers


def test_a_table_of_the_node_alone_where_there_is_no_key(node: Answers) -> None:
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


def table_of(out: str) -> list[str]:
    """Return the lines of the table of the nodes, what stands between two columns as one space."""
    return [" ".join(line.split()) for line in out.partition("\n\n")[0].splitlines()]


def test_with_a_key_a_table_of_all_nodes_comes_first(node: Answers) -> None:
    result = invoke("status", "--api-key", "the key")
    assert (result.exit_code, result.stderr) == (0, "")
    assert node.keys == ["the key"]
    assert table_of(result.stdout) == [
        "node version state up connections users in/s out/s bus inbox",
        "node-1 1.2.3 ready 2 h 7,512 7,000 1,234 12,345 2/2 2/2",
        "old 1.2.2 ready - - - - - - -",
    ]
    assert "\n\nnode-1  pushgate 1.2.3, Python 3.11, up 2 h, ready\n" in result.stdout


def test_the_key_in_the_data_directory_will_do(node: Answers, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "keys.json").write_text(
        '{"api_key": "the key in its file", "token_secret": "0123456789abcdef0123456789abcdef"}'
    )
    assert invoke("status", "--data-dir", "there").exit_code == 0
    assert node.keys == ["the key in its file"]


def test_nodes_that_did_not_answer_or_are_not_ready_are_named_and_it_is_1(node: Answers, main: Main) -> None:
    waiting = NodeState("b", "1.2.3", 2, False, ["the bus is away"], False, False, 5, 1, 1, 0, 0, 0, 1)
    empty = structs.replace(waiting, node="d", draining=True, not_ready=["the node is drained"], bus_workers=2)
    moving = structs.replace(NODES.nodes[0], node="e", upgrading=True, inbox_workers=None)
    node.nodes = Nodes([NODES.nodes[0], waiting, empty, moving], ["c", "a"])
    code, out, err = main("status", "--api-key", "k")
    assert code == 1
    assert table_of(out)[1:] == [
        "a no answer",
        "b 1.2.3 not ready 5 s 1 1 0 0 0/2 1/2",
        "c no answer",
        "d 1.2.3 draining 5 s 1 1 0 0 2/2 1/2",
        "e 1.2.3 upgrading 2 h 7,512 7,000 1,234 12,345 2/2 -",
        "node-1 1.2.3 ready 2 h 7,512 7,000 1,234 12,345 2/2 2/2",
    ]
    assert err.splitlines() == [
        "pushgate: b is not ready: the bus is away",
        "pushgate: d is not ready: the node is drained",
        "pushgate: no answer from c, a",
    ]


def test_two_nodes_of_one_name_are_two_rows(node: Answers) -> None:
    node.nodes = Nodes([NODES.nodes[0]] * 2, ["node-1"])
    lines = table_of(invoke("status", "--api-key", "k").stdout)
    assert [line.split()[0] for line in lines[1:]] == ["node-1"] * 3


def test_three_busy_nodes_fit_into_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = NodeState("gateway-1", "10.12.3", 16, True, [], False, True, 119 * 60, 999999, 999999, 99999, 99999, 16, 16)
    names = ("gateway-1", "gateway-2", "gateway-3")
    table = status_tables._cluster_table(Nodes([structs.replace(busy, node=name) for name in names], []))
    shown = Console(width=80, file=StringIO(), highlight=False)
    shown.print(table)
    assert isinstance(shown.file, StringIO)
    lines = shown.file.getvalue().splitlines()
    assert [line.split()[0] for line in lines] == ["node", *names], "no line is folded"
    assert all("999,999 999,999 99,999 99,999 16/16 16/16" in line for line in lines[1:])


def test_what_keeps_the_nodes_from_being_known_is_said_and_the_node_is_shown(node: Answers, main: Main) -> None:
    node.nodes = ApiProblem(503, "bus_unavailable", "the bus is away")
    code, out, err = main("status", "--api-key", "k")
    assert code == 1
    assert out.startswith("node-1  pushgate")
    assert err == "pushgate: the nodes are not known: 503 bus_unavailable: the bus is away\n"


def test_json_has_what_the_nodes_answered(node: Answers) -> None:
    node.nodes = Nodes(NODES.nodes[:1], ["b"])
    result = invoke("status", "--json", "--api-key", "k")
    assert result.exit_code == 1
    cluster = json.loads(result.stdout)["cluster"]
    assert cluster == {"nodes": [structs.asdict(NODES.nodes[0])], "missing": ["b"]}


def test_json(node: Answers) -> None:
    result = invoke("status", "--json")
    assert result.exit_code == 0
    said: dict[str, Any] = json.loads(result.stdout)
    assert (said["node"], said["rates"]["delivered"], said["bus"]["lag"]) == ("node-1", 12345, 0.0021)
    assert said["cluster"] is None
    assert [worker["files"] for worker in said["workers"]] == [7550, 0]


def test_a_node_that_is_not_ready_is_1(node: Answers, main: Main) -> None:
    node.said = [structs.replace(NODE, not_ready="the bus is away")]
    node.nodes = Nodes([structs.replace(NODES.nodes[0], ready=False, not_ready=["the bus is away"])], [])
    code, out, err = main("status", "--api-key", "k")
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
