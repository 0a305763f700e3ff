"""A node that runs, by what it tells: /readyz, /metrics and GET /v1/nodes."""

import time
from collections.abc import Callable
from pathlib import Path

import httpx
from msgspec import DecodeError, ValidationError, json

from pushgate.client.status import Look
from pushgate.doctor.finding import Finding
from pushgate.errors import PushgateError
from pushgate.messages.nodes import Nodes

RUNBOOK = "docs/operations.md#pushgate"
"""Behind it comes the name of an alert, in small letters."""
DAY = 86400


def find_pid(root: Path, data_dir: Path) -> int:
    """Return the process of the node that has this data directory; 0 where none runs, as far as we may see."""
    try:
        pid = int((data_dir / "node.lock").read_text())
        return pid if b"pushgate" in (root / "proc" / str(pid) / "cmdline").read_bytes() else 0
    except (OSError, ValueError):
        return 0


def explain_silence(data_dir: Path, pid: int, expected: bool, error: PushgateError) -> Finding:
    """Return what it means that no node answers; `expected` says that one should."""
    if not expected:
        return Finding(check="node", state="ok", says=f"none runs on {data_dir}")
    who = f"process {pid} has {data_dir} and does not answer: " if pid else ""
    return Finding(check="node", state="wrong", says=f"{who}{error}", mend=_see("nodedown"))


def check_ready(look: Look) -> Finding:
    """Whether it should get traffic: bus and inbox are there, and it does not stop."""
    if look.not_ready:
        return Finding(state="wrong", says=f"not ready: {look.not_ready}", mend=_see("inboxaway"))
    return Finding(state="ok", says=f"ready, with {look.total('connections'):,.0f} connections")


def check_workers(look: Look) -> Finding:
    """Whether all workers are there, and stay."""
    starts = look.metrics.get("worker_start_time_seconds", {})
    away = [worker for worker, start in starts.items() if not start]
    restarts = look.total("worker_restarts_total")
    if away:
        return Finding(state="wrong", says=f"away: worker {', '.join(away)}", mend=_see("workeraway"))
    says = f"{len(starts)} of {len(starts)} are there, {restarts:,.0f} restarts since the node started"
    return Finding(state="warning" if restarts else "ok", says=says, mend=_see("workerrestarts") if restarts else "")


def check_lag(look: Look) -> Finding:
    """Whether workers do what is due in time."""
    lag = max(look.metrics.get("worker_loop_lag_seconds", {}).values(), default=0.0)
    says = f"a worker was {lag * 1000:,.0f} ms late at the worst, within 10 s"
    return Finding(state="warning" if lag > 0.1 else "ok", says=says, mend=_see("looplag") if lag > 0.1 else "")


def check_files(look: Look) -> Finding:
    """How near a worker is to its limit of open files."""
    limits = look.metrics.get("worker_max_files", {})
    parts = [look.of(worker, "worker_open_files") / limit for worker, limit in limits.items() if limit]
    return _fill("open files of the fullest worker", max(parts, default=0.0), 0.85, 0.97, "filesnearlimit")


def check_bus(look: Look) -> Finding:
    """Whether all workers have the bus, and whether it lost something."""
    workers = look.metrics.get("worker_bus_connected", {})
    away = [worker for worker, connected in workers.items() if not connected]
    if away:
        return Finding(state="wrong", says=f"away for worker {', '.join(away)}", mend=_see("busaway"))
    gaps, reconnects = look.total("bus_gaps_total"), look.total("bus_reconnects_total")
    says = f"all workers have it; {reconnects:,.0f} reconnects, {gaps:,.0f} gaps since the node started"
    return Finding(state="warning" if gaps else "ok", says=says, mend=_see("busgaps") if gaps else "")


def check_inbox(look: Look) -> Finding:
    """Whether all workers can store and read reliable messages."""
    away = [worker for worker, away in look.metrics.get("worker_inbox_away", {}).items() if away]
    if away:
        return Finding(state="wrong", says=f"away for worker {', '.join(away)}", mend=_see("inboxaway"))
    behind = look.total("devices_behind")
    return Finding(state="ok", says=f"it takes reliable pushes, if the node has one; {behind:,.0f} devices are behind")


def check_store(look: Look) -> Finding:
    """How full the embedded nats-server's store is."""
    stored, limit = look.total("nats_stored_bytes"), look.total("nats_max_stored_bytes")
    if not limit:
        return Finding(state="ok", says="there is no nats-server of the node's own")
    return _fill("what the nats-server can store", stored / limit, 0.8, 0.97, "inboxfilling")


def check_tenants(look: Look) -> Finding:
    """How full the fullest tenant's inbox is."""
    limits = look.metrics.get("tenant_inbox_max_bytes", {})
    parts = {name: look.of(name, "tenant_inbox_bytes") / limit for name, limit in limits.items() if limit}
    if not parts:
        return Finding(state="ok", says="no tenant has a limit of bytes")
    fullest = max(parts, key=parts.__getitem__)
    return _fill(f"the inbox of tenant {fullest}, the fullest,", parts[fullest], 0.8, 1.0, "tenantinboxfilling")


def check_certificates(look: Look) -> Finding:
    """How long the certificates are good."""
    expiries = look.metrics.get("certificate_expiry_timestamp_seconds", {})
    left = {port: (expiry - time.time()) / DAY for port, expiry in expiries.items() if expiry}
    if not left:
        return Finding(state="ok", says="there are none: the node speaks no TLS itself")
    port = min(left, key=left.__getitem__)
    soon = left[port] < 14
    return Finding(
        state="wrong" if left[port] < 2 else "warning" if soon else "ok",
        says=f"that for {port} is good for {left[port]:,.1f} days",
        mend=_see("certificateexpires") if soon else "",
    )


CHECKS: dict[str, Callable[[Look], Finding]] = {
    "ready": check_ready,
    "workers": check_workers,
    "loop lag": check_lag,
    "files in use": check_files,
    "bus": check_bus,
    "inbox": check_inbox,
    "store": check_store,
    "tenants": check_tenants,
    "certificates": check_certificates,
}
"""The checks of a node, by the name of what they look at."""


def check_nodes(http: httpx.Client, key: str) -> Finding:
    """Whether all nodes of the cluster answer over the bus; `http` has the URL of the API, `key` is a tenant's."""
    began = time.monotonic()
    try:
        answer = http.get("/v1/nodes", headers={"Authorization": f"Bearer {key}"})
        took = time.monotonic() - began
        if answer.status_code in (401, 403):
            return Finding(state="warning", says="no tenant has the API key: the other nodes were not asked for")
        said = json.decode(answer.content, type=Nodes)
    except httpx.HTTPError as error:
        return Finding(state="wrong", says=f"GET /v1/nodes: {error}", mend=_see("nodedown"))
    except (DecodeError, ValidationError):
        return Finding(state="wrong", says=f"GET /v1/nodes is answered with {answer.status_code}", mend=_see("busaway"))
    if said.missing:
        return Finding(state="wrong", says=f"no answer from {', '.join(said.missing)}", mend=_see("nodedown"))
    unready = [node.node for node in said.nodes if not node.ready]
    if unready:
        return Finding(state="warning", says=f"not ready: {', '.join(unready)}", mend=_see("inboxaway"))
    return Finding(state="ok", says=f"{len(said.nodes)} answered over the bus, within {took * 1000:.0f} ms")


def _fill(what: str, part: float, warning: float, wrong: float, alert: str) -> Finding:
    return Finding(
        state="wrong" if part >= wrong else "warning" if part >= warning else "ok",
        says=f"{part:.0%} of {what} are in use",
        mend=_see(alert) if part >= warning else "",
    )


def _see(alert: str) -> str:
    return RUNBOOK + alert
