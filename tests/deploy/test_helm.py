"""The Helm chart: rendered by helm, held against the schemas of Kubernetes, its settings read as a pod reads them."""

import json
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

import pushgate
from pushgate.config import Config, load
from pushgate.node.check import check_config
from tests.deploy.image import read_dockerfile, value_of
from tests.deploy.tools import run_tool

DEPLOY = Path(__file__).parents[2] / "deploy"
CHART = DEPLOY / "helm" / "pushgate"
KUBERNETES = ["1.25", "1.34"]
"""The oldest that the chart is for, and a new one."""
CONFIGURATION = f"""
[tenants.acme]
api_keys = ["sha256:{"0" * 64}"]
"""
VALUES = {"configuration": CONFIGURATION, "cluster": {"secret": "c" * 32}}
MONITORED = {"serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}}}

Manifests = dict[tuple[str, str], dict[str, Any]]


def helm(command: list[str], values: dict[str, Any], directory: Path) -> tuple[int, str, str]:
    file = directory / "values.json"
    file.write_text(json.dumps(values))
    done = run_tool("helm", *command, CHART, "--values", file, "--namespace", "push")
    return done.returncode, done.stdout, done.stderr


def render(directory: Path, **values: Any) -> Manifests:
    """Return what the chart makes, by kind and name."""
    status, text, said = helm(["template", "gate"], VALUES | values, directory)
    assert status == 0, said
    return {(each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(text)}


@pytest.fixture(scope="module")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> Manifests:
    """What three nodes need."""
    return render(tmp_path_factory.mktemp("helm"))


def pod_of(manifests: Manifests) -> dict[str, Any]:
    pod: dict[str, Any] = manifests["StatefulSet", "gate-pushgate"]["spec"]["template"]["spec"]
    return pod


def load_pod(manifests: Manifests, directory: Path) -> Config:
    """Return the configuration as a node in a pod has it."""
    image = read_dockerfile(DEPLOY / "docker" / "Dockerfile")
    environ = dict(word.split("=", 1) for word in value_of(image, "ENV").split())
    (container,) = pod_of(manifests)["containers"]
    for source in container["envFrom"]:
        environ |= manifests["ConfigMap", source["configMapRef"]["name"]]["data"]
    for variable in container.get("env", []):
        secret = variable["valueFrom"]["secretKeyRef"]
        environ[variable["name"]] = manifests["Secret", secret["name"]]["stringData"][secret["key"]]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    files = manifests["Secret", pod_of(manifests)["volumes"][0]["secret"]["secretName"]]["stringData"]
    assert environ["PUSHGATE_CONFIG"] == f"{mounts['configuration']}/pushgate.toml"
    assert environ["PUSHGATE_NODE_DATA_DIR"] == mounts["data"]
    file = directory / "pushgate.toml"
    file.write_text(files["pushgate.toml"])
    return load(file, environ)


def test_helm_finds_no_fault(tmp_path: Path) -> None:
    status, said, _ = helm(["lint", "--strict"], VALUES | MONITORED, tmp_path)
    assert (status, "[WARNING]" in said, "[ERROR]" in said) == (0, False, False), said


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"replica": 3}, "additional properties 'replica' not allowed"),
        ({"antiAffinity": "none"}, "antiAffinity"),
        ({"configuration": ""}, "configuration, or existingConfiguration, has to be given"),
        ({"cluster": {"secret": ""}}, "cluster.secret, or cluster.existingSecret, has to be given"),
    ],
)
def test_values_that_cannot_be_meant_are_refused(values: dict[str, Any], reason: str, tmp_path: Path) -> None:
    status, _, said = helm(["template", "gate"], VALUES | values, tmp_path)
    assert status == 1
    assert reason in said


@pytest.mark.parametrize("version", KUBERNETES)
def test_kubernetes_knows_every_field(manifests: Manifests, version: str) -> None:
    kinds = [kind for kind, _ in manifests]
    assert sorted(kinds) == ["ConfigMap", "PodDisruptionBudget", "Secret", "Secret", *["Service"] * 3, "StatefulSet"]
    for manifest in manifests.values():
        kubernetes_validate.validate(manifest, version, strict=True)
    wrong = {**manifests["PodDisruptionBudget", "gate-pushgate"], "spec": {"maxUnavailble": 1}}
    with pytest.raises(kubernetes_validate.ValidationError, match="maxUnavailble"):
        kubernetes_validate.validate(wrong, version, strict=True)


def test_pods_read_settings_that_make_them_one_cluster(manifests: Manifests, tmp_path: Path) -> None:
    config = load_pod(manifests, tmp_path)
    check_config(config)
    statefulset = manifests["StatefulSet", "gate-pushgate"]["spec"]
    nodes = manifests["Service", statefulset["serviceName"]]
    place = f"{nodes['metadata']['name']}.push.svc"
    assert config.cluster.nodes == [f"gate-pushgate-{number}.{place}" for number in range(statefulset["replicas"])]
    assert config.cluster.secret == "c" * 32
    assert (nodes["spec"]["clusterIP"], nodes["spec"]["publishNotReadyAddresses"]) == ("None", True)
    assert statefulset["podManagementPolicy"] == "Parallel"


def test_no_variable_of_kubernetes_is_taken_for_a_setting(manifests: Manifests) -> None:
    assert pod_of(manifests)["enableServiceLinks"] is False


def test_probes_and_services_find_the_ports_that_nodes_listen_on(manifests: Manifests, tmp_path: Path) -> None:
    config = load_pod(manifests, tmp_path)
    (container,) = pod_of(manifests)["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"clients": config.clients.port, "management": config.management.port, "cluster": 6222}
    assert (config.clients.host, config.management.host) == ("0.0.0.0", "0.0.0.0")
    asked = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert {name: probe["path"] for name, probe in asked.items()} == {
        "startup": "/healthz",
        "liveness": "/healthz",
        "readiness": "/readyz",
    }
    assert {probe["port"] for probe in asked.values()} == {"management"}
    services = [manifest["spec"] for (kind, _), manifest in manifests.items() if kind == "Service"]
    labels = manifests["StatefulSet", "gate-pushgate"]["spec"]["template"]["metadata"]["labels"]
    assert sorted(port["targetPort"] for service in services for port in service["ports"]) == sorted(ports)
    assert all(service["selector"].items() <= labels.items() for service in services)


def test_a_pod_has_time_to_drain_and_is_not_killed_for_one_worker(manifests: Manifests, tmp_path: Path) -> None:
    node = load_pod(manifests, tmp_path).node
    pod = pod_of(manifests)
    (container,) = pod["containers"]
    word, leaving = container["lifecycle"]["preStop"]["exec"]["command"]
    assert (word, node.drain) == ("sleep", 60)
    assert node.drain
    assert pod["terminationGracePeriodSeconds"] >= int(leaving) + node.drain + 2 * node.stop_grace + 3
    liveness = container["livenessProbe"]
    assert liveness["periodSeconds"] * liveness["failureThreshold"] >= 2 * node.watchdog


def test_pods_have_no_privileges(manifests: Manifests) -> None:
    pod = pod_of(manifests)
    (container,) = pod["containers"]
    user = value_of(read_dockerfile(DEPLOY / "docker" / "Dockerfile"), "USER")
    context = pod["securityContext"]
    assert f"{context['runAsUser']}:{context['runAsGroup']}" == user
    assert (context["runAsNonRoot"], context["fsGroup"]) == (True, context["runAsGroup"])
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False


def test_one_node_goes_at_a_time_and_no_two_are_on_one_machine(manifests: Manifests) -> None:
    budget = manifests["PodDisruptionBudget", "gate-pushgate"]["spec"]
    selector = manifests["StatefulSet", "gate-pushgate"]["spec"]["selector"]
    assert budget == {"maxUnavailable": 1, "selector": selector}
    (rule,) = pod_of(manifests)["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert rule == {"topologyKey": "kubernetes.io/hostname", "labelSelector": selector}


def test_pods_are_replaced_when_their_settings_change(manifests: Manifests, tmp_path: Path) -> None:
    def marks(manifests: Manifests) -> dict[str, str]:
        found: dict[str, str] = manifests["StatefulSet", "gate-pushgate"]["spec"]["template"]["metadata"]["annotations"]
        return found

    before = marks(manifests)
    for values, mark in (
        ({"configuration": CONFIGURATION + "# more\n"}, "checksum/secrets"),
        ({"replicas": 5}, "checksum/settings"),
    ):
        after = marks(render(tmp_path, **values))
        assert {name for name in before if before[name] != after[name]} == {mark}


def test_a_node_alone_is_no_cluster_and_drains_to_nobody(tmp_path: Path) -> None:
    manifests = render(tmp_path, replicas=1, cluster={})
    config = load_pod(manifests, tmp_path)
    check_config(config)
    assert (config.cluster.nodes, config.node.drain) == ([], None)
    assert not [kind for kind, _ in manifests if kind == "PodDisruptionBudget"]


def test_nodes_may_share_a_nats_of_somebody_else(tmp_path: Path) -> None:
    bus = '[bus]\nurl = "nats://nats"\n'
    config = load_pod(render(tmp_path, cluster={"embedded": False}, configuration=bus + CONFIGURATION), tmp_path)
    check_config(config)
    assert (config.cluster.nodes, config.node.drain, config.bus.url) == ([], 60, "nats://nats")


def test_secrets_may_be_somebody_elses(tmp_path: Path) -> None:
    manifests = render(tmp_path, existingConfiguration="ours", cluster={"existingSecret": "theirs"})
    assert not [kind for kind, _ in manifests if kind == "Secret"]
    assert pod_of(manifests)["volumes"][0]["secret"]["secretName"] == "ours"
    (variable,) = pod_of(manifests)["containers"][0]["env"]
    assert variable["valueFrom"]["secretKeyRef"] == {"name": "theirs", "key": "secret"}


def test_prometheus_finds_the_management_ports(tmp_path: Path) -> None:
    manifests = render(tmp_path, **MONITORED)
    monitor = manifests["ServiceMonitor", "gate-pushgate"]
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    services = [each for (kind, _), each in manifests.items() if kind == "Service"]
    (service,) = [each for each in services if wanted <= each["metadata"]["labels"].items()]
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint == {"port": "management", "path": "/metrics", "scheme": "http", "interval": "15s"}
    assert [port["name"] for port in service["spec"]["ports"]] == ["management"]
    assert monitor["metadata"]["labels"]["release"] == "prometheus"


@pytest.mark.parametrize(
    ("replicas", "words"), [(1, "One node is alone"), (2, "Two nodes need both"), (3, "3 nodes are one cluster")]
)
def test_who_installs_it_is_told_what_it_is(replicas: int, words: str, tmp_path: Path) -> None:
    status, said, _ = helm(["install", "gate", "--dry-run=client"], VALUES | {"replicas": replicas}, tmp_path)
    notes = said.partition("NOTES:")[2]
    assert (status, words in notes) == (0, True), said
    assert "ws://gate-pushgate.push.svc:80/ws" in notes


def test_the_chart_is_for_this_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == pushgate.__version__
