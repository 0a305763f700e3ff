"""deploy/monitoring as it lies there: valid, complete, and in step with the metrics and the runbooks."""

import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from pushgate.metrics.catalogue import CATALOGUE, TENANT_CATALOGUE
from tests.monitoring.places import (
    DASHBOARDS,
    MONITORING,
    ROOT,
    RULES,
    alert_names,
    find_program,
    load_dashboard,
    queries_of,
)

UNITS = {"none", "short", "ops", "reqps", "s", "bytes", "Bps", "percentunit"}
"""Grafana's names of the units that we use."""


def check(*command: str) -> str:
    said = subprocess.run(command, cwd=MONITORING, capture_output=True, text=True, timeout=60, check=False)
    assert said.returncode == 0, said.stdout + said.stderr
    return said.stdout


def names_in(text: str) -> set[str]:
    return set(re.findall(r"\bpushgate_\w+", text))


def metric_names() -> set[str]:
    names = {"pushgate_build_info", "pushgate_node_info"}
    for metric in (*CATALOGUE, *TENANT_CATALOGUE):
        ends = ("_bucket", "_sum", "_count") if metric.kind == "histogram" else ("",)
        names |= {f"pushgate_{metric.name}{end}" for end in ends}
    return names


def recorded_names() -> set[str]:
    return {name for file in RULES for name in re.findall(r"- record: (\S+)", file.read_text())}


def test_prometheus_takes_configuration_and_rules() -> None:
    said = check(find_program("promtool"), "check", "config", "prometheus.yml")
    assert "2 rule files found" in said


def test_the_rules_say_what_they_should() -> None:
    tests = [str(file) for file in sorted((MONITORING / "rules-tests").glob("*.yml"))]
    said = check(find_program("promtool"), "test", "rules", *tests)
    assert said.count("SUCCESS") == len(tests) == 3


def test_alertmanager_takes_its_configuration() -> None:
    check(find_program("amtool"), "check-config", "alertmanager.yml")


def test_every_alert_is_tried_and_has_a_runbook() -> None:
    names = alert_names()
    assert len(names) == len(set(names)) > 20
    alerts = (MONITORING / "rules" / "pushgate-alerts.yml").read_text()
    tried = "".join(file.read_text() for file in (MONITORING / "rules-tests").glob("*.yml"))
    page = (ROOT / "docs" / "operations.md").read_text()
    headings = re.findall(r"^### (Pushgate\w+)$", page, re.M)
    anchors = re.findall(r"runbook_url: docs/operations\.md#(\w+)", alerts)
    assert len(anchors) == len(names)
    assert {heading.lower() for heading in headings} == set(anchors), "a runbook for each alert, and none without"
    for name in names:
        assert f'"{name}"' in tried or f"alertname: {name}\n" in tried, name
        assert f"`{name}`" in page or name in headings, name


@pytest.mark.parametrize("file", [*RULES, *DASHBOARDS], ids=lambda file: file.name)
def test_what_is_asked_for_is_there(file: Path) -> None:
    text = file.read_text()
    recorded = {match for name in recorded_names() for match in names_in(name)}
    assert names_in(re.sub(r"docs/operations\S*", "", text)) - recorded <= metric_names()
    assert set(re.findall(r"\b(?:job|instance|tenant):pushgate_\w+:\w+", text)) <= recorded_names()


def test_the_dashboards_are_those_that_are_described() -> None:
    script = ROOT / "scripts" / "write-dashboards"
    assert subprocess.run([sys.executable, script, "--check"], check=False).returncode == 0, f"run {script.name}"
    assert len(DASHBOARDS) == len(list((MONITORING / "grafana" / "panels").glob("*.toml"))) == 4


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_a_dashboard_is_whole(file: Path) -> None:
    board = load_dashboard(file)
    assert board["uid"] == f"pushgate-{file.stem}"
    assert board["title"].startswith("Pushgate ")
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    variables = {variable["name"] for variable in board["templating"]["list"]}
    for title, query in queries_of(board):
        assert set(re.findall(r"\$(\w+)", query)) - {"__rate_interval"} <= variables, title
        assert "$job" in query, f"{title}: of one cluster alone"
        assert not re.search("[@%]", query), title
    for one, other in combinations(panels, 2):
        assert not overlap(one["gridPos"], other["gridPos"]), (one["title"], other["title"])
    for panel in panels:
        place = panel["gridPos"]
        assert min(place["x"], place["y"]) >= 0
        assert place["x"] + place["w"] <= 24
        if panel["type"] != "row":
            check_panel(panel)


def check_panel(panel: dict[str, Any]) -> None:
    title = panel["title"]
    assert panel["type"] in ("timeseries", "stat", "table"), title
    assert len(panel["description"]) > 20, title
    runbooks = re.findall(r"Pushgate\w+", panel["description"])
    assert set(runbooks) <= set(alert_names()), title
    defaults = panel["fieldConfig"]["defaults"]
    assert defaults["unit"] in UNITS, title
    steps = defaults["thresholds"]["steps"]
    assert steps[0]["value"] is None, title
    limits = [step["value"] for step in steps[1:]]
    assert limits == sorted(limits), title
    sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
    provisioned = (MONITORING / "grafana" / "provisioning" / "datasources" / "pushgate.yml").read_text()
    for source in sources:
        assert source["type"] == "prometheus", title
        assert f"uid: {source['uid']}\n" in provisioned, title
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]) > 0, title


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return all(one[at] < other[at] + other[size] and other[at] < one[at] + one[size] for at, size in ("xw", "yh"))
