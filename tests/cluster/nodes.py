"""Nodes of one cluster, each in a namespace of its own with its own address; and clients in one of theirs."""

import contextlib
import json
import secrets
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.cluster.network import Network
from tests.fakes.nats import nats_program
from tests.rig.node import RunningNode, wait_until

NAMES = ("a", "b", "c")
CLIENTS = "clients"
"""Where clients and callers are."""
PATIENCE = 40.0
"""Seconds for a cluster to be ready: its servers elect their leaders first."""
SETTINGS = {
    "PUSHGATE_LIMITS_HANDSHAKES_PER_ADDRESS": "0",
    "PUSHGATE_LIMITS_CONNECTIONS_PER_ADDRESS": "0",
}
"""All clients are at one address."""
PEER = """
server_name: {name}
listen: "{host}:4222"
ping_interval: "5s"
jetstream {{ store_dir: ".", sync_interval: always }}
cluster {{ name: pushgate, listen: "{host}:6222", routes: [{routes}], ping_interval: "2s", ping_max: 2 }}
"""


class NatsPeer:
    """A nats-server that somebody runs beside the node of the same name; one of a cluster."""

    def __init__(self, network: Network, names: Sequence[str], name: str, directory: Path) -> None:
        directory.mkdir()
        self._directory = directory
        routes = ", ".join(f'"nats://{network.address(each)}:6222"' for each in names)
        config = PEER.format(name=name, host=network.address(name), routes=routes)
        (directory / "nats.conf").write_text(config)
        self._command = [*network.within(name), nats_program(), "-c", "nats.conf"]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, unless it runs."""
        if self._process is None or self._process.poll() is not None:
            with (self._directory / "log").open("ab") as log:
                self._process = subprocess.Popen(self._command, cwd=self._directory, stdout=log, stderr=log)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class Cluster:
    """The nodes of `names`: each with its embedded server, which are one cluster; or with `external` on three servers
    that somebody runs beside them. Clients are in the namespace CLIENTS: be in there to connect to nodes."""

    def __init__(self, directory: Path, names: Sequence[str] = NAMES, *options: str, external: bool = False) -> None:
        self.names = names
        self.network = network = Network((*names, CLIENTS))
        self.peers = {name: NatsPeer(network, names, name, directory / f"nats-{name}") for name in names if external}
        keys = json.dumps({"api_key": f"pg_{secrets.token_hex(20)}", "token_secret": secrets.token_hex(24)})
        self.nodes = {}
        for name in names:
            addresses = [network.address(other) for other in sorted(names, key=lambda other: other != name)]
            settings = dict(SETTINGS, PUSHGATE_NODE_NAME=name)
            if external:
                settings |= {"PUSHGATE_BUS_URL": "nats://" + ",".join(addresses), "PUSHGATE_INBOX_REPLICAS": "3"}
            elif len(names) > 1:
                settings |= {"PUSHGATE_CLUSTER_SECRET": "between the nodes"}
                settings |= {"PUSHGATE_CLUSTER_NODES": ",".join(network.address(other) for other in names)}
            node = RunningNode(directory / name, *options, **settings)
            node.data_dir.mkdir(parents=True)
            (node.data_dir / "keys.json").write_text(keys)
            node.host, node.within = network.address(name), network.within(name)
            node.clients_port, node.management_port = 8000, 8001
            self.nodes[name] = node

    def start(self, *names: str) -> None:
        """Start nodes (all), and what they need; returns when they are ready."""
        for name in names or self.names:
            if self.peers:
                self.peers[name].start()
            self.nodes[name].launch()
        for name in names or self.names:
            self.ready(name)

    def ready(self, name: str, patience: float = PATIENCE) -> None:
        """Wait until a node says that it is ready."""
        node = self.nodes[name]
        wait_until(node.is_ready, f"{name} is ready", patience)

    def kill(self, *names: str) -> int:
        """Kill all processes of nodes with -9, their NATS too; returns how many there were."""
        killed = sum(self.network.kill(name) for name in names)
        for name in names:
            self.nodes[name].kill()
            if self.peers:
                self.peers[name].stop()
        return killed

    def close(self) -> None:
        """End everything."""
        self.kill(*self.names)
        self.network.close()


@contextlib.contextmanager
def running_cluster(
    directory: Path, names: Sequence[str] = NAMES, *options: str, external: bool = False
) -> Iterator[Cluster]:
    """Give a cluster that runs, and be its client meanwhile."""
    cluster = Cluster(directory, names, *options, external=external)
    try:
        with cluster.network.enter(CLIENTS):
            cluster.start()
            yield cluster
    finally:
        cluster.close()
