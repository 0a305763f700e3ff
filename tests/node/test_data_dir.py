import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pushgate.errors import StartError
from pushgate.node.data_dir import DataDir, GeneratedKeys, read_keys, write_whole


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "some" / "data"


@pytest.fixture
def data_dir(path: Path) -> Iterator[DataDir]:
    with closing(DataDir.open(path)) as data_dir:
        yield data_dir


def test_what_it_makes_is_for_the_owner_alone(path: Path) -> None:
    before = os.umask(0)
    try:
        with closing(DataDir.open(path)) as data_dir:
            data_dir.generated_keys()
            assert mode(path) == mode(data_dir.nats) == 0o700
            assert mode(path / "node.lock") == mode(path / "keys.json") == 0o600
    finally:
        os.umask(before)


def test_a_relative_path_holds_after_a_change_of_directory(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.mkdir(parents=True)
    monkeypatch.chdir(path.parent)
    with closing(DataDir.open(Path("data"))) as data_dir:
        monkeypatch.chdir("/")
        assert data_dir.path == path
        data_dir.generated_keys()
        assert (path / "keys.json").exists()


def test_a_second_one_is_refused_and_told_the_pid_until_the_first_is_closed(path: Path) -> None:
    first = DataDir.open(path)
    with pytest.raises(StartError, match=rf"{re.escape(str(path))} is used by another pushgate, pid {os.getpid()}$"):
        DataDir.open(path)
    first.close()
    first.close()
    DataDir.open(path).close()


def test_the_lock_is_gone_with_a_killed_process_and_not_inherited_by_programs(path: Path) -> None:
    program = (
        "import subprocess, sys; from pathlib import Path; from pushgate.node.data_dir import DataDir\n"
        "data_dir = DataDir.open(Path(sys.argv[1]))\n"
        "heir = subprocess.Popen(['sleep', '60'], close_fds=False)\n"
        "print(heir.pid, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
    ) as holder:
        assert holder.stdout is not None
        heir = int(holder.stdout.readline())
        try:
            with pytest.raises(StartError, match=f"pid {holder.pid}"):
                DataDir.open(path)
            holder.kill()
            holder.wait()
            DataDir.open(path).close()
        finally:
            holder.kill()
            os.kill(heir, 9)


def test_a_forked_child_that_closes_the_lock_does_not_keep_the_lock(data_dir: DataDir, path: Path) -> None:
    """The child lives on when the parent has let go."""
    hold, release = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(release)
        os.close(data_dir._lock)
        os.read(hold, 1)
        os._exit(0)
    os.close(hold)
    try:
        # closing in the parent alone would not do were the child's copy still there: wait until it is not
        copy = f"/proc/{child}/fd/{data_dir._lock}"
        while os.path.lexists(copy):
            pass
        data_dir.close()
        assert data_dir._lock < 0
        DataDir.open(path).close()
    finally:
        os.close(release)
        os.waitpid(child, 0)


def test_a_file_in_the_way_is_a_start_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "data"):
        with pytest.raises(StartError, match="not a directory"):
            DataDir.open(path)


@pytest.mark.parametrize("path", ["/proc/data", "/dev/null/data", "/" + "x" * 300])
def test_a_place_that_cannot_be_written_is_a_start_error_with_the_reason(path: str) -> None:
    with pytest.raises(StartError, match=rf"{path}.*(No such file|not a directory|name too long)"):
        DataDir.open(Path(path))


def test_keys_are_made_once_and_kept(data_dir: DataDir, path: Path) -> None:
    assert read_keys(path) is None
    keys = data_dir.generated_keys()
    assert re.fullmatch(r"pg_[\w-]{43}", keys.api_key)
    assert re.fullmatch(r"[\w-]{64}", keys.token_secret)
    assert data_dir.generated_keys() == keys == read_keys(path)
    data_dir.close()
    with closing(DataDir.open(path)) as again:
        assert again.generated_keys() == keys


def test_two_directories_have_different_keys(data_dir: DataDir, tmp_path: Path) -> None:
    with closing(DataDir.open(tmp_path / "other")) as other:
        assert other.generated_keys() != data_dir.generated_keys()


def test_keys_are_not_shown_by_accident(data_dir: DataDir) -> None:
    keys = data_dir.generated_keys()
    assert keys.api_key not in f"{keys} {keys!r}"
    assert keys.token_secret not in f"{keys} {keys!r}"


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"api_key": ""}', b"\xff", b'{"api_key": 1, "token_secret": 2}']
)
def test_damaged_keys_are_a_start_error_and_never_replaced(data_dir: DataDir, path: Path, content: bytes) -> None:
    (path / "keys.json").write_bytes(content)
    with pytest.raises(StartError, match=r"keys\.json is damaged"):
        data_dir.generated_keys()
    with pytest.raises(StartError, match=r"keys\.json is damaged"):
        read_keys(path)
    assert (path / "keys.json").read_bytes() == content


def test_keys_of_a_later_version_can_be_read(data_dir: DataDir, path: Path) -> None:
    (path / "keys.json").write_text('{"api_key": "pg_0123456789abcdef", "token_secret": "0123456789abcdef", "new": 1}')
    assert data_dir.generated_keys() == GeneratedKeys("pg_0123456789abcdef", "0123456789abcdef")


def test_a_file_is_written_whole_over_what_a_crash_left(tmp_path: Path) -> None:
    file = tmp_path / "file"
    (tmp_path / ".file.new").write_text("half a fi")
    write_whole(file, b"first")
    write_whole(file, b"second")
    assert file.read_bytes() == b"second"
    assert [found.name for found in tmp_path.iterdir()] == ["file"]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
