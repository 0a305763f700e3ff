"""How much memory there is where a process runs, and how much of it is in use: of the machine, or of its cgroup."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pushgate.metrics.catalogue import MEMORY_MAX, MEMORY_USED
from pushgate.metrics.rows import Row
from pushgate.node.loop import Loop

LOOK = 5.0
"""Seconds between two looks."""


class Memory(NamedTuple):
    """Bytes in use, without those that the kernel would give back, and how many there are."""

    used: int
    limit: int

    @property
    def left(self) -> int:
        """The bytes that can still be had."""
        return self.limit - self.used


class _Files(NamedTuple):
    """Where a version of cgroups has its figures."""

    directory: str
    limit: str
    used: str
    reclaimable: str


_V1 = _Files("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_V2 = _Files("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file")


def watch_memory(row: Row, loop: Loop) -> None:
    """Write to the row, from now on and for ever, how much memory there is."""
    row[MEMORY_USED], row[MEMORY_MAX] = read_memory()
    loop.after(LOOK, lambda: watch_memory(row, loop))


def read_memory(root: Path = Path("/")) -> Memory:
    """Return the memory of the machine, or of whichever cgroup around this process has less left.

    `root` is where proc and sys are. Raises OSError where there is no /proc.
    """
    return min((_of_machine(root), *_of_cgroups(root)), key=lambda memory: memory.left)


def _of_machine(root: Path) -> Memory:
    figures = _figures(root / "proc/meminfo")
    total = figures["MemTotal:"] * 1024
    return Memory(total - figures["MemAvailable:"] * 1024, total)


def _of_cgroups(root: Path) -> Iterator[Memory]:
    for line in (root / "proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        files = _V1 if controllers else _V2
        top = root / files.directory
        group = top / path.lstrip("/")  # in a container it may be the path outside, and `top` the group itself
        for each in (group, *group.parents):
            if each.is_relative_to(top) and (memory := _of_cgroup(each, files)) is not None:
                yield memory


def _of_cgroup(group: Path, files: _Files) -> Memory | None:
    """Return what a group has, None where it has no limit of its own."""
    try:
        limit, used = (int((group / name).read_text()) for name in (files.limit, files.used))
        return Memory(used - _figures(group / "memory.stat").get(files.reclaimable, 0), limit)
    except (OSError, ValueError):  # "max", or not there
        return None


def _figures(file: Path) -> dict[str, int]:
    return {words[0]: int(words[1]) for words in map(str.split, file.read_text().splitlines())}
