"""The kernel's limits. `root` is where /proc is; a check raises OSError or ValueError for what it cannot read."""

import re
from pathlib import Path

from pushgate.doctor.finding import Finding, Plan, judge

SPARE = 1000
"""Open files of a worker beside those of connections: callers, other workers, and room."""
RUSH = 4096
"""Clients that may come at once, and should find room in the queue of those not accepted yet."""
SETTINGS = "/etc/sysctl.d/90-pushgate.conf"


def check_open_files(root: Path, plan: Plan) -> Finding:
    """Open files of each worker: RLIMIT_NOFILE, of the node that runs or else of this process."""
    limits = (root / "proc" / (str(plan.pid) if plan.pid else "self") / "limits").read_text()
    found = re.search(r"^Max open files\s+\S+\s+(\S+)", limits, re.M)
    if found is None:
        raise ValueError("no line of open files")
    limit = _number(root, "proc/sys/fs/nr_open") if found[1] == "unlimited" else int(found[1])
    needed = _round_up(plan.wanted * plan.files / plan.workers + SPARE)
    whose = "of the node that runs" if plan.pid else "of this shell, a service has its own"
    return judge(
        plan,
        (limit - SPARE) * plan.workers // plan.files,
        f"{limit:,} for each of {plan.workers} workers ({whose}); a connection takes {plan.files}",
        f"LimitNOFILE={needed} under [Service] (systemctl edit pushgate), or ulimit -n {needed} before pushgate run",
    )


def check_nr_open(root: Path, plan: Plan) -> Finding:
    """How high the limit of a process may be set at all: fs.nr_open."""
    limit = _number(root, "proc/sys/fs/nr_open")
    needed = _round_up(plan.wanted * plan.files / plan.workers + SPARE)
    return judge(
        plan,
        (limit - SPARE) * plan.workers // plan.files,
        f"a process may be allowed {limit:,} open files",
        _sysctl("fs.nr_open", needed),
    )


def check_file_max(root: Path, plan: Plan) -> Finding:
    """Open files of the whole machine: fs.file-max."""
    used, _, limit = _numbers(root, "proc/sys/fs/file-nr")
    return judge(
        plan,
        (limit - used) // plan.files + plan.held,
        f"{used:,} open on this machine, of {limit:,}",
        _sysctl("fs.file-max", _round_up(used + plan.wanted * plan.files + plan.workers * SPARE)),
    )


def check_backlog(root: Path, plan: Plan) -> Finding:
    """The queue of connections that are not accepted yet: clients.backlog, and net.core.somaxconn above it."""
    most = _number(root, "proc/sys/net/core/somaxconn")
    queue = min(most, plan.backlog)
    mend = _sysctl("net.core.somaxconn", 65535) if most < RUSH else "clients.backlog = 65535"
    return Finding(
        state="ok" if queue >= RUSH else "warning",
        says=f"{queue:,} clients may wait to be accepted",
        mend="" if queue >= RUSH else mend,
    )


def check_ports(root: Path, plan: Plan) -> Finding:
    """How many connections a proxy or a load generator on this machine can make: ip_local_port_range."""
    low, high = _numbers(root, "proc/sys/net/ipv4/ip_local_port_range")
    count = high - low + 1
    return Finding(
        state="ok" if count >= plan.wanted else "warning",
        says=f"a proxy on this machine makes {count:,} from one address to the node; clients elsewhere are not bound",
        mend="" if count >= plan.wanted else _sysctl("net.ipv4.ip_local_port_range", "1024 65535"),
    )


def check_tcp_memory(root: Path, plan: Plan) -> Finding:
    """Memory for what is under way in TCP: tcp_mem, in pages. It bounds what is sent at once, not who is there."""
    limits = _numbers(root, "proc/sys/net/ipv4/tcp_mem")
    found = re.search(r"^TCP: .*\bmem (-?\d+)", (root / "proc/net/sockstat").read_text(), re.M)
    used = max(0, int(found[1])) if found else 0  # counted a CPU at a time, it may be seen below zero
    needed = used + plan.wanted
    enough = needed <= limits[2]
    return Finding(
        state="ok" if enough else "warning",
        says=f"{used:,} of {limits[2]:,} pages are in use; a push to everyone may take one for each connection",
        mend="" if enough else _sysctl("net.ipv4.tcp_mem", f"{needed * 3 // 4} {needed} {needed * 3 // 2}"),
    )


def check_conntrack(root: Path, plan: Plan) -> Finding:
    """Connections that the firewall keeps track of: nf_conntrack_max."""
    try:
        limit = _number(root, "proc/sys/net/netfilter/nf_conntrack_max")
        used = _number(root, "proc/sys/net/netfilter/nf_conntrack_count")
    except FileNotFoundError:
        return Finding(state="ok", says="the firewall keeps track of no connections")
    return judge(
        plan,
        limit - used + plan.held,
        f"the firewall keeps track of {used:,} connections, of {limit:,}",
        _sysctl("net.netfilter.nf_conntrack_max", _round_up(used + 2 * plan.wanted)),
    )


def _numbers(root: Path, path: str) -> list[int]:
    return [int(word) for word in (root / path).read_text().split()]


def _number(root: Path, path: str) -> int:
    (number,) = _numbers(root, path)
    return number


def _round_up(number: float) -> int:
    """Return the next power of two."""
    return 1 << (int(number) - 1).bit_length()


def _sysctl(name: str, value: object) -> str:
    return f"echo '{name} = {value}' >>{SETTINGS} && sysctl -p {SETTINGS}"
