"""Every metric of pushgate: its name, what it says, and the slots it has in a worker's row of integers.

The hot path adds to `row[slot]`; nothing is looked up by name there. To add a metric, add a line here.
"""

from collections.abc import Iterable
from itertools import product
from typing import Literal, NamedTuple

from pushgate.codes import Close


class Metric(NamedTuple):
    """One metric: `slots` maps the values of its labels (none without labels) to a slot.

    Values in slots are integers: `unit` is what one of them stands for, a millionth for seconds. With `per_worker` each
    row is told apart by the label `worker`, otherwise all are summed. Two metrics may show one slot. While one
    generation of processes hands over to another, what both have is added up, but not what each says of itself, `own`.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...]
    slots: dict[tuple[str, ...], int]
    buckets: tuple[float, ...] = ()
    unit: float = 1
    per_worker: bool = False
    own: bool = False


class Histogram(NamedTuple):
    """Where a histogram's slots begin (a bucket each, one for what is above, the sum) and its bounds in seconds."""

    first: int
    buckets: tuple[float, ...]


CATALOGUE: list[Metric] = []
_taken = 0


def _take(count: int) -> int:
    global _taken
    first, _taken = _taken, _taken + count
    return first


def _counter(name: str, text: str) -> int:
    slot = _take(1)
    CATALOGUE.append(Metric(name, "counter", text, (), {(): slot}))
    return slot


def _gauge(name: str, text: str, own: bool = False) -> int:
    slot = _take(1)
    CATALOGUE.append(Metric(name, "gauge", text, (), {(): slot}, own=own))
    return slot


def _of_worker(
    kind: Literal["counter", "gauge"], name: str, text: str, unit: float = 1, shown: int | None = None
) -> int:
    """A metric told apart by worker: of a slot of its own, or of the one `shown`, which another metric sums."""
    slot = _take(1) if shown is None else shown
    CATALOGUE.append(Metric(name, kind, text, (), {(): slot}, unit=unit, per_worker=True))
    return slot


def _counters(name: str, text: str, label: str, values: Iterable[str]) -> dict[str, int]:
    return {value: slot for (value,), slot in _counters_by(name, text, {label: values}).items()}


def _counters_by(name: str, text: str, labels: dict[str, Iterable[str]]) -> dict[tuple[str, ...], int]:
    slots = {values: _take(1) for values in product(*labels.values())}
    CATALOGUE.append(Metric(name, "counter", text, tuple(labels), slots))
    return slots


def _gauges(name: str, text: str, label: str, values: Iterable[str], own: bool = False) -> dict[str, int]:
    slots = {value: _take(1) for value in values}
    by_label: dict[tuple[str, ...], int] = {(value,): slot for value, slot in slots.items()}
    CATALOGUE.append(Metric(name, "gauge", text, (label,), by_label, own=own))
    return slots


def _histogram(name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
    first = _take(len(buckets) + 2)
    CATALOGUE.append(Metric(name, "histogram", text, (), {(): first}, buckets))
    return Histogram(first, buckets)


def window() -> int:
    """Return the first of the two slots of a `rows.Window`; no metric shows them."""
    return _take(2)


CONNECTIONS = _gauge("connections", "Channel sessions open now")
EVENT_STREAMS = _gauge("event_streams", "Channel sessions open now over Server-Sent Events")
USERS = _gauge("users", "Users with a session on this node now")
LOBBY = _gauge("lobby", "Connections whose handshake is not done")
TLS_CONNECTIONS = _gauge("tls_connections", "Connections of clients over TLS whose TLS handshake is done")
PARKED_BYTES = _gauge("write_buffer_bytes", "Bytes parked for clients whose sockets would block")

DRAINING = _gauge("draining", "Whether the node is being drained: it lets nobody in, and sends its clients away")
UPGRADING = _gauge("upgrading", "Whether an upgrade of the node is under way, until its old processes have ended")

BUS_CONNECTED = _gauge("bus_connected_workers", "Workers whose connection to the bus is up", own=True)
INBOX_READY = _gauge(
    "inbox_ready_workers", "Workers whose inbox takes reliable messages; 0 on a node without one", own=True
)

OPENED = _counter("connections_opened_total", "Channel sessions opened")
CLOSED = _counters(
    "connections_closed_total",
    "Channel sessions closed, by close code (1006: the client went without a word)",
    "code",
    [*(str(code.value) for code in Close), "1006", "other"],
)
REFUSED = _counters(
    "handshakes_refused_total",
    "Handshakes that did not become a session, by reason",
    "reason",
    [
        "malformed",
        "timeout",
        "token",
        "files",
        "not_websocket",
        "gone",
        "overloaded",
        "fault",
        "tenant_connections",
        "tls",
        "connections",
        "address_connections",
        "handshakes",
        "address_handshakes",
        "origin",
        "proxy",
        "inbox",
    ],
)
TLS_HANDSHAKES = _counter("tls_handshakes_total", "TLS handshakes with clients that were done")
CERTIFICATES = _gauges(
    "certificate_expiry_timestamp_seconds",
    "When the certificate of a port expires, in seconds since 1970; 0 where there is none",
    "port",
    ["clients", "management"],
    own=True,
)
HANDED_OFF = _counter("handoffs_total", "Sockets passed to the worker that owns their user")
PUSHES = _counters_by(
    "pushes_accepted_total",
    "Pushes answered 2xx, by kind of delivery and target",
    {"qos": ["live", "reliable"], "target": ["user", "users", "everyone"]},
)
PUSHES_REFUSED = _counters(
    "pushes_refused_total",
    "Pushes answered with an error, by status",
    "status",
    ["400", "401", "403", "404", "409", "413", "415", "429", "503", "other"],
)
API_REQUESTS = _counters(
    "api_requests_total",
    "Requests beside `POST /v1/push` answered on the management port, by class of status",
    "status",
    ["2xx", "3xx", "4xx", "5xx"],
)
DELIVERED = _counter("messages_delivered_total", "Messages written to a session")
DROPPED = _counters(
    "messages_dropped_total",
    "Messages not written, by reason",
    "reason",
    ["slow_client", "undecodable", "fan_out_full"],
)
RESENT = _counter("messages_resent_total", "Messages written again because they were not acknowledged in time")
ACKNOWLEDGED = _counter("acknowledgements_total", "Acknowledgements taken from devices")
POSTED_ACKS = _counters(
    "posted_acknowledgements_total",
    "Requests to `/ack` on the client port that had a good token, by status",
    "status",
    ["204", "400", "404", "409", "503"],
)
BEHIND = _gauge("devices_behind", "Devices that lack reliable messages and are catching up, or wait for their client")
EXPIRED_UNREAD = _counter(
    "messages_expired_unread_total",
    "Messages to a user whose ttl ended while one of the user's devices had not acknowledged them; a lower bound, "
    "without those narrowed or with a collapse key",
)
CATCH_UPS = _counter("catch_up_reads_total", "Reads of the inbox for devices that were behind")
SENT_BYTES = _counter("sent_bytes_total", "Bytes of messages written to clients, frame headers included")
RECEIVED_BYTES = _counter("received_bytes_total", "Bytes read from clients after the upgrade")
RECEIVED = _counter("messages_received_total", "Messages and control frames from clients")
PINGS = _counter("pings_total", "Heartbeat pings sent to idle clients, and comments on event streams")
BUS_GAPS = _counter("bus_gaps_total", "Times that the bus may have lost messages for a worker")
BUS_RECONNECTS = _counter("bus_reconnects_total", "Times that a worker's connection to the bus came back")
BUS_LAG = _histogram(
    "bus_lag_seconds",
    "From the acceptance of a push to its receipt by a worker, node clocks compared",
    (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
DIRECTORY_CURRENT = _gauge(
    "directory_current_workers", "Workers all of whose users the directory has, as far as they know", own=True
)
DIRECTORY_ENTRIES = _gauge("directory_entries", "Users for whom the directory names this node")
DIRECTORY_WRITES = _counter(
    "directory_writes_total", "Entries of the directory that were written, again or for the first time, or removed"
)
DIRECTED = _counter("routing_directed_total", "Pushes that went only to the nodes that the directory named")
FALLBACK = _counters(
    "routing_fallback_total",
    "Pushes that went to every node although the directory was to be asked, by reason: it could not be, or did not "
    "answer, or not every node is in it with all its users",
    "reason",
    ["registry", "nodes"],
)
QUESTIONS = _counter("questions_total", "Questions about users and nodes that were asked of all nodes")
UNANSWERED = _counter("questions_unanswered_total", "Nodes that did not answer a question in time")
PUSH_TO_WRITE = _histogram(
    "push_to_write_seconds",
    "From the acceptance of a push to the last write of it on a worker, node clocks compared",
    (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
INBOX_APPENDS = _counters(
    "inbox_appends_total",
    "Entries given to the inbox, by what became of them",
    "result",
    ["appended", "duplicate", "inbox_full", "user_full", "too_large", "unknown"],
)
INBOX_FAILURES = _counters(
    "inbox_failures_total", "Operations that the inbox did not answer, by kind", "kind", ["read", "cursor"]
)
INBOX_RETRIES = _counter(
    "inbox_append_retries_total", "Times that entries went to the inbox once more, unanswered before"
)
INBOX_GAPS = _counter("inbox_follow_restarts_total", "Times that following a tenant's logs began anew")
SPANS = _counters(
    "trace_spans_total",
    "Spans of traces: recorded, and of these taken by the collector (exported) or not (failed); the others are on "
    "their way, or were left out of a full queue",
    "result",
    ["recorded", "exported", "failed"],
)
_INBOX_TIMES = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
INBOX_APPEND_TIME = _histogram("inbox_append_seconds", "From the call of an append to its answer", _INBOX_TIMES)
INBOX_READ_TIME = _histogram("inbox_read_seconds", "From the call of a read to its answer", _INBOX_TIMES)
INBOX_CURSOR_TIME = _histogram(
    "inbox_cursor_seconds", "From the call of a load or store of cursors to its answer", _INBOX_TIMES
)
INBOX_BATCH = _histogram(
    "inbox_batch_entries", "Entries that went to the inbox together", (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
)
LOOP_LAG = _histogram(
    "loop_lag_seconds",
    "How late the worker's tick came",
    (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
)
GC_PAUSES = _histogram(
    "gc_pause_seconds",
    "Pauses of the garbage collector",
    (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1),
)
_of_worker("gauge", "worker_connections", "Channel sessions of a worker open now", shown=CONNECTIONS)
_of_worker("gauge", "worker_users", "Users of a worker with a session now", shown=USERS)
_of_worker("gauge", "worker_bus_connected", "Whether a worker's connection to the bus is up", shown=BUS_CONNECTED)
WORKER_INBOX_AWAY = _of_worker(
    "gauge",
    "worker_inbox_away",
    "Whether a worker's inbox is away, has no quorum or takes nothing; 0 where there is no inbox",
)
WORKER_CPU = _of_worker("counter", "worker_cpu_seconds_total", "CPU time of a worker, system calls included", 1e-6)
WORKER_MEMORY = _of_worker("gauge", "worker_memory_bytes", "Resident memory of a worker, what it shares included")
WORKER_FILES = _of_worker("gauge", "worker_open_files", "Files and sockets that a worker has open")
WORKER_MAX_FILES = _of_worker("gauge", "worker_max_files", "Files and sockets that a worker may have open")
WORKER_LAG = _of_worker("gauge", "worker_loop_lag_seconds", "The worst loop lag of a worker within 10 s", 1e-6)
WORKER_GC_PAUSE = _of_worker(
    "gauge", "worker_gc_pause_seconds", "The longest pause of a worker's garbage collector within 10 s", 1e-6
)
WORKER_START = _of_worker(
    "gauge", "worker_start_time_seconds", "When a worker was started, since 1970; 0 while it is not there", 1e-6
)
WORKER_TICKS = _of_worker("counter", "worker_ticks_total", "Ticks of a worker, four a second while it is well")
WORKER_RESTARTS = _of_worker("counter", "worker_restarts_total", "Times that a worker died and was to start again")
WATCHDOG_KILLS = _of_worker("counter", "worker_watchdog_kills_total", "Times that a worker was stuck and killed for it")
NATS_RESTARTS = _counter("nats_server_restarts_total", "Times the embedded nats-server was started again")
CLUSTER_SERVERS = _gauge(
    "nats_cluster_servers",
    "Embedded nats-servers of the cluster that this node's is connected to, itself included; 0 without a cluster",
    own=True,
)
CLUSTER_LEADER = _gauge(
    "nats_cluster_leader", "Whether they have a leader, and so a quorum; 0 without a cluster", own=True
)
NATS_STORED = _gauge("nats_stored_bytes", "Bytes that the embedded nats-server has stored, of all tenants", own=True)
NATS_MAX_STORED = _gauge(
    "nats_max_stored_bytes",
    "Bytes that it can store: its limit, or what it has and its disk has free; 0 where there is no such server",
    own=True,
)
MEMORY_USED = _gauge(
    "memory_used_bytes",
    "Memory in use where the node runs, by others too, without what the kernel can take back",
    own=True,
)
MEMORY_MAX = _gauge(
    "memory_max_bytes", "Memory that there is where the node runs: the limit of its cgroup, or the machine's", own=True
)
RELOADS = _counters(
    "config_reloads_total", "Reloads of the configuration, by what became of them", "result", ["done", "failed"]
)
LAST_RELOAD = _gauge(
    "config_last_reload_timestamp_seconds",
    "When a reload was last taken on, in seconds since 1970; 0: not since the node was started or upgraded",
    own=True,
)
NODE_START = _gauge("node_start_time_seconds", "When the node was started, or upgraded, since 1970", own=True)

HANDSHAKES = window()
"""The handshakes that this node began within the second."""

NODE_SLOTS = _taken
"""Slots of a row that stand for the node as a whole; behind them come TENANT_SLOTS for each tenant."""

MAX_TENANTS = 1024
"""Tenants that a node can have: each has slots in every row, and its name in metrics."""

_taken = 0
TENANT_CATALOGUE: list[Metric] = []
"""The metrics told apart by tenant. Their slots are counted from where a tenant's begin."""


def _of_tenant(kind: Literal["counter", "gauge"], name: str, text: str, own: bool = False) -> int:
    slot = _take(1)
    TENANT_CATALOGUE.append(Metric(name, kind, text, ("tenant",), {(): slot}, own=own))
    return slot


TENANT_CONNECTIONS = _of_tenant("gauge", "tenant_connections", "Channel sessions of a tenant open now")
TENANT_USERS = _of_tenant("gauge", "tenant_users", "Users of a tenant with a session on this node now")
TENANT_PUSHES = _of_tenant("counter", "tenant_pushes_accepted_total", "Pushes of a tenant answered 2xx")
TENANT_DELIVERED = _of_tenant("counter", "tenant_messages_delivered_total", "Messages of a tenant written to a session")
TENANT_INBOX = _of_tenant(
    "gauge", "tenant_inbox_bytes", "Bytes of a tenant's reliable messages in the inbox, which all nodes share", own=True
)
TENANT_MAX_INBOX = _of_tenant(
    "gauge", "tenant_inbox_max_bytes", "Bytes that a tenant's inbox may have; 0: no limit of its own", own=True
)
TENANT_WINDOW = window()
"""The pushes that a tenant made within the second."""

TENANT_SLOTS = _taken
