"""The documentation site: `make docs`."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.rig.browser import expect, launch

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def build(config: Path, into: Path) -> "subprocess.CompletedProcess[str]":
    if find_spec("mkdocs") is None:
        reason = "mkdocs is not here (make docs installs it)"
        assert os.environ.get("CI") != "true", reason
        pytest.skip(reason)
    command = [sys.executable, "-m", "mkdocs", "build", "--config-file", str(config), "--site-dir", str(into)]
    environ = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, check=False, env=environ, capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built."""
    into = tmp_path_factory.mktemp("site")
    built = build(ROOT / "mkdocs.yml", into)
    assert built.returncode == 0, built.stderr
    return into


def test_it_has_all_pages_and_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = list(site.glob("*.html"))
    assert {page.stem for page in pages} >= {page.stem for page in DOCS.glob("*.md")}
    for page in pages:
        loaded = re.findall(r"<(?:script|link|img|iframe)[^>]*?(?:src|href)=.(https?:[^\"' >]+)", page.read_text())
        assert loaded == [], page.name


async def test_diagrams_are_drawn(site: Path) -> None:
    diagrams = {page.stem: page.read_text().count("```mermaid\n") for page in DOCS.glob("*.md")}
    assert sum(diagrams.values()) == len(list((DOCS / "diagrams").iterdir())) > 0
    async with launch() as chromium:
        page = await chromium.new_page()
        for name, count in diagrams.items():
            if count:
                await page.goto((site / f"{name}.html").as_uri())
                drawings = page.locator("figure.diagram svg")
                await expect(drawings).to_have_count(count)
                for drawing in await drawings.all():
                    await expect(drawing).to_be_visible()
                    box = await drawing.bounding_box()
                    assert box
                    assert min(box["width"], box["height"]) > 200, name
                    await expect(drawing.locator("text").first).to_be_visible()


def test_each_runbook_is_where_the_operator_guide_puts_it(site: Path) -> None:
    """What the guide's `sed` makes of the alerts' `runbook_url` leads to a place on the site."""
    command = re.search(r"sed -i 's\|([^|]+)\|https://[^/|]+/([^|]+)\|'", (DOCS / "operations.md").read_text())
    assert command
    rules = (ROOT / "deploy" / "monitoring" / "rules" / "pushgate-alerts.yml").read_text()
    runbooks = re.findall(r"runbook_url: (\S+)", rules)
    assert len(runbooks) > 20
    for runbook in runbooks:
        page, _, anchor = runbook.replace(*command.groups()).partition("#")
        assert f'id="{anchor}"' in (site / page).read_text(), runbook


@pytest.mark.parametrize("wrong", ["[there](nowhere.md)", "[there](index.md#nowhere)", "```mermaid\nnowhere\n```"])
def test_what_leads_nowhere_fails_the_build(wrong: str, tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "index.md").write_text(f"# Here\n\n{wrong}\n")
    config = tmp_path / "mkdocs.yml"
    config.write_text(
        f"INHERIT: {ROOT / 'mkdocs.yml'}\nnav: [index.md]\nhooks: [{ROOT / 'scripts' / 'docs_hooks.py'}]\n"
    )
    built = build(config, tmp_path / "site")
    assert built.returncode == 1
    assert re.search(r"nowhere|\.svg", built.stderr)
