"""A stand-in gateway in a process of its own, started with options."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pushgate.bench.options import Address, Common, Target


@dataclass(frozen=True)
class StandIn:
    """Where a stand-in listens."""

    url: str
    api: str
    pid: int

    def common(
        self, per_user: int = 1, processes: int = 1, timeout: float = 5.0, devices: bool = False, window: int = 256
    ) -> Common:
        target = Target(Address.parse(self.url, "ws"), Address.parse(self.api, "http"), "a key", b"s" * 32)
        return Common(
            target,
            per_user,
            window,
            processes=processes,
            server_pids=(self.pid,),
            timeout=timeout,
            devices=devices,
            ack_every=0.02,
        )


@pytest.fixture
def stand_in() -> Iterator[Callable[..., StandIn]]:
    running: list[subprocess.Popen[str]] = []

    def start(**options: float) -> StandIn:
        command = [sys.executable, str(Path(__file__).with_name("stand_in.py"))]
        command += [f"{name}={value}" for name, value in options.items()]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        running.append(process)
        assert process.stdout
        clients, api = process.stdout.readline().split()
        return StandIn(f"ws://127.0.0.1:{clients}/ws", f"http://127.0.0.1:{api}", process.pid)

    yield start
    for process in running:
        process.kill()
        process.wait()
        assert process.stdout
        process.stdout.close()
