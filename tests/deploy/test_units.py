"""The systemd unit and the kernel settings, judged by systemd and this kernel."""

import sys
from pathlib import Path

from tests.deploy.tools import run_tool

DEPLOY = Path(__file__).parents[2] / "deploy"
UNIT = DEPLOY / "systemd" / "pushgate.service"


def test_systemd_finds_no_fault_with_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "pushgate.service"
    text = UNIT.read_text()
    assert text.count("/opt/pushgate/bin/pushgate") == 1
    unit.write_text(text.replace("/opt/pushgate/bin/pushgate", sys.executable))
    done = run_tool("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit))
    assert (done.returncode, done.stderr) == (0, "")
    unit.write_text(unit.read_text().replace("KillMode=mixed", "KillMode=some"))
    assert "kill mode" in run_tool("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit)).stderr


def test_the_unit_is_exposed_little() -> None:
    done = run_tool("systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", str(UNIT))
    assert done.returncode == 0, done.stdout


def test_each_kernel_setting_is_known_here_or_said_to_need_a_module() -> None:
    lines = (DEPLOY / "sysctl.d" / "60-pushgate.conf").read_text().splitlines()
    names = [line.partition("=")[0].strip() for line in lines if line and not line.startswith("#")]
    assert len(names) >= 8
    for name in names:
        assert name.startswith("-") or Path("/proc/sys", name.replace(".", "/")).exists(), name
