"""Memory, the clock, and the disk of the data directory."""

import ctypes
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryFile

from pushgate.doctor.finding import Finding, Plan, judge
from pushgate.node.memory import read_memory

MIB = 1024 * 1024
PROCESS = 64 * MIB
"""Bytes of a worker, or of the nats-server, before anybody connects."""
SYNCS, LONGEST = 20, 1.0
"""How often a sync is measured, and the seconds after which it is enough."""
SLOW, TOO_SLOW = 0.02, 0.2
"""Seconds of a sync from which on reliable pushes are slow, and from which on they pile up."""
LITTLE, TOO_LITTLE = 1024 * MIB, 64 * MIB
"""Bytes free on the disk below which there should be more, and below which the inbox soon takes nothing."""

UNSYNCHRONISED = 5
"""What adjtimex returns for a clock that nobody keeps right (TIME_ERROR)."""


def check_memory(root: Path, plan: Plan) -> Finding:
    """Memory that is left here: of the cgroup where that has a limit, else of the machine."""
    memory = read_memory(root)
    processes = 0 if plan.pid else (plan.workers + 1) * PROCESS
    needed = (plan.wanted - plan.held) * plan.bytes + processes + memory.used
    return judge(
        plan,
        (memory.left - processes) // plan.bytes + plan.held,
        f"{memory.left // MIB:,} of {memory.limit // MIB:,} MiB are left; an idle connection takes"
        f" about {plan.bytes // 1024} KiB with the kernel's part",
        f"at least {needed // MIB + 1:,} MiB: more memory, or MemoryMax= under [Service], or the container's limit",
    )


def check_clock(ask: "Callable[[], tuple[int, float]] | None" = None) -> Finding:
    """Whether something keeps the clock right. `ask` returns what adjtimex does, and the largest error in seconds."""
    state, error = (ask or _ask_clock)()
    if state < 0:
        return Finding(state="warning", says="the kernel does not say whether the clock is kept right")
    if state == UNSYNCHRONISED:
        return Finding(
            state="warning",
            says="nobody keeps the clock right: tokens expire early or late, and lags between nodes are measured wrong",
            mend="timedatectl set-ntp true (or install chrony; a container has its host's clock)",
        )
    return Finding(state="ok", says=f"it is kept right, within {error * 1000:,.0f} ms")


def check_sync(data_dir: Path, sync: Callable[[int], None] = os.fdatasync) -> Finding:
    """How long the disk of the data directory takes to have something for good, as each reliable push waits for."""
    directory = _existing(data_dir)
    taken: list[float] = []
    with TemporaryFile(dir=directory, prefix=".pushgate-doctor-") as file:
        began = time.monotonic()
        while len(taken) < SYNCS and time.monotonic() - began < LONGEST:
            file.write(bytes(4096))
            file.flush()
            start = time.monotonic()
            sync(file.fileno())
            taken.append(time.monotonic() - start)
    usual, worst = median(taken), max(taken)
    return Finding(
        state="ok" if usual < SLOW else "warning" if usual < TOO_SLOW else "wrong",
        says=f"{directory} takes {usual * 1000:.1f} ms to sync 4 KiB, {worst * 1000:.1f} ms at the worst",
        mend="" if usual < SLOW else 'node.data_dir on a faster disk, or inbox.sync = "interval"',
    )


def check_room(data_dir: Path) -> Finding:
    """How much is free on the disk of the data directory."""
    directory = _existing(data_dir)
    free = shutil.disk_usage(directory).free
    return Finding(
        state="ok" if free >= LITTLE else "warning" if free >= TOO_LITTLE else "wrong",
        says=f"{free // MIB:,} MiB are free at {directory}",
        mend="" if free >= LITTLE else "room on that disk: without any the inbox takes no reliable push",
    )


def _existing(directory: Path) -> Path:
    """Return the directory, or where it would be made."""
    directory = directory.absolute()
    return next(each for each in (directory, *directory.parents) if each.is_dir())


class _Timex(ctypes.Structure):
    """What adjtimex fills in, as far as we look."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("frequency", ctypes.c_long),
        ("largest_error", ctypes.c_long),
        ("rest", ctypes.c_char * 512),
    )


def _ask_clock() -> tuple[int, float]:
    timex = _Timex()  # no modes: nothing is set
    state = int(ctypes.CDLL(None).adjtimex(ctypes.byref(timex)))
    return state, timex.largest_error / 1e6
