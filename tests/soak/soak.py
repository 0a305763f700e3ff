"""The soak: good clients with a steady stream of pushes, bad clients beside them, and what must hold all the while."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from tests.hostile.keys import API_KEY, SECRET
from tests.hostile.visitor import visit_all
from tests.hostile.watch import Watch
from tests.rig.node import RunningNode, wait_until
from tests.soak import good
from tests.soak.bad import API_CASES, CLIENT_CASES, Bad

Say = Callable[[str], None]

P99 = 50.0
"""Milliseconds from the call to the client that 99 of 100 deliveries may take, in every window."""
WINDOW = 10.0
"""Seconds of a window."""
ROBBED = 75.0
"""Milliseconds a second that workers or good clients waited for a CPU, from which on a slow window is not our doing.

They wait for our own bad clients too: 20 to 50 on two cores that are ours alone.
"""
LEG = 60.0
"""Seconds after which bad clients leave, to be looked at whether nothing of them is left, and come again."""
WARM_UP = 4
"""How often the corpus is sent before anything is measured: most of the allocator's fragments are there then."""
MEMORY = 16 * 1024 * 1024
"""Bytes that a worker may hold more after a leg than it did after the warm-up.

Measured: up to 7 MiB, where the warm-up fell to the other worker. Two KiB kept of every visit in ten minutes would be
more, and so would what is parked for some of those who stall.
"""


def soak(node: RunningNode, directory: Path, seconds: float, say: Say, judge_speed: bool = True) -> list[str]:
    """Return in plain words what did not hold in a run of so many seconds; figures go to `say`.

    Without `judge_speed` latency is told alone: where other things run, it says little. Raises AssertionError with what
    never came to be.
    """
    faults: list[str] = []
    watch = Watch(node)
    for _ in range(WARM_UP):
        faults += asyncio.run(visit_all(CLIENT_CASES, node.clients_port))
        faults += asyncio.run(visit_all(API_CASES, node.management_port))
    watch.settle()
    held = [watch.memory()]
    say(f"after the warm-up the workers hold {show_memory(held[0])}")
    clients = GoodClients(node, directory / "good", min(WINDOW, seconds / 4))
    try:
        wait_until(clients.are_connected, "the good clients are connected", 60)
        for number, leg in enumerate(legs(seconds)):
            faults += send_bad(Bad(node.clients_port, node.management_port, number), leg, say)
            watch.settle(clients.sessions, good.CALLERS)
            held.append(watch.memory())
            tell_latency(clients.windows_since(), say)
            say(f"  the workers hold {show_memory(held[-1])}")
        faults += judge_memory(held)
        faults += judge_latency(clients.windows()) if judge_speed else []
        clients.stop()
        wait_until(clients.have_all, "the good clients tell of their end")
        faults += clients.losses(say)
    finally:
        clients.end()
    watch.settle()
    watch.check()
    say("all are gone: sessions and files are back where they began, no process was lost, no word was logged")
    return faults


def legs(seconds: float) -> list[float]:
    """Return the seconds of each leg."""
    count = max(1, round(seconds / LEG))
    return [seconds / count] * count


def send_bad(clients: Bad, seconds: float, say: Say) -> list[str]:
    """Let bad clients come for so many seconds; returns which of them met something else than they should."""
    asyncio.run(clients.run(seconds))
    say(f"bad clients for {seconds:.0f} s: " + ", ".join(f"{count} {kind}" for kind, count in clients.visits.items()))
    return clients.wrong


def tell_latency(windows: list[good.Window], say: Say) -> None:
    """Tell of the windows of a leg."""
    worst = max(windows, key=lambda window: window.p99)
    robbed = ", while other processes had the CPUs" if worst.robbed > ROBBED else ""
    say(
        f"  good clients: {sum(window.messages for window in windows)} messages; "
        f"in the worst of {len(windows)} windows p50 {worst.p50:.1f}, p99 {worst.p99:.1f}, "
        f"at most {worst.worst:.1f} ms{robbed}"
    )


def judge_latency(windows: list[good.Window]) -> list[str]:
    """Return which windows were too slow by our doing, or that it cannot be told, since most were so by others'."""
    slow = [window for window in windows if window.p99 > P99]
    ours = [window for window in slow if window.robbed <= ROBBED]
    faults = [f"p99 of a window was {window.p99:.1f} ms, over {P99:.0f}" for window in ours]
    if len(slow) - len(ours) > len(windows) / 2:
        faults.append("most windows were slow while other processes had the CPUs: nothing can be said of latency")
    return faults


def show_memory(memory: list[int]) -> str:
    """Return what each worker holds, in words."""
    return " and ".join(f"{each / 2**20:.1f} MiB" for each in memory)


def judge_memory(held: list[list[int]]) -> list[str]:
    """Return which workers held too much after a leg, of what each held after the warm-up and after each leg."""
    grown = [(max(legs) - first) / 2**20 for first, *legs in zip(*held, strict=True)]
    return [
        f"worker {number} held {more:.1f} MiB more than after the warm-up"
        for number, more in enumerate(grown)
        if more > MEMORY / 2**20
    ]


class GoodClients:
    """The process of the good clients, and what it has told."""

    def __init__(self, node: RunningNode, told: Path, window: float) -> None:
        order = good.Order(node.url, node.api, API_KEY, SECRET, window, node.worker_pids)
        self.sessions = order.users * order.per_user
        self._told = told
        command = [sys.executable, "-m", good.__name__, msgspec.json.encode(order).decode()]
        with told.open("wb") as file:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=file)
        self._seen = 0

    def _lines(self) -> list[good.Connected | good.Window | good.End]:
        assert self._process.poll() is None, "the good clients ended by themselves"
        whole = [line for line in self._told.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
        return [msgspec.json.decode(line, type=good.Connected | good.Window | good.End) for line in whole]

    def are_connected(self) -> bool:
        """Whether all of them are."""
        return bool(self._lines())

    def windows_since(self) -> list[good.Window]:
        """Return the windows that ended since this was asked last; waits for the first."""
        wait_until(lambda: len(self.windows()) > self._seen, "a window of good clients ends")
        new = self.windows()[self._seen :]
        self._seen += len(new)
        return new

    def windows(self) -> list[good.Window]:
        """Return all windows that ended."""
        return [line for line in self._lines() if isinstance(line, good.Window)]

    def stop(self) -> None:
        """Have no more pushed to them."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def have_all(self) -> bool:
        """Whether they have told of their end."""
        return isinstance(self._lines()[-1], good.End)

    def losses(self, say: Say) -> list[str]:
        """Return what they lack, and what went wrong with them."""
        (end,) = (line for line in self._lines() if isinstance(line, good.End))
        say(f"good clients in all: {end.came} of {end.owed} messages")
        faults = [f"good clients: {count} times {what}" for what, count in end.wrong.items()]
        return faults if end.came == end.owed else [*faults, f"{end.owed - end.came} messages were lost"]

    def end(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.wait()
