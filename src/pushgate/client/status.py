"""How a node is, as it tells everybody who asks: two looks at /metrics, and /readyz."""

import time
from collections.abc import Mapping
from typing import NamedTuple

import httpx
from msgspec import DecodeError, Struct, ValidationError, json
from prometheus_client.parser import text_string_to_metric_families

from pushgate.client.errors import ApiProblem, Unreachable
from pushgate.metrics.exposition import PREFIX
from pushgate.sockets.poller import TICK


class Worker(Struct, frozen=True):
    """One worker. Memory is in bytes, times in seconds, `cpu` in parts of one core; lag and pause are the worst lately.

    `up` is None while it is not there; `stuck` is how often the watchdog had to end it.
    """

    worker: int
    up: float | None
    connections: int
    users: int
    cpu: float
    memory: int
    loop_lag: float
    gc_pause: float
    files: int
    max_files: int
    restarts: int
    stuck: int
    bus_connected: bool


class Rates(Struct, frozen=True):
    """What happened, per second, between the two looks."""

    pushes: float
    pushes_refused: float
    delivered: float
    dropped: float
    opened: float
    closed: float
    handshakes_refused: float


class BusState(Struct, frozen=True):
    """The bus: how many workers have it, how long a push was on it between the looks, and what went wrong."""

    connected_workers: int
    lag: float | None
    reconnects: int
    gaps: int
    server_restarts: int


class Status(Struct, frozen=True):
    """A node. `not_ready` says why it should get no traffic; empty means that it is ready."""

    node: str
    version: str
    python: str
    not_ready: str
    up: float
    connections: int
    users: int
    lobby: int
    write_buffers: int
    draining: bool
    rates: Rates
    bus: BusState
    workers: list[Worker]


class Look(NamedTuple):
    """What a node said at one moment (monotonic seconds): its metrics, by name and the value of their label."""

    moment: float
    metrics: Mapping[str, Mapping[str, float]]
    facts: Mapping[str, Mapping[str, str]]
    not_ready: str

    def total(self, name: str) -> float:
        """Return a metric, summed over its labels; 0 for one that this node does not have."""
        return sum(self.metrics.get(name, {}).values())

    def of(self, worker: str, name: str) -> float:
        """Return a metric of one worker."""
        return self.metrics.get(name, {}).get(worker, 0.0)


class _Problem(Struct):
    code: str = ""
    detail: str = ""


def look(http: httpx.Client) -> Look:
    """Ask a node how it is; `http` has the URL of its API. Raises Unreachable, or ApiProblem: it is no gateway."""
    try:
        text = http.get("/metrics")
        moment = time.monotonic()
        ready = http.get("/readyz")
    except httpx.HTTPError as error:
        raise Unreachable(f"{http.base_url}: {str(error) or type(error).__name__}") from error
    if text.status_code != 200 or PREFIX not in text.text:
        raise ApiProblem(text.status_code, "", "not the metrics of a gateway")
    metrics: dict[str, dict[str, float]] = {}
    facts: dict[str, dict[str, str]] = {}
    try:
        for family in text_string_to_metric_families(text.text):
            for sample in family.samples:
                name = sample.name.removeprefix(PREFIX)
                metrics.setdefault(name, {})[",".join(sample.labels.values())] = sample.value
                facts[name] = sample.labels
    except ValueError as error:
        raise ApiProblem(200, "", f"not the metrics of a gateway: {error}") from None
    return Look(moment, metrics, facts, "" if ready.status_code == 200 else _reason(ready))


def compare(before: Look, after: Look) -> Status:
    """Return how a node is, from two looks at it."""
    build = after.facts.get("build_info", {})

    def rate(name: str) -> float:
        # A counter falls when the node was started anew in between.
        return max(0.0, after.total(name) - before.total(name)) / (after.moment - before.moment)

    travelled = after.total("bus_lag_seconds_count") - before.total("bus_lag_seconds_count")
    time_on_bus = after.total("bus_lag_seconds_sum") - before.total("bus_lag_seconds_sum")
    return Status(
        node=after.facts.get("node_info", {}).get("name", ""),
        version=build.get("version", ""),
        python=build.get("python", ""),
        not_ready=after.not_ready,
        up=max(0.0, time.time() - after.total("node_start_time_seconds")),
        connections=int(after.total("connections")),
        users=int(after.total("users")),
        lobby=int(after.total("lobby")),
        write_buffers=int(after.total("write_buffer_bytes")),
        draining=bool(after.total("draining")),
        rates=Rates(
            pushes=rate("pushes_accepted_total"),
            pushes_refused=rate("pushes_refused_total"),
            delivered=rate("messages_delivered_total"),
            dropped=rate("messages_dropped_total"),
            opened=rate("connections_opened_total"),
            closed=rate("connections_closed_total"),
            handshakes_refused=rate("handshakes_refused_total"),
        ),
        bus=BusState(
            connected_workers=int(after.total("bus_connected_workers")),
            lag=time_on_bus / travelled if travelled > 0 else None,
            reconnects=int(after.total("bus_reconnects_total")),
            gaps=int(after.total("bus_gaps_total")),
            server_restarts=int(after.total("nats_server_restarts_total")),
        ),
        workers=[_worker(name, before, after) for name in after.metrics.get("worker_memory_bytes", {})],
    )


def _worker(name: str, before: Look, after: Look) -> Worker:
    started = after.of(name, "worker_start_time_seconds")
    return Worker(
        worker=int(name),
        up=max(0.0, time.time() - started) if started else None,
        connections=int(after.of(name, "worker_connections")),
        users=int(after.of(name, "worker_users")),
        cpu=_cpu(name, before, after),
        memory=int(after.of(name, "worker_memory_bytes")),
        loop_lag=after.of(name, "worker_loop_lag_seconds"),
        gc_pause=after.of(name, "worker_gc_pause_seconds"),
        files=int(after.of(name, "worker_open_files")),
        max_files=int(after.of(name, "worker_max_files")),
        restarts=int(after.of(name, "worker_restarts_total")),
        stuck=int(after.of(name, "worker_watchdog_kills_total")),
        bus_connected=bool(after.of(name, "worker_bus_connected")),
    )


def _cpu(name: str, before: Look, after: Look) -> float:
    """CPU time is noted with a worker's ticks, so their number is the exacter clock, unless they are late."""
    used = after.of(name, "worker_cpu_seconds_total") - before.of(name, "worker_cpu_seconds_total")
    passed = after.moment - before.moment
    ticked = TICK * (after.of(name, "worker_ticks_total") - before.of(name, "worker_ticks_total"))
    return max(0.0, used) / (ticked if ticked > 0 and abs(passed - ticked) <= TICK else passed)


def _reason(answer: httpx.Response) -> str:
    try:
        return json.decode(answer.content, type=_Problem).detail or str(answer.status_code)
    except (DecodeError, ValidationError):
        return f"/readyz is answered with {answer.status_code}"
