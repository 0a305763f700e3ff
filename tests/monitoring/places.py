"""Where the monitoring is, and the programs that know it."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "deploy" / "monitoring"
RULES = sorted((MONITORING / "rules").glob("*.yml"))
DASHBOARDS = sorted((MONITORING / "grafana" / "dashboards").glob("*.json"))


def find_program(name: str) -> str:
    """Return the path of a program. Where it is missing the test is skipped, or fails in CI."""
    found = shutil.which(name)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is not here")
        pytest.skip(f"{name} is not here: scripts/install-test-tools")
    return found


def load_dashboard(file: Path) -> dict[str, Any]:
    """Return a dashboard."""
    loaded: dict[str, Any] = json.loads(file.read_text())
    return loaded


def queries_of(dashboard: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the title of each panel that asks, and what it asks."""
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


def alert_names() -> list[str]:
    """Return the names of all alerts."""
    return re.findall(r"- alert: (\w+)", (MONITORING / "rules" / "pushgate-alerts.yml").read_text())
