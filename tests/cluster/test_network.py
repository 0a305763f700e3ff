"""The network that the other tests stand on: who reaches whom, cut, slowed and repaired; what a killed run leaves."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.cluster.network import Network, need_namespaces, sweep
from tests.rig.node import is_alive

ECHO = "import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('', 7)); print('up', flush=True)\n" + (
    "while True:\n data, who = s.recvfrom(9); s.sendto(data, who)"
)


@pytest.fixture
def network() -> Iterator[Network]:
    need_namespaces()
    with Network(("a", "b", "c")) as network:
        yield network


def serve_echo(network: Network, name: str) -> "subprocess.Popen[bytes]":
    command = [*network.within(name), sys.executable, "-c", ECHO]
    echo = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert echo.stdout is not None
    assert echo.stdout.readline() == b"up\n"
    return echo


def ask(network: Network, source: str, target: str, patience: float = 0.2) -> float:
    """Return how long an answer takes, or -1 where none comes."""
    with network.enter(source), socket.socket(type=socket.SOCK_DGRAM) as asking:
        asking.settimeout(patience)
        began = time.monotonic()
        asking.sendto(b"hello", (network.address(target), 7))
        try:
            asking.recv(9)
        except OSError:
            return -1
        return time.monotonic() - began


def test_links_are_cut_slowed_and_repaired(network: Network) -> None:
    with serve_echo(network, "b") as b, serve_echo(network, "c") as c:
        assert ask(network, "a", "b") >= 0
        network.isolate("b")
        assert ask(network, "a", "b") == -1
        assert ask(network, "a", "c") >= 0
        network.repair()
        assert ask(network, "a", "b") >= 0
        network.cut([("b", "a")])
        assert ask(network, "a", "b") == -1, "there, and not back"
        assert ask(network, "c", "b") >= 0
        network.repair()
        network.slow("a", 0.1, 0)
        assert ask(network, "a", "b", 1) >= 0.2, "once each way"
        assert ask(network, "c", "b") < 0.1
        network.repair()
        assert 0 <= ask(network, "a", "b") < 0.1
        network.slow("a", 0, 1)
        assert ask(network, "a", "b") == -1
        network.repair()
        assert network.kill("b") == 1
        for echo in (b, c):
            echo.kill()


def test_what_a_killed_run_left_is_swept_away() -> None:
    need_namespaces()
    program = "from tests.cluster.network import Network; import subprocess, time\n" + (
        "network = Network(('a',)); pid = subprocess.Popen([*network.within('a'), 'sleep', '1000']).pid\n"
        "print(network.namespace('a'), pid, flush=True); time.sleep(1000)"
    )
    run = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    namespace, pid = run.stdout.readline().split()
    sweep()
    assert os.path.exists(f"/run/netns/{namespace}"), "of a run that goes on nothing is taken away"
    run.send_signal(signal.SIGKILL)
    run.wait()
    run.stdout.close()
    sweep()
    assert not os.path.exists(f"/run/netns/{namespace}")
    assert not is_alive(int(pid))
