"""What the server under test costs, as /proc tells: memory and CPU of its processes and all their descendants."""

import os
from dataclasses import dataclass
from pathlib import Path

from pushgate.bench.options import BenchError

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Cost:
    """User memory in bytes (resident, and proportional: shared pages divided up) and CPU seconds so far."""

    processes: int
    rss: int
    pss: int
    cpu: float


def measure(pids: tuple[int, ...]) -> Cost:
    """The cost, now, of these processes and their descendants; all zero without pids.

    Memory of sockets is the kernel's and not in it. CPU has the grain of a tick, 10 ms a process. Raises
    BenchError when a process is gone or not ours to look at.
    """
    tree = _tree(pids)
    each = [_memory(pid) for pid in tree]
    return Cost(len(tree), sum(rss for rss, _ in each), sum(pss for _, pss in each), _cpu(tree))


def own_memory() -> int:
    """The PSS in bytes of this process alone."""
    return _memory(os.getpid())[1]


def cpu_seconds(pids: tuple[int, ...]) -> float:
    """User and system time that these processes and their descendants have used; raises BenchError as `measure`."""
    return _cpu(_tree(pids))


def open_files(pids: tuple[int, ...]) -> int:
    """How many files these processes and their descendants hold open; raises BenchError as `measure`."""
    try:
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in _tree(pids))
    except OSError as error:
        raise BenchError(f"{error.filename}: {error.strerror}: is it a process of the server, and yours?") from None


def _memory(pid: int) -> tuple[int, int]:
    fields = _read(Path(f"/proc/{pid}/smaps_rollup")).split()
    rss, pss = (int(fields[fields.index(name) + 1]) * 1024 for name in ("Rss:", "Pss:"))
    return rss, pss


def _cpu(tree: list[int]) -> float:
    # The command's name, in brackets, may hold anything: the fields begin behind it, with the third.
    stats = (_read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split() for pid in tree)
    return sum(int(stat[11]) + int(stat[12]) for stat in stats) / _TICKS


def _tree(pids: tuple[int, ...]) -> list[int]:
    if not pids:
        return []
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue  # it has just ended
            children.setdefault(parent, []).append(int(entry.name))
    found: list[int] = []
    left = list(pids)
    while left:
        pid = left.pop()
        if pid not in found:
            found.append(pid)
            left += children.get(pid, [])
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise BenchError(f"{path}: {error.strerror}: is it a pid of the server, and yours to look at?") from None
