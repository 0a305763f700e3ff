"""All checks in their order, and how many connections they leave."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import httpx
from msgspec import structs

from pushgate.client.status import Look
from pushgate.doctor import kernel, node, resources
from pushgate.doctor.finding import Finding, Plan

MACHINE: dict[str, Callable[[Path, Plan], Finding]] = {
    "open files": kernel.check_open_files,
    "nr_open": kernel.check_nr_open,
    "file-max": kernel.check_file_max,
    "backlog": kernel.check_backlog,
    "port range": kernel.check_ports,
    "tcp_mem": kernel.check_tcp_memory,
    "conntrack": kernel.check_conntrack,
    "memory": resources.check_memory,
}
"""The checks of the machine that bound connections, by the name of what they look at."""


def examine_machine(plan: Plan, data_dir: Path, root: Path = Path("/")) -> Iterator[Finding]:
    """Yield what this machine can hold; `root` is where /proc and /sys are."""
    for name, check in MACHINE.items():
        yield _find(name, partial(check, root, plan))
    yield _find("clock", resources.check_clock)
    yield _find("disk sync", partial(resources.check_sync, data_dir))
    yield _find("disk room", partial(resources.check_room, data_dir))


def examine_node(look: Look, http: httpx.Client, key: str) -> Iterator[Finding]:
    """Yield how a node is that answers; `key` is an API key, or empty: then the other nodes are not asked for."""
    for name, check in node.CHECKS.items():
        yield _find(name, partial(check, look))
    if key:
        yield _find("nodes", partial(node.check_nodes, http, key))


def find_narrowest(findings: Iterable[Finding]) -> Finding | None:
    """Return the finding that lets a node hold the fewest connections; None where none bounds them."""
    bounds = (finding for finding in findings if finding.connections is not None)
    return min(bounds, key=lambda finding: finding.connections or 0, default=None)


def _find(name: str, check: Callable[[], Finding]) -> Finding:
    try:
        return structs.replace(check(), check=name)
    except (OSError, ValueError) as error:
        return Finding(check=name, state="warning", says=f"cannot be told: {error}")
