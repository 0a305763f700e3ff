"""What the settings of a cluster mean, and what is wrong with them."""

import json
import socket
import ssl
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from pushgate.config import BusConfig, ClusterConfig, Config, InboxConfig, NodeConfig
from pushgate.errors import ConfigError, StartError
from pushgate.node.data_dir import DataDir
from pushgate.node.embedded.cluster import Member, doubts, member_of
from pushgate.node.embedded.server import NatsServer
from pushgate.node.embedded.state import NatsState, check_place, remember, single_of
from pushgate.node.servers import inbox_copies
from tests.fakes.nats import RealNats, free_ports, nats_program
from tests.rig.certificates import the_authority
from tests.rig.node import wait_until

THREE = ["10.0.0.1", "10.0.0.2:7222", "node-3:6222"]


def configured(nodes: list[str] = THREE, secret: str = "s/@ 1", **settings: Any) -> Config:
    return Config(node=NodeConfig(name="b"), cluster=ClusterConfig(nodes, secret=secret, **settings))


def member(config: Config) -> Member:
    found = member_of(config)
    assert found is not None
    return found


def test_without_nodes_there_is_none() -> None:
    assert member_of(Config()) is None
    assert doubts(Config()) == []
    assert inbox_copies(Config()) == 1


def test_all_are_routes_with_the_secret_and_no_server_tells_clients_of_another() -> None:
    found = member(configured())
    assert (found.name, found.size) == ("b", 3)
    assert found.settings["routes"] == [
        f"nats-route://pushgate:s%2F%40%201@{place}" for place in ("10.0.0.1:6222", "10.0.0.2:7222", "node-3:6222")
    ]
    assert found.settings["listen"] == "0.0.0.0:6222"
    assert found.settings["authorization"] == {"user": "pushgate", "password": "s/@ 1"}
    assert found.settings["no_advertise"] is True
    assert "tls" not in found.settings
    assert "s/@" not in repr(found)
    assert "s/@" not in repr(configured())


def test_an_ipv6_address_stands_in_brackets() -> None:
    found = member(configured(["[::1]", "[2001:db8::1]:7000"], listen="[::]:6222"))
    assert found.settings["listen"] == "[::]:6222"
    assert [route.rpartition("@")[2] for route in found.settings["routes"]] == ["[::1]:6222", "[2001:db8::1]:7000"]


def test_its_digest_tells_other_settings_apart_and_not_what_they_are() -> None:
    one = member(configured())
    assert one.digest == member(configured()).digest
    assert one.digest != member(configured(secret="other")).digest
    assert one.digest != member(structs.replace(configured(), node=NodeConfig(name="c"))).digest


def test_on_loopback_no_secret_is_needed() -> None:
    for listen in ("127.0.0.1:7000", "localhost", "[::1]:7000"):
        found = member(configured(["127.0.0.1:7000", "127.0.0.1:7001"], "", listen=listen))
        assert "authorization" not in found.settings
        assert found.settings["routes"][0] == "nats-route://127.0.0.1:7000"


@pytest.mark.parametrize(
    ("nodes", "settings", "error"),
    [
        (["a"], {}, "cluster.nodes: expected all nodes, each once, and at least two"),
        (["a", "a:6222"], {}, "cluster.nodes: expected all nodes, each once"),
        (["a", "b:c"], {}, "cluster.nodes[1]: expected host[:port], got 'b:c'"),
        (["a", "b/c"], {}, "cluster.nodes[1]: expected host[:port]"),
        (["a", "u@b"], {}, "cluster.nodes[1]: expected host[:port]"),
        (["", "b"], {}, "cluster.nodes[0]: expected host[:port]"),
        (THREE, {"listen": "x:y"}, "cluster.listen: expected host[:port]"),
        (THREE, {"secret": ""}, "cluster.secret: expected one, since cluster.listen (0.0.0.0) is not on loopback"),
        (THREE, {"tls_ca": "ca.pem"}, "cluster.tls_certificate: expected the path"),
        (THREE, {"tls_ca": "/no", "tls_key": "/no", "tls_certificate": "/no"}, "cluster.tls_certificate, tls_key or"),
    ],
)
def test_what_is_wrong_is_named(nodes: list[str], settings: dict[str, str], error: str) -> None:
    with pytest.raises(ConfigError) as caught:
        member_of(configured(nodes, **settings))
    assert error in str(caught.value)


@pytest.mark.parametrize(
    ("nodes", "given", "copies"), [(2, 0, 2), (3, 0, 3), (5, 0, 3), (5, 5, 5), (3, 2, 2), (3, 4, None), (3, 1, None)]
)
def test_how_many_copies_there_are(nodes: int, given: int, copies: int | None) -> None:
    config = configured([f"n{number}" for number in range(nodes)])
    config = structs.replace(config, inbox=InboxConfig(replicas=given))
    if copies is None:
        with pytest.raises(ConfigError, match=r"inbox\.replicas: expected 2 to 3 in a cluster of so many"):
            member_of(config)
    else:
        assert member(config).size == nodes
        assert inbox_copies(config) == copies


def test_a_cluster_is_of_embedded_servers_that_sync() -> None:
    with pytest.raises(ConfigError, match=r"cluster\.nodes: expected none where neither bus nor inbox"):
        member_of(structs.replace(configured(), bus=BusConfig("nats://somewhere")))
    with pytest.raises(ConfigError, match=r"inbox\.sync: expected `always` in a cluster"):
        member_of(structs.replace(configured(), inbox=InboxConfig(sync="interval")))


def test_it_may_keep_the_inbox_of_nodes_with_another_bus() -> None:
    elsewhere = structs.replace(configured(), bus=BusConfig("redis://somewhere"), inbox=InboxConfig("embedded"))
    assert member(elsewhere).size == 3
    assert inbox_copies(elsewhere) == 3
    assert not any("keeps reliable messages for itself" in doubt for doubt in doubts(elsewhere))


def test_an_inbox_that_is_not_shared_is_doubted_where_the_bus_may_be() -> None:
    config = Config(bus=BusConfig("redis://somewhere"), inbox=InboxConfig("embedded"))
    assert any("keeps reliable messages for itself" in doubt for doubt in doubts(config))
    assert not doubts(Config())


def test_two_nodes_and_the_clear_are_doubted(tmp_path: Path) -> None:
    cert, key = the_authority().write(tmp_path, "node")
    authority = tmp_path / "ca.pem"
    authority.write_bytes(the_authority().pem)
    tls: dict[str, Any] = {"tls_certificate": cert, "tls_key": key, "tls_ca": str(authority)}
    assert doubts(configured(**tls)) == []
    assert member(configured(**tls)).settings["tls"] == {
        "cert_file": cert,
        "key_file": key,
        "ca_file": str(authority),
        "verify": True,
    }
    (doubt,) = doubts(configured(["a", "b"], **tls))
    assert "no quorum without either" in doubt
    (doubt,) = doubts(configured())
    assert "without TLS" in doubt
    assert doubts(configured(listen="127.0.0.1:1")) == []


class TestPlace:
    """What lies where a server is to store."""

    def home(self, tmp_path: Path, stored: str, name: str = "") -> Path:
        home = tmp_path / "nats"
        (home / "jetstream" / stored).mkdir(parents=True)
        remember(home, NatsState(1, 1, 1, "p", 1, name=name, lineage="abc"))
        return home

    def test_an_empty_one_is_anybodys(self, tmp_path: Path) -> None:
        for name in ("", "a"):
            check_place(tmp_path / "nats", name)

    def test_what_one_alone_has_stored_is_its_own_and_set_aside_for_a_member(self, tmp_path: Path) -> None:
        home = self.home(tmp_path, "$G/streams/s")
        check_place(home, "")
        assert (home / "jetstream" / "$G" / "streams" / "s").exists()
        check_place(home, "a")
        assert not (home / "jetstream").exists()
        single = single_of(home)
        assert (single / "nats" / "jetstream" / "$G" / "streams" / "s").exists()
        assert json.loads((single / "nats" / "nats.json").read_text())["lineage"] == "abc"

    def test_what_was_set_aside_is_never_replaced(self, tmp_path: Path) -> None:
        home = self.home(tmp_path, "$G")
        check_place(home, "a")
        (home / "jetstream" / "$G").mkdir(parents=True)
        with pytest.raises(StartError, match="single is in the way"):
            check_place(home, "a")
        assert (home / "jetstream" / "$G").exists()

    def test_what_a_member_has_stored_is_for_that_one_alone(self, tmp_path: Path) -> None:
        home = self.home(tmp_path, "$SYS/_js_/_meta_", "a")
        check_place(home, "a")
        with pytest.raises(StartError, match=r"part of a cluster's data: set cluster\.nodes"):
            check_place(home, "")
        with pytest.raises(StartError, match=r"as node a, and this is b: set node\.name"):
            check_place(home, "b")


class TestRealServers:
    """Two servers of a cluster on loopback."""

    def pair(self, tmp_path: Path, **settings: Any) -> list[tuple[RealNats, str]]:
        places = [f"127.0.0.1:{port}" for port in free_ports(2)]
        config = structs.replace(configured(places, **settings))
        made = []
        for name, place in zip("ab", places, strict=True):
            own = structs.replace(config.cluster, listen=place)
            named = structs.replace(config, node=NodeConfig(name=name), cluster=own)
            made.append((RealNats(tmp_path / name, member_of(named)), place))
        return made

    def test_they_speak_tls_and_hear_each_other(self, tmp_path: Path) -> None:
        cert, key = the_authority().write(tmp_path, "node")
        (tmp_path / "ca.pem").write_bytes(the_authority().pem)
        tls = {"tls_certificate": cert, "tls_key": key, "tls_ca": str(tmp_path / "ca.pem")}
        (first, first_place), (second, _) = self.pair(tmp_path, **tls)
        try:
            wait_until(lambda: first.examine().peers == {"b"} and second.examine().peers == {"a"}, "they are joined")
            host, _, port = first_place.rpartition(":")
            trust = ssl.create_default_context(cafile=tls["tls_ca"])
            trust.load_cert_chain(cert, key)
            with (
                socket.create_connection((host, int(port)), 5) as plain,
                trust.wrap_socket(plain, server_hostname=host) as known,
            ):
                assert known.recv(5) == b"INFO "
        finally:
            first.close()
            second.close()

    def test_one_that_was_left_behind_is_adopted_unless_its_cluster_is_another_one_now(self, tmp_path: Path) -> None:
        places = [f"127.0.0.1:{port}" for port in free_ports(2)]
        with closing(DataDir.open(tmp_path / "data")) as data_dir:
            pids = []
            for secret in ("one", "one", "other"):
                config = configured(places, secret, listen=places[0])
                server = NatsServer(data_dir, nats_program(), member=member_of(config))
                server.start()
                server.ready(10)
                pids.append((server.pid, server.adopted))
                assert server.lineage == ""
            server.stop(5)
        first, second, third = pids
        assert second == (first[0], True)
        assert third[0] != first[0]
        assert not third[1]
