"""The load balancers of `deploy/`, as real processes in front of nodes on loopback."""

import contextlib
import json
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.deploy.tools import find_tool
from tests.rig.node import RunningNode, wait_until

DEPLOY = Path(__file__).parents[2] / "deploy"
KEYS = {"api_key": "pg_" + "k" * 32, "token_secret": "t" * 48}


class Balancer:
    """nginx or HAProxy with the file of `deploy/`, of which nothing but addresses and ports is another one."""

    def __init__(self, program: str, directory: Path, nodes: Sequence[RunningNode], *changes: tuple[str, str]) -> None:
        """`changes` are words of the file, and what stands in their place."""
        self.port = free_port()
        text = fill_in(DEPLOY / program / FILES[program], program, self.port, nodes)
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        file = directory / FILES[program]
        file.write_text(text)
        commands = {
            "nginx": ["-p", str(directory), "-c", str(file), "-e", "stderr", "-g", f"daemon off; pid {directory}/pid;"],
            "haproxy": ["-db", "-f", str(file)],
        }
        self._log = directory / f"{program}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen([find_tool(program), *commands[program]], stdout=log, stderr=log)
        try:
            wait_until(self._listens, f"{program} listens")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it, and the processes that it has made."""
        self._process.terminate()
        self._process.wait(10)

    def log(self) -> str:
        """Return what it has written."""
        return self._log.read_text()

    def _listens(self) -> bool:
        assert self._process.poll() is None, self.log()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


FILES = {"nginx": "nginx.conf", "haproxy": "haproxy.cfg"}


def fill_in(file: Path, program: str, port: int, nodes: Sequence[RunningNode]) -> str:
    """Return the file with the ports of these nodes; the lines of nodes that there are not are left out."""
    kept = []
    for line in file.read_text().splitlines():
        words = line.split()
        if words[:1] == ["server"] and words[1:2] != ["{"]:
            number = int(line.partition("node-")[2][0]) - 1
            if number >= len(nodes):
                continue
            node = nodes[number]
            line = line.replace(f"node-{number + 1}:8000", f"127.0.0.1:{node.clients_port}")
            line = line.replace("port 8001", f"port {node.management_port}")
        kept.append(line)
    text = "\n".join(kept) + "\n"
    bind = {"nginx": ("listen 8000", f"listen 127.0.0.1:{port}"), "haproxy": ("bind :8000", f"bind 127.0.0.1:{port}")}
    old, new = bind[program]
    assert text.count(old) == 1
    return text.replace(old, new)


def free_port() -> int:
    """Return a port of loopback that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Front(NamedTuple):
    """Nodes with the same keys, and a balancer in front of them that they trust."""

    nodes: list[RunningNode]
    balancer: Balancer


@contextlib.contextmanager
def running_front(directory: Path, program: str, header: str, *changes: tuple[str, str]) -> Iterator[Front]:
    """Run two nodes that take the client's address in the form `header`, and the balancer."""
    nodes = []
    for name in ("one", "two"):
        (directory / name / "data").mkdir(parents=True)
        (directory / name / "data" / "keys.json").write_text(json.dumps(KEYS))
        settings = {
            "PUSHGATE_CLIENTS_TRUSTED_PROXIES": "127.0.0.1",
            "PUSHGATE_CLIENTS_PROXY_HEADER": header,
            "PUSHGATE_NODE_DRAIN": "1",
        }
        nodes.append(RunningNode(directory / name, "--workers", "1", **settings))
    with contextlib.ExitStack() as stack:
        for node in nodes:
            stack.callback(node.stop)
            node.launch()
        for node in nodes:
            wait_until(node.is_ready, "the node is ready")
        balancer = Balancer(program, directory, nodes, *changes)
        stack.callback(balancer.stop)
        yield Front(nodes, balancer)
