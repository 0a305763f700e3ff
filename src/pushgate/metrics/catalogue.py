"""Every metric of pushgate: its name, what it says, and the slots it has in a worker's row of integers.

The hot path adds to `row[slot]`; nothing is looked up by name there. To add a metric, add a line here.
"""

from pushgate.codes import Close
from pushgate.metrics.metric import Layout

_TIMES = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds in seconds of what a push may wait for."""

_node = Layout()
CATALOGUE = _node.metrics
"""The metrics of the node as a whole."""

CONNECTIONS = _node.gauge("connections", "Channel sessions open now")
EVENT_STREAMS = _node.gauge("event_streams", "Channel sessions open now over Server-Sent Events")
USERS = _node.gauge("users", "Users with a session on this node now")
LOBBY = _node.gauge("lobby", "Connections whose handshake is not done")
TLS_CONNECTIONS = _node.gauge("tls_connections", "Connections of clients over TLS whose TLS handshake is done")
PARKED_BYTES = _node.gauge("write_buffer_bytes", "Bytes parked for clients whose sockets would block")

DRAINING = _node.gauge("draining", "Whether the node is being drained: it lets nobody in, and sends its clients away")
UPGRADING = _node.gauge("upgrading", "Whether an upgrade of the node is under way, until its old processes have ended")

BUS_CONNECTED = _node.gauge("bus_connected_workers", "Workers whose connection to the bus is up", own=True)
INBOX_READY = _node.gauge(
    "inbox_ready_workers", "Workers whose inbox takes reliable messages; 0 on a node without one", own=True
)

OPENED = _node.counter("connections_opened_total", "Channel sessions opened")
CLOSED = _node.counters(
    "connections_closed_total",
    "Channel sessions closed, by close code (1006: the client went without a word)",
    "code",
    [*(str(code.value) for code in Close), "1006", "other"],
)
REFUSED = _node.counters(
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
TLS_HANDSHAKES = _node.counter("tls_handshakes_total", "TLS handshakes with clients that were done")
CERTIFICATES = _node.gauges(
    "certificate_expiry_timestamp_seconds",
    "When the certificate of a port expires, in seconds since 1970; 0 where there is none",
    "port",
    ["clients", "management"],
    own=True,
)
HANDED_OFF = _node.counter("handoffs_total", "Sockets passed to the worker that owns their user")
PUSHES = _node.counters_by(
    "pushes_accepted_total",
    "Pushes answered 2xx, by kind of delivery and target",
    {"qos": ["live", "reliable"], "target": ["user", "users", "everyone"]},
)
PUSHES_REFUSED = _node.counters(
    "pushes_refused_total",
    "Pushes answered with an error, by status",
    "status",
    ["400", "401", "403", "404", "409", "413", "415", "429", "503", "other"],
)
API_REQUESTS = _node.counters(
    "api_requests_total",
    "Requests beside `POST /v1/push` answered on the management port, by class of status",
    "status",
    ["2xx", "3xx", "4xx", "5xx"],
)
DELIVERED = _node.counter("messages_delivered_total", "Messages written to a session")
DROPPED = _node.counters(
    "messages_dropped_total",
    "Messages not written, by reason",
    "reason",
    ["slow_client", "undecodable", "fan_out_full"],
)
RESENT = _node.counter("messages_resent_total", "Messages written again because they were not acknowledged in time")
ACKNOWLEDGED = _node.counter("acknowledgements_total", "Acknowledgements taken from devices")
POSTED_ACKS = _node.counters(
    "posted_acknowledgements_total",
    "Requests to `/ack` on the client port that had a good token, by status",
    "status",
    ["204", "400", "404", "409", "503"],
)
BEHIND = _node.gauge(
    "devices_behind", "Devices that lack reliable messages and are catching up, or wait for their client"
)
EXPIRED_UNREAD = _node.counter(
    "messages_expired_unread_total",
    "Messages to a user whose ttl ended while one of the user's devices had not acknowledged them; a lower bound, "
    "without those narrowed or with a collapse key",
)
CATCH_UPS = _node.counter("catch_up_reads_total", "Reads of the inbox for devices that were behind")
SENT_BYTES = _node.counter("sent_bytes_total", "Bytes of messages written to clients, frame headers included")
RECEIVED_BYTES = _node.counter("received_bytes_total", "Bytes read from clients after the upgrade")
RECEIVED = _node.counter("messages_received_total", "Messages and control frames from clients")
PINGS = _node.counter("pings_total", "Heartbeat pings sent to idle clients, and comments on event streams")
BUS_GAPS = _node.counter("bus_gaps_total", "Times that the bus may have lost messages for a worker")
BUS_RECONNECTS = _node.counter("bus_reconnects_total", "Times that a worker's connection to the bus came back")
BUS_LAG = _node.histogram(
    "bus_lag_seconds",
    "From the acceptance of a push to its receipt by a worker, node clocks compared",
    _TIMES,
)
DIRECTORY_CURRENT = _node.gauge(
    "directory_current_workers", "Workers all of whose users the directory has, as far as they know", own=True
)
DIRECTORY_ENTRIES = _node.gauge("directory_entries", "Users for whom the directory names this node")
DIRECTORY_WRITES = _node.counter(
    "directory_writes_total", "Entries of the directory that were written, again or for the first time, or removed"
)
DIRECTED = _node.counter("routing_directed_total", "Pushes that went only to the nodes that the directory named")
FALLBACK = _node.counters(
    "routing_fallback_total",
    "Pushes that went to every node although the directory was to be asked, by reason: it could not be, or did not "
    "answer, or not every node is in it with all its users",
    "reason",
    ["registry", "nodes"],
)
QUESTIONS = _node.counter("questions_total", "Questions about users and nodes that were asked of all nodes")
UNANSWERED = _node.counter("questions_unanswered_total", "Nodes that did not answer a question in time")
PUSH_TO_WRITE = _node.histogram(
    "push_to_write_seconds",
    "From the acceptance of a push to the last write of it on a worker, node clocks compared",
    _TIMES,
)
INBOX_APPENDS = _node.counters(
    "inbox_appends_total",
    "Entries given to the inbox, by what became of them",
    "result",
    ["appended", "duplicate", "inbox_full", "user_full", "too_large", "unknown"],
)
INBOX_FAILURES = _node.counters(
    "inbox_failures_total", "Operations that the inbox did not answer, by kind", "kind", ["read", "cursor"]
)
INBOX_RETRIES = _node.counter(
    "inbox_append_retries_total", "Times that entries went to the inbox once more, unanswered before"
)
INBOX_GAPS = _node.counter("inbox_follow_restarts_total", "Times that following a tenant's logs began anew")
SPANS = _node.counters(
    "trace_spans_total",
    "Spans of traces: recorded, and of these taken by the collector (exported) or not (failed); the others are on "
    "their way, or were left out of a full queue",
    "result",
    ["recorded", "exported", "failed"],
)
INBOX_APPEND_TIME = _node.histogram("inbox_append_seconds", "From the call of an append to its answer", _TIMES)
INBOX_READ_TIME = _node.histogram("inbox_read_seconds", "From the call of a read to its answer", _TIMES)
INBOX_CURSOR_TIME = _node.histogram(
    "inbox_cursor_seconds", "From the call of a load or store of cursors to its answer", _TIMES
)
INBOX_BATCH = _node.histogram(
    "inbox_batch_entries", "Entries that went to the inbox together", (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
)
LOOP_LAG = _node.histogram(
    "loop_lag_seconds",
    "How late the worker's tick came",
    (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
)
GC_PAUSES = _node.histogram(
    "gc_pause_seconds",
    "Pauses of the garbage collector",
    (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1),
)
_node.of_worker("gauge", "worker_connections", "Channel sessions of a worker open now", shown=CONNECTIONS)
_node.of_worker("gauge", "worker_users", "Users of a worker with a session now", shown=USERS)
_node.of_worker("gauge", "worker_bus_connected", "Whether a worker's connection to the bus is up", shown=BUS_CONNECTED)
WORKER_INBOX_AWAY = _node.of_worker(
    "gauge",
    "worker_inbox_away",
    "Whether a worker's inbox is away, has no quorum or takes nothing; 0 where there is no inbox",
)
WORKER_CPU = _node.of_worker("counter", "worker_cpu_seconds_total", "CPU time of a worker, system calls included", 1e-6)
WORKER_MEMORY = _node.of_worker("gauge", "worker_memory_bytes", "Resident memory of a worker, what it shares included")
WORKER_FILES = _node.of_worker("gauge", "worker_open_files", "Files and sockets that a worker has open")
WORKER_MAX_FILES = _node.of_worker("gauge", "worker_max_files", "Files and sockets that a worker may have open")
WORKER_LAG = _node.of_worker("gauge", "worker_loop_lag_seconds", "The worst loop lag of a worker within 10 s", 1e-6)
WORKER_GC_PAUSE = _node.of_worker(
    "gauge", "worker_gc_pause_seconds", "The longest pause of a worker's garbage collector within 10 s", 1e-6
)
WORKER_START = _node.of_worker(
    "gauge", "worker_start_time_seconds", "When a worker was started, since 1970; 0 while it is not there", 1e-6
)
WORKER_TICKS = _node.of_worker("counter", "worker_ticks_total", "Ticks of a worker, four a second while it is well")
WORKER_RESTARTS = _node.of_worker("counter", "worker_restarts_total", "Times that a worker died and was to start again")
WATCHDOG_KILLS = _node.of_worker(
    "counter", "worker_watchdog_kills_total", "Times that a worker was stuck and killed for it"
)
NATS_RESTARTS = _node.counter("nats_server_restarts_total", "Times the embedded nats-server was started again")
CLUSTER_SERVERS = _node.gauge(
    "nats_cluster_servers",
    "Embedded nats-servers of the cluster that this node's is connected to, itself included; 0 without a cluster",
    own=True,
)
CLUSTER_LEADER = _node.gauge(
    "nats_cluster_leader", "Whether they have a leader, and so a quorum; 0 without a cluster", own=True
)
NATS_STORED = _node.gauge(
    "nats_stored_bytes", "Bytes that the embedded nats-server has stored, of all tenants", own=True
)
NATS_MAX_STORED = _node.gauge(
    "nats_max_stored_bytes",
    "Bytes that it can store: its limit, or what it has and its disk has free; 0 where there is no such server",
    own=True,
)
MEMORY_USED = _node.gauge(
    "memory_used_bytes",
    "Memory in use where the node runs, by others too, without what the kernel can take back",
    own=True,
)
MEMORY_MAX = _node.gauge(
    "memory_max_bytes", "Memory that there is where the node runs: the limit of its cgroup, or the machine's", own=True
)
RELOADS = _node.counters(
    "config_reloads_total", "Reloads of the configuration, by what became of them", "result", ["done", "failed"]
)
LAST_RELOAD = _node.gauge(
    "config_last_reload_timestamp_seconds",
    "When a reload was last taken on, in seconds since 1970; 0: not since the node was started or upgraded",
    own=True,
)
NODE_START = _node.gauge("node_start_time_seconds", "When the node was started, or upgraded, since 1970", own=True)

HANDSHAKES = _node.window()
"""The handshakes that this node began within the second."""

NODE_SLOTS = _node.slots
"""Slots of a row that stand for the node as a whole; behind them come TENANT_SLOTS for each tenant."""

MAX_TENANTS = 1024
"""Tenants that a node can have: each has slots in every row, and its name in metrics."""

_tenant = Layout(labels=("tenant",))
TENANT_CATALOGUE = _tenant.metrics
"""The metrics told apart by tenant. Their slots are counted from where a tenant's begin."""

TENANT_CONNECTIONS = _tenant.gauge("tenant_connections", "Channel sessions of a tenant open now")
TENANT_USERS = _tenant.gauge("tenant_users", "Users of a tenant with a session on this node now")
TENANT_PUSHES = _tenant.counter("tenant_pushes_accepted_total", "Pushes of a tenant answered 2xx")
TENANT_DELIVERED = _tenant.counter("tenant_messages_delivered_total", "Messages of a tenant written to a session")
TENANT_INBOX = _tenant.gauge(
    "tenant_inbox_bytes", "Bytes of a tenant's reliable messages in the inbox, which all nodes share", own=True
)
TENANT_MAX_INBOX = _tenant.gauge(
    "tenant_inbox_max_bytes", "Bytes that a tenant's inbox may have; 0: no limit of its own", own=True
)
TENANT_WINDOW = _tenant.window()
"""The pushes that a tenant made within the second."""

TENANT_SLOTS = _tenant.slots
