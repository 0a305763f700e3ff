import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from pushgate.codes import CLOSE_ADVICE, Close

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(
    [*(ROOT / "docs").glob("*.md"), *(ROOT / "examples").rglob("*.md")]
)


def test_written_pages_are_what_the_code_says() -> None:
    script = ROOT / "scripts" / "write-pages"
    assert subprocess.run([sys.executable, script, "--check"], check=False).returncode == 0, f"run {script.name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)", page.read_text()):
        if "://" not in link:
            assert (page.parent / link).exists(), link


def test_every_close_code_is_explained() -> None:
    assert set(CLOSE_ADVICE) == set(Close)
    protocol = (ROOT / "docs" / "protocol.md").read_text()
    for code in Close:
        if code >= 4000:
            assert str(code.value) in protocol


def build_site(config: Path, into: Path) -> "subprocess.CompletedProcess[str]":
    if find_spec("mkdocs") is None:
        reason = "mkdocs is not here (make docs installs it)"
        assert os.environ.get("CI") != "true", reason
        pytest.skip(reason)
    command = [sys.executable, "-m", "mkdocs", "build", "--config-file", str(config), "--site-dir", str(into)]
    environ = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, check=False, env=environ, capture_output=True, text=True, timeout=60)


def test_the_site_is_built_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    built = build_site(ROOT / "mkdocs.yml", tmp_path)
    assert built.returncode == 0, built.stderr
    pages = list(tmp_path.glob("*.html"))
    assert {page.stem for page in pages} >= {page.stem for page in (ROOT / "docs").glob("*.md")}
    for page in pages:
        loaded = re.findall(r"<(?:script|link|img|iframe)[^>]*?(?:src|href)=.(https?:[^\"' >]+)", page.read_text())
        assert loaded == [], page.name


@pytest.mark.parametrize("link", ["nowhere.md", "index.md#nowhere"])
def test_a_link_that_leads_nowhere_fails_the_build(link: str, tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "index.md").write_text(f"# Here\n\n[there]({link})\n")
    config = tmp_path / "mkdocs.yml"
    config.write_text(f"INHERIT: {ROOT / 'mkdocs.yml'}\nnav: [index.md]\nhooks: []\n")
    built = build_site(config, tmp_path / "site")
    assert built.returncode == 1
    assert "nowhere" in built.stderr
