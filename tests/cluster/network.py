"""Network namespaces on this machine, each with an address of its own, joined by a switch whose links can be cut.

Everything is inside namespaces, the switch too, so nothing of the machine's own network changes, and removing them
removes all. Their names have the process that made them: what a killed one left is swept away by the next.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from itertools import count
from pathlib import Path

import pytest

from tests.rig.network import NEWNET

SUBNET = "10.77.0"
NAMESPACES = Path("/run/netns")
FAMILY = "pushgate"
"""What the names of all our namespaces begin with."""
RULES = """
table bridge switch {
    set cut { type ifname . ifname; }
    chain forward {
        type filter hook forward priority 0
        iifname . oifname @cut drop
    }
}
"""
_counter = count()


def need_namespaces() -> None:
    """Return where namespaces can be made; else CI fails, and a user's machine skips the test, both with the reason."""
    reason = _why_not()
    if reason and os.environ.get("CI"):
        raise AssertionError(reason)
    if reason:
        pytest.skip(reason)


@cache
def _why_not() -> str:
    if os.geteuid() != 0:
        return "only root makes network namespaces"
    for tool in ("ip", "nft", "nsenter"):
        if shutil.which(tool) is None:
            return f"there is no `{tool}` (scripts/install-test-tools installs it)"
    try:
        with Network(("a", "b")) as network:
            network.cut([("a", "b")])
    except subprocess.CalledProcessError as error:
        return f"namespaces cannot be made here: {' '.join(error.cmd)}: {error.stderr.strip()}"
    return ""


class Network:
    """The namespaces of `names`, connected to one switch. `close` it; or use it as a context."""

    def __init__(self, names: Sequence[str]) -> None:
        sweep()
        self._prefix = f"{FAMILY}-{os.getpid()}-{_start_time(os.getpid())}-{next(_counter)}"
        self._addresses = {name: f"{SUBNET}.{number}" for number, name in enumerate(names, 1)}
        self._slow: dict[str, subprocess.Popen[bytes]] = {}
        self._blocked: set[tuple[str, str]] = set()
        try:
            self._make()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Network":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _make(self) -> None:
        for name in ("switch", *self._addresses):
            _run("ip", "netns", "add", self.namespace(name))
        lines = ["link add name br type bridge", "link set dev br up", "link set dev lo up"]
        for name in self._addresses:
            lines += [f"link add name {name} type veth peer name eth0 netns {self.namespace(name)}"]
            lines += [f"link set dev {name} master br up"]
        _batch(self.namespace("switch"), lines)
        for name, address in self._addresses.items():
            lines = ["link set dev lo up", f"addr add {address}/24 dev eth0", "link set dev eth0 up"]
            _batch(self.namespace(name), lines)
        self._nft(RULES)

    def namespace(self, name: str) -> str:
        """Return what the namespace of a name is called on this machine."""
        return f"{self._prefix}-{name}"

    def address(self, name: str) -> str:
        """Return its IPv4 address."""
        return self._addresses[name]

    def within(self, name: str) -> list[str]:
        """Return what a command line begins with whose process is to be in a namespace."""
        return ["nsenter", f"--net={NAMESPACES / self.namespace(name)}"]

    @contextmanager
    def enter(self, name: str) -> Iterator[None]:
        """Have the sockets that this thread, and threads begun by it, make meanwhile belong to a namespace."""
        with Path("/proc/thread-self/ns/net").open() as own:
            _set_namespace(NAMESPACES / self.namespace(name))
            try:
                yield
            finally:
                _set_namespace(Path(f"/proc/self/fd/{own.fileno()}"))

    def pids(self, name: str) -> list[int]:
        """Return the processes in a namespace."""
        return _pids(self.namespace(name))

    def kill(self, name: str) -> int:
        """Kill all processes in a namespace with -9, and wait until they are gone; returns how many there were."""
        return _kill(self.namespace(name))

    # Faults

    def cut(self, ways: Iterable[tuple[str, str]]) -> None:
        """Let nothing through any more, silently, from the first of each pair to the second."""
        self._blocked |= set(ways)
        self._apply()

    def isolate(self, name: str, others: Iterable[str] | None = None) -> None:
        """Cut one off from `others` (all) both ways."""
        rest = [other for other in others or self._addresses if other != name]
        self.cut([(name, other) for other in rest] + [(other, name) for other in rest])

    def slow(self, name: str, delay: float, loss: float) -> None:
        """Have everything to and from one take `delay` seconds more each way, and lose a part of it (0 to 1)."""
        command = [*self.within("switch"), sys.executable, "-m", "tests.cluster.wire", name, str(delay), str(loss)]
        wire = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
        self._slow[name] = wire
        assert wire.stdout is not None
        assert wire.stdout.readline() == b"ready\n", "the slow wire stands"

    def repair(self) -> None:
        """Have everything as it was."""
        for name, wire in self._slow.items():
            wire.kill()
            wire.wait()
            assert wire.stdout is not None
            wire.stdout.close()
            _batch(self.namespace("switch"), [f"link set dev {name} master br", f"link del dev slow-{name}"])
        self._slow.clear()
        self._blocked.clear()
        self._apply()

    def _apply(self) -> None:
        ways = ", ".join(f'"{source}" . "{target}"' for source, target in sorted(self._blocked))
        added = f"\nadd element bridge switch cut {{ {ways} }}" if ways else ""
        self._nft(f"flush set bridge switch cut{added}")

    def _nft(self, rules: str) -> None:
        _run(*self.within("switch"), "nft", "-f", "-", text=rules)

    def close(self) -> None:
        """Kill everything in the namespaces, and remove them."""
        for wire in self._slow.values():
            wire.kill()
            wire.wait()
        for namespace in _namespaces():
            if namespace.startswith(f"{self._prefix}-"):
                _remove(namespace)


def sweep() -> None:
    """Remove what runs that were killed have left: their namespaces, and the processes in them."""
    for namespace in _namespaces():
        pid, began = namespace.split("-")[1:3]
        if _start_time(int(pid)) != int(began):
            _remove(namespace)


def _namespaces() -> list[str]:
    return [path.name for path in NAMESPACES.glob(f"{FAMILY}-*-*-*-*")]


def _remove(namespace: str) -> None:
    _kill(namespace)
    with suppress(subprocess.CalledProcessError):  # another run may sweep at the same time
        _run("ip", "netns", "del", namespace)


def _pids(namespace: str) -> list[int]:
    try:
        return [int(pid) for pid in _run("ip", "netns", "pids", namespace).split() if int(pid) != os.getpid()]
    except subprocess.CalledProcessError:
        return []


def _kill(namespace: str) -> int:
    killed = 0
    until = time.monotonic() + 10
    while pids := _pids(namespace):
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                killed += 1
        assert time.monotonic() < until, f"{pids} do not end"
        time.sleep(0.02)
    return killed


def _start_time(pid: int) -> int:
    """Return when a process began, in ticks since the boot; 0 where there is none."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return 0


def _set_namespace(path: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    with path.open() as file:
        if libc.setns(file.fileno(), NEWNET):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _batch(namespace: str, lines: Sequence[str]) -> None:
    _run("ip", "-n", namespace, "-batch", "-", text="\n".join(lines))


def _run(*command: str, text: str = "") -> str:
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout
