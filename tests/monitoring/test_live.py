"""The monitoring of a live node by a real Prometheus and Alertmanager: every panel and every rule finds something, and
alerts reach whom they should."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import jwt
import pytest

from pushgate.tenants.registry import hash_api_key
from tests.monitoring.places import DASHBOARDS, ROOT, load_dashboard, queries_of
from tests.monitoring.servers import Alertmanager, Hook, Prometheus
from tests.rig.certificates import the_authority
from tests.rig.client import WsClient
from tests.rig.node import RunningNode, wait_until

SECRET = "s" * 32
TENANTS = ("acme", "other")
TENANT = f"""
[tenants.{{name}}]
api_keys = ["{{key}}"]
inbox_bytes = 10_000_000
[[tenants.{{name}}.token_keys]]
algorithm = "HS256"
secret = "{SECRET}"
"""
CHOSEN = {"$job": "pushgate", "$instance": ".*", "$tenant": ".*", "$__rate_interval": "1m"}
"""What stands for the variables of a dashboard."""


class Scene(NamedTuple):
    """A node that was used and lost a worker, and who watches it."""

    node: RunningNode
    prometheus: Prometheus
    hook: Hook


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    directory = tmp_path
    ends = []
    try:
        hook = Hook()
        ends.append(hook.stop)
        alertmanager = Alertmanager(directory / "alertmanager", hook.port)
        ends.append(alertmanager.stop)
        node = make_node(directory)
        ends += [node.end_nats, node.stop]
        node.start()
        prometheus = Prometheus(directory / "prometheus", f"127.0.0.1:{node.management_port}", alertmanager.port)
        ends.append(prometheus.stop)
        wait_for_scrapes(prometheus, 1)
        asyncio.run(use(node, prometheus))
        os.kill(node.worker_pids[1], signal.SIGKILL)
        wait_until(lambda: bool(hook.of("PushgateWorkerRestarts")), "an alert arrives")
        yield Scene(node, prometheus, hook)
    finally:
        for end in reversed(ends):
            end()


def make_node(directory: Path) -> RunningNode:
    """Return a node with two workers, two tenants and a certificate for its clients."""
    file = directory / "pushgate.toml"
    file.write_text("".join(TENANT.format(name=name, key=hash_api_key(f"key of {name}")) for name in TENANTS))
    certificate, key = the_authority().write(directory, "own")
    variables = {"PUSHGATE_CLIENTS_TLS_CERTIFICATE": certificate, "PUSHGATE_CLIENTS_TLS_KEY": key}
    return RunningNode(directory, "--workers", "2", "--config", str(file), **variables)


def wait_for_scrapes(prometheus: Prometheus, more: int) -> None:
    """Wait until Prometheus has looked so many times more."""
    before = sum(prometheus.ask("count_over_time(up[1h])"))
    wait_until(lambda: sum(prometheus.ask("count_over_time(up[1h])")) >= before + more, "Prometheus looks")


async def use(node: RunningNode, prometheus: Prometheus) -> None:
    """Be clients and callers of the node for as long as Prometheus looks three times."""
    looks = asyncio.create_task(asyncio.to_thread(wait_for_scrapes, prometheus, 3))
    async with httpx.AsyncClient(base_url=node.api, timeout=10) as http:
        await asyncio.gather(*(use_tenant(node, http, tenant, looks) for tenant in TENANTS))
    await WsClient.close_all()
    await looks


async def use_tenant(node: RunningNode, http: httpx.AsyncClient, tenant: str, looks: "asyncio.Task[None]") -> None:
    browser = await join(node, tenant, "alice")
    device = await join(node, tenant, "bob", "&device=phone")
    count = 0
    while count < 20 or not looks.done():
        count += 1
        await push(http, tenant, user="alice", data=count)
        await push(http, tenant, user="bob", data=count, qos="reliable")
        assert (await browser.receive())["data"] == count
        if count % 10:
            message = await device.receive()
            assert message["data"] == count
            device.send({"type": "ack", "offset": message["offset"]})
        else:  # it is away when one comes, and catches up
            await device.close()
            device = await join(node, tenant, "bob", "&device=phone")
            assert (await device.receive())["data"] == count
        await asyncio.sleep(0.02)
    refused = await http.post("/v1/push", json={"user": "alice"}, headers={"Authorization": "Bearer nobody's"})
    assert refused.status_code == 401


async def join(node: RunningNode, tenant: str, user: str, query: str = "") -> WsClient:
    token = jwt.encode({"sub": user, "tenant": tenant, "exp": int(time.time()) + 600}, SECRET, "HS256")
    return await WsClient.join(node.clients_port, f"/ws?token={token}{query}", tls=the_authority().trust())


async def push(http: httpx.AsyncClient, tenant: str, **body: Any) -> None:
    answer = await http.post("/v1/push", json=body, headers={"Authorization": f"Bearer key of {tenant}"})
    assert answer.status_code == 202, answer.text


def fill_in(query: str) -> str:
    """Return a panel's query as Grafana would send it."""
    for name, value in CHOSEN.items():
        query = query.replace(name, value)
    return query


def make_total(query: str) -> str:
    """Return an alert's expression with comparisons that say 0 or 1 in place of leaving out what is false.

    It finds something as soon as both sides of each comparison do, and their labels match.
    """
    outside = re.split(r"(\{[^}]*\}|\"[^\"]*\")", query)
    outside[::2] = [re.sub(r"(==|!=|<=|>=|<|>)", r"\1 bool", part) for part in outside[::2]]
    return "".join(outside)


def test_a_live_node(scene: Scene) -> None:
    """One test, since all of it needs the one node, and the end of it, too."""
    check_panels(scene)
    check_rules(scene)
    check_that_nothing_is_seen(scene)
    check_alert_of_worker(scene)
    check_doctor(scene)
    scene.node.stop()
    wait_until(lambda: bool(scene.hook.of("PushgateNodeDown")), "somebody is woken")
    assert {path for path, _ in scene.hook.of("PushgateNodeDown")} == {"/on-call"}


def check_panels(scene: Scene) -> None:
    """Every panel of every dashboard shows something."""
    queries = [(file.stem, *each) for file in DASHBOARDS for each in queries_of(load_dashboard(file))]
    assert [each for each in queries if not scene.prometheus.ask(fill_in(each[-1]))] == []
    assert len(queries) > 60


def check_rules(scene: Scene) -> None:
    """Every rule is evaluated, and finds something."""
    rules = scene.prometheus.rules()
    assert [rule["lastError"] for rule in rules if rule["health"] != "ok"] == []
    assert {rule["type"] for rule in rules} == {"alerting", "recording"}
    asked = {rule["name"]: make_total(rule["query"]) if rule["type"] == "alerting" else rule["name"] for rule in rules}
    assert [name for name, query in asked.items() if not scene.prometheus.ask(query)] == []


def check_that_nothing_is_seen(scene: Scene) -> None:
    """What finds nothing does so here as well: these checks can fail."""
    assert scene.prometheus.ask(make_total('up{job="pushgate"} == 0 and no_such_metric > 0')) == []
    assert scene.prometheus.ask(make_total('up{job="pushgate"} == 0 and pushgate_draining{job!="x"} > 0')) == [0.0]


def check_alert_of_worker(scene: Scene) -> None:
    """The alert of the worker that was killed has arrived where it should."""
    (path, alert), *_ = scene.hook.of("PushgateWorkerRestarts")
    assert path == "/channel", "it waits for the day"
    assert alert["status"] == "firing"
    assert alert["labels"]["worker"] == "1"
    assert alert["annotations"]["summary"] == (
        f"Worker 1 of 127.0.0.1:{scene.node.management_port} died and was started again"
    )
    assert alert["annotations"]["runbook_url"] == "docs/operations.md#pushgateworkerrestarts"
    assert scene.hook.of("PushgateNodeDown") == []


def check_doctor(scene: Scene) -> None:
    """The doctor finds the node well, but for the worker that died."""
    node = scene.node
    command = [
        sys.executable,
        "-m",
        "pushgate",
        "doctor",
        "--json",
        "--data-dir",
        str(node.data_dir),
        "--api",
        node.api,
    ]
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PUSHGATE_API_KEY": "key of acme"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    said = json.loads(done.stdout)
    assert said["connections"] > 0, done.stderr
    machine = {finding["check"]: finding["says"] for finding in said["machine"]}
    assert "of the node that runs" in machine["open files"]
    found = {finding["check"]: finding["state"] for finding in said["node"]}
    assert found["workers"] == "warning", "it died once"
    for check in ("ready", "files in use", "inbox", "store", "tenants", "certificates", "nodes"):
        assert found[check] == "ok", (check, said["node"])
