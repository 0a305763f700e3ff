"""The compose file of `deploy/`: three nodes, HAProxy and Prometheus that know each other by the right names."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose

from pushgate.config import Config, load
from pushgate.errors import ConfigError
from pushgate.node.check import check_config
from tests.deploy.image import read_dockerfile
from tests.deploy.tools import run_tool

COMPOSE = Path(__file__).parents[2] / "deploy" / "compose"
NODES = ["node-1", "node-2", "node-3"]


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load((COMPOSE / "compose.yaml").read_text())["services"]
    return services


def fill_in(file: Path) -> Path:
    """Write what an operator is asked to fill in."""
    text = (COMPOSE / "pushgate" / "pushgate.toml").read_text()
    file.write_text(text.replace("HASH", "0" * 64).replace('"SECRET"', f'"{"s" * 32}"'))
    return file


def load_node(file: Path, service: dict[str, Any]) -> Config:
    """Return the configuration as the node in the image has it."""
    words = " ".join(rest for word, rest in read_dockerfile(COMPOSE.parent / "docker" / "Dockerfile") if word == "ENV")
    environ = dict(word.split("=", 1) for word in words.split())
    environ |= service["environment"] | {"PUSHGATE_CLUSTER_SECRET": "c" * 32}
    return load(file, environ)


def binds_of(service: dict[str, Any]) -> dict[str, str]:
    """Return where things of this machine, or volumes, stand in the container."""
    return {target: source for source, target, *_ in (each.split(":") for each in service["volumes"])}


def test_it_follows_the_specification_of_compose(services: dict[str, Any]) -> None:
    file = yaml.safe_load((COMPOSE / "compose.yaml").read_text())
    assert (
        sorted(PyCompose.from_json(json.dumps(file)).service_names())
        == sorted(services)
        == ["haproxy", *NODES, "prometheus"]
    )
    file["services"]["node-1"]["hostnam"] = "node-1"
    with pytest.raises(ValueError, match="hostnam"):
        PyCompose.from_json(json.dumps(file))


def test_what_it_mounts_is_there(services: dict[str, Any]) -> None:
    volumes = set(yaml.safe_load((COMPOSE / "compose.yaml").read_text())["volumes"])
    used = [source for service in services.values() for source in binds_of(service).values()]
    assert sorted(each for each in used if not each.startswith(".")) == sorted(volumes)
    for source in used:
        assert source in volumes or (COMPOSE / source).exists(), source
    build = services["node-1"]["build"]
    assert (COMPOSE / build["context"] / build["dockerfile"]).is_file()


def test_nodes_start_with_it_once_keys_are_filled_in(services: dict[str, Any], tmp_path: Path) -> None:
    file = fill_in(tmp_path / "pushgate.toml")
    for name in NODES:
        config = load_node(file, services[name])
        check_config(config)
        assert config.cluster.nodes == NODES == [services[each]["hostname"] for each in NODES]
        assert config.clients.trusted_proxies == [services["haproxy"]["networks"]["default"]["ipv4_address"]]
        assert config.clients.proxy_header == "proxy-protocol"
        assert binds_of(services[name])["/etc/pushgate"] == "./pushgate"
        assert binds_of(services[name])[config.node.data_dir] == name.replace("node", "data")


def test_nodes_do_not_start_with_the_keys_that_stand_there(services: dict[str, Any], tmp_path: Path) -> None:
    file = COMPOSE / "pushgate" / "pushgate.toml"
    with pytest.raises(ConfigError, match="api_keys"):
        check_config(load_node(file, services["node-1"]))
    half = tmp_path / "half.toml"
    half.write_text(file.read_text().replace("HASH", "0" * 64))
    with pytest.raises(ConfigError, match="secret"):
        check_config(load_node(half, services["node-1"]))


def test_nodes_have_time_to_drain(services: dict[str, Any], tmp_path: Path) -> None:
    for name in NODES:
        node = load_node(fill_in(tmp_path / "pushgate.toml"), services[name]).node
        assert node.drain
        assert int(services[name]["stop_grace_period"].removesuffix("s")) >= node.drain + 2 * node.stop_grace + 3


def test_the_balancer_and_prometheus_know_the_nodes(services: dict[str, Any], tmp_path: Path) -> None:
    config = load_node(fill_in(tmp_path / "pushgate.toml"), services["node-1"])
    balancer = (COMPOSE / binds_of(services["haproxy"])["/usr/local/etc/haproxy/haproxy.cfg"]).read_text()
    places = re.findall(r"^    server \S+ (\S+) port (\d+)$", balancer, re.MULTILINE)
    assert places == [(f"{name}:{config.clients.port}", str(config.management.port)) for name in NODES]
    jobs = yaml.safe_load((COMPOSE / "prometheus.yml").read_text())["scrape_configs"]
    targets = [target for job in jobs for each in job["static_configs"] for target in each["targets"]]
    assert targets == [f"{name}:{config.management.port}" for name in NODES]
    ports = [port for name in NODES for port in services[name]["ports"]]
    assert ports == [f"127.0.0.1:{8001 + number}:{config.management.port}" for number in range(3)]


def test_promtool_finds_no_fault_with_the_scrapes(tmp_path: Path) -> None:
    text = (COMPOSE / "prometheus.yml").read_text()
    done = run_tool("promtool", "check", "config", COMPOSE / "prometheus.yml")
    assert done.returncode == 0, done.stderr
    (tmp_path / "wrong.yml").write_text(text.replace("targets", "target"))
    assert run_tool("promtool", "check", "config", tmp_path / "wrong.yml").returncode == 1
