import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from pushgate.client.errors import Unreachable
from pushgate.client.status import Look
from pushgate.doctor.examine import examine_node
from pushgate.doctor.finding import Finding
from pushgate.doctor.node import CHECKS, DAY, check_nodes, explain_silence, find_pid
from tests.monitoring.places import ROOT

WELL: dict[str, dict[str, float]] = {
    "connections": {"": 1200},
    "worker_start_time_seconds": {"0": 1.7e9, "1": 1.7e9},
    "worker_restarts_total": {"0": 0, "1": 0},
    "worker_loop_lag_seconds": {"0": 0.001, "1": 0.004},
    "worker_open_files": {"0": 100, "1": 800},
    "worker_max_files": {"0": 1000, "1": 1000},
    "worker_bus_connected": {"0": 1, "1": 1},
    "worker_inbox_away": {"0": 0, "1": 0},
    "nats_stored_bytes": {"": 100},
    "nats_max_stored_bytes": {"": 1000},
    "tenant_inbox_bytes": {"acme": 10, "free": 500},
    "tenant_inbox_max_bytes": {"acme": 1000, "free": 0},
}


def look(not_ready: str = "", **metrics: dict[str, float]) -> Look:
    return Look(0.0, {**WELL, **metrics}, {}, not_ready)


def client(answer: Callable[[httpx.Request], httpx.Response]) -> httpx.Client:
    return httpx.Client(transport=httpx.MockTransport(answer), base_url="http://node")


def test_a_node_that_is_well() -> None:
    nodes = {"nodes": [{"node": "a", "version": "1", "workers": 2, "ready": True}], "missing": []}
    with client(lambda request: httpx.Response(200, json=nodes)) as http:
        findings = list(examine_node(look(), http, "key"))
        assert [finding.check for finding in findings] == [*CHECKS, "nodes"]
        assert {finding.state for finding in findings} == {"ok"}
        assert {finding.mend for finding in findings} == {""}
        assert [finding.check for finding in examine_node(look(), http, "")] == [*CHECKS], "no key, no question"


@pytest.mark.parametrize(
    ("check", "seen", "state", "says"),
    [
        ("ready", look(not_ready="the bus is away"), "wrong", "not ready: the bus is away"),
        ("workers", look(worker_start_time_seconds={"0": 1.7e9, "1": 0}), "wrong", "away: worker 1"),
        ("workers", look(worker_restarts_total={"0": 2}), "warning", "2 restarts"),
        ("loop lag", look(worker_loop_lag_seconds={"0": 0.3}), "warning", "300 ms late"),
        ("files in use", look(worker_open_files={"0": 1, "1": 900}), "warning", "90% of"),
        ("files in use", look(worker_open_files={"0": 1, "1": 999}), "wrong", "100% of"),
        ("bus", look(worker_bus_connected={"0": 0, "1": 1}), "wrong", "away for worker 0"),
        ("bus", look(bus_gaps_total={"": 3}), "warning", "3 gaps"),
        ("inbox", look(worker_inbox_away={"0": 1, "1": 1}), "wrong", "away for worker 0, 1"),
        ("store", look(nats_stored_bytes={"": 850}), "warning", "85% of"),
        ("store", look(nats_stored_bytes={"": 980}), "wrong", "98% of"),
        ("store", look(nats_max_stored_bytes={"": 0}), "ok", "no nats-server"),
        ("tenants", look(tenant_inbox_bytes={"acme": 900, "free": 5}), "warning", "90% of the inbox of tenant acme"),
        ("tenants", look(tenant_inbox_max_bytes={"acme": 0, "free": 0}), "ok", "no tenant has a limit"),
    ],
)
def test_what_is_not_well(check: str, seen: Look, state: str, says: str) -> None:
    finding = CHECKS[check](seen)
    assert finding.state == state
    assert says in finding.says
    assert has_runbook(finding) == (state != "ok")


def has_runbook(finding: Finding) -> bool:
    """Whether a finding leads to a heading of docs/operations.md."""
    page, _, anchor = finding.mend.partition("#")
    return bool(page) and f"\n### {anchor}\n" in (ROOT / page).read_text().lower()


@pytest.mark.parametrize(("days", "state"), [(30, "ok"), (10, "warning"), (1, "wrong"), (-1, "wrong")])
def test_certificates(days: float, state: str) -> None:
    expiry = {"clients": time.time() + days * DAY + 60, "management": 0.0}
    finding = CHECKS["certificates"](look(certificate_expiry_timestamp_seconds=expiry))
    assert (finding.state, finding.says) == (state, f"that for clients is good for {days:.1f} days")
    assert has_runbook(finding) == (state != "ok")


def node(name: str, ready: bool = True) -> dict[str, object]:
    return {"node": name, "version": "1", "workers": 2, "ready": ready}


@pytest.mark.parametrize(
    ("answer", "state", "says"),
    [
        (httpx.Response(200, json={"nodes": [node("a"), node("b")], "missing": []}), "ok", "2 answered"),
        (httpx.Response(200, json={"nodes": [node("a")], "missing": ["b"]}), "wrong", "no answer from b"),
        (httpx.Response(200, json={"nodes": [node("a", False)], "missing": []}), "warning", "not ready: a"),
        (httpx.Response(401, json={}), "warning", "no tenant has the API key"),
        (httpx.Response(503, json={"code": "bus_unavailable"}), "wrong", "answered with 503"),
    ],
)
def test_the_nodes_of_a_cluster(answer: httpx.Response, state: str, says: str) -> None:
    asked: list[str] = []

    def take(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers["Authorization"])
        return answer

    with client(take) as http:
        finding = check_nodes(http, "secret")
    assert asked == ["Bearer secret"]
    assert finding.state == state
    assert says in finding.says
    assert "secret" not in finding.says


def test_a_node_that_dies_while_it_is_asked() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with client(refuse) as http:
        finding = check_nodes(http, "key")
    assert (finding.state, has_runbook(finding)) == ("wrong", True)


def test_the_process_of_a_data_directory(tmp_path: Path) -> None:
    root, data = tmp_path, tmp_path / "data"
    assert find_pid(root, data) == 0
    data.mkdir()
    (data / "node.lock").write_text("77\n")
    assert find_pid(root, data) == 0, "it has ended"
    (root / "proc/77").mkdir(parents=True)
    (root / "proc/77/cmdline").write_bytes(b"/usr/bin/vim\0notes\0")
    assert find_pid(root, data) == 0, "its number is another's"
    (root / "proc/77/cmdline").write_bytes(b"/usr/bin/python3\0/usr/bin/pushgate\0run\0")
    assert find_pid(root, data) == 77
    (data / "node.lock").write_text("")
    assert find_pid(root, data) == 0


def test_silence_is_wrong_where_a_node_should_be(tmp_path: Path) -> None:
    error = Unreachable("http://node: refused")
    assert explain_silence(tmp_path, 0, False, error).state == "ok"
    asked_for = explain_silence(tmp_path, 0, True, error)
    assert (asked_for.state, asked_for.says) == ("wrong", "http://node: refused")
    running = explain_silence(tmp_path, 77, True, error)
    assert running.says == f"process 77 has {tmp_path} and does not answer: http://node: refused"
    assert has_runbook(running)
