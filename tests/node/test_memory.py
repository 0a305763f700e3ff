from pathlib import Path

import pytest

from pushgate.metrics.catalogue import MEMORY_MAX, MEMORY_USED
from pushgate.metrics.rows import Rows
from pushgate.node.loop import Loop
from pushgate.node.memory import LOOK, Memory, read_memory, watch_memory
from tests.node.conftest import Clock

MIB = 1024 * 1024


def write(root: Path, **files: str) -> Path:
    """Write files by their paths, in which two underscores stand for a slash."""
    for name, text in files.items():
        file = root / name.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine with 1,000 MiB, of which 400 are in use, and no cgroup."""
    meminfo = f"MemTotal: {1000 * 1024} kB\nMemFree: 5 kB\nMemAvailable: {600 * 1024} kB\nHugePages_Total: 0\n"
    return write(tmp_path, proc__meminfo=meminfo, proc__self__cgroup="0::/\n")


def test_a_machine(root: Path) -> None:
    assert read_memory(root) == Memory(400 * MIB, 1000 * MIB)
    assert read_memory(root).left == 600 * MIB


def test_a_cgroup_that_has_less_left(root: Path) -> None:
    write(root, proc__self__cgroup="0::/system.slice/gate.service\n")
    slice_, unit = root / "sys/fs/cgroup/system.slice", root / "sys/fs/cgroup/system.slice/gate.service"
    unit.mkdir(parents=True)
    (unit / "memory.max").write_text("max\n")
    (unit / "memory.current").write_text(f"{50 * MIB}\n")
    (slice_ / "memory.max").write_text(f"{200 * MIB}\n")
    (slice_ / "memory.current").write_text(f"{90 * MIB}\n")
    (slice_ / "memory.stat").write_text(f"anon 1\ninactive_file {30 * MIB}\n")
    assert read_memory(root) == Memory(60 * MIB, 200 * MIB), "what the kernel would give back is not in use"
    (slice_ / "memory.max").write_text(f"{900 * MIB}\n")
    assert read_memory(root) == Memory(400 * MIB, 1000 * MIB), "the machine has less left"


def test_a_container_with_the_first_version_of_cgroups(root: Path) -> None:
    write(root, proc__self__cgroup="5:cpu:/docker/1\n4:hugetlb,memory:/docker/1\n0::/\n")
    group = root / "sys/fs/cgroup/memory"  # the path outside is not there inside
    group.mkdir(parents=True)
    (group / "memory.limit_in_bytes").write_text(f"{300 * MIB}\n")
    (group / "memory.usage_in_bytes").write_text(f"{200 * MIB}\n")
    (group / "memory.stat").write_text(f"total_inactive_file {10 * MIB}\n")
    assert read_memory(root) == Memory(190 * MIB, 300 * MIB)
    (group / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert read_memory(root) == Memory(400 * MIB, 1000 * MIB), "no limit"


def test_this_machine() -> None:
    memory = read_memory()
    assert 0 < memory.used < memory.limit


def test_it_is_looked_at_again(clock: Clock) -> None:
    row, loop = Rows(1).row(1), Loop()
    watch_memory(row, loop)
    assert 0 < row[MEMORY_USED] < row[MEMORY_MAX]
    row[MEMORY_USED] = row[MEMORY_MAX] = 0
    for _ in range(2):
        clock.advance(LOOK, loop)
        assert 0 < row[MEMORY_USED] < row[MEMORY_MAX]
        row[MEMORY_USED] = row[MEMORY_MAX] = 0
