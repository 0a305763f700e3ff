import re
import subprocess
import sys
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
