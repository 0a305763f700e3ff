import json
from pathlib import Path
from typing import Any

import pytest

from pushgate.client import status as client
from pushgate.client.errors import Unreachable
from pushgate.doctor import examine, node
from pushgate.doctor.finding import Finding, Plan
from tests.cli.conftest import Main, invoke
from tests.doctor.test_node import look

FINDINGS = [
    Finding(check="open files", state="ok", says="20,000 for each of 2 workers", connections=38_000),
    Finding(check="conntrack", state="warning", says="of [262,144]", connections=9_000, mend="echo more >>conf"),
    Finding(check="clock", state="ok", says="it is kept right"),
]


class Machine:
    """What the doctor is shown; `plans` are what it asked about."""

    def __init__(self) -> None:
        self.findings = list(FINDINGS)
        self.node: client.Look | Exception = Unreachable("http://node: refused")
        self.plans: list[tuple[Plan, Path]] = []
        self.asked: list[tuple[str, str]] = []
        self.pid = 0

    def examine_machine(self, plan: Plan, data_dir: Path) -> list[Finding]:
        self.plans.append((plan, data_dir))
        return self.findings

    def examine_node(self, seen: client.Look, http: Any, key: str) -> list[Finding]:
        self.asked.append((str(http.base_url), key))
        return [Finding(check="ready", state="ok", says="ready")]

    def look(self, http: Any) -> client.Look:
        if isinstance(self.node, Exception):
            raise self.node
        return self.node


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setattr(examine, "examine_machine", made.examine_machine)
    monkeypatch.setattr(examine, "examine_node", made.examine_node)
    monkeypatch.setattr(client, "look", made.look)
    monkeypatch.setattr(node, "find_pid", lambda root, data_dir: made.pid)
    return made


def test_what_it_holds_and_what_mends_it(machine: Machine) -> None:
    result = invoke("doctor")
    assert result.exit_code == 0, result.stderr
    lines = [" ".join(line.split()) for line in result.stdout.splitlines() if line]
    assert lines == [
        "This machine holds 9,000 connections, by its conntrack.",
        "ok open files 38,000 20,000 for each of 2 workers",
        "warning conntrack 9,000 of [262,144]",
        "mend echo more >>conf",
        "ok clock it is kept right",
        "ok node none runs on pushgate-data",
    ]


def test_json(machine: Machine) -> None:
    said: dict[str, Any] = json.loads(invoke("doctor", "--json").stdout)
    assert (said["connections"], said["narrowest"]) == (9_000, "conntrack")
    assert [finding["check"] for finding in said["machine"]] == [finding.check for finding in FINDINGS]
    assert said["node"][0]["state"] == "ok"


def test_what_is_wrong_is_1(machine: Machine, main: Main) -> None:
    machine.findings[0] = Finding(check="open files", state="wrong", says="256", connections=200, mend="more")
    code, out, err = main("doctor")
    assert (code, err) == (1, "")
    assert "holds 200 connections, by its open files" in out


def test_a_node_that_should_answer_and_does_not_is_1(machine: Machine, main: Main) -> None:
    assert main("doctor", "--api", "http://node")[0] == 1, "somebody said that there is one"
    machine.pid = 77
    code, out, _ = main("doctor")
    assert code == 1
    assert "process 77 has pushgate-data and does not answer: http://node: refused" in out


def test_it_looks_where_the_configuration_says(machine: Machine, tmp_path: Path) -> None:
    machine.node = look()
    file = tmp_path / "pushgate.toml"
    file.write_text(
        '[node]\nworkers = 8\ndata_dir = "there"\n'
        '[clients]\nbacklog = 500\ntls_certificate = "a"\ntls_key = "b"\n'
        '[management]\nhost = "::"\nport = 9001\ntls_certificate = "a"\ntls_key = "b"\n'
    )
    assert invoke("doctor", "--config", str(file), "--connections", "5", "--api-key", "secret").exit_code == 0
    machine.pid = 77
    assert invoke("doctor", "--config", str(file), "--data-dir", "here").exit_code == 0
    assert machine.asked == [("https://[::1]:9001", "secret"), ("https://[::1]:9001", "")]
    assert machine.plans == [
        (Plan(workers=8, wanted=5, backlog=500, tls=True), Path("there")),
        (Plan(workers=8, wanted=10_000, backlog=500, tls=True, pid=77, held=1200), Path("here")),
    ], "connections of a node elsewhere take nothing here"


def test_the_key_of_a_data_directory_is_used(machine: Machine, tmp_path: Path) -> None:
    machine.node = look()
    (tmp_path / "keys.json").write_text(json.dumps({"api_key": "k" * 20, "token_secret": "s" * 40}))
    assert invoke("doctor", "--data-dir", str(tmp_path)).exit_code == 0
    (tmp_path / "keys.json").write_text("damaged")
    assert invoke("doctor", "--data-dir", str(tmp_path)).exit_code == 0
    assert [key for _, key in machine.asked] == ["k" * 20, ""]
