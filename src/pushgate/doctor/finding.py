"""What a check finds, and what it is told of the node that the machine is for."""

from typing import Literal, NamedTuple

from msgspec import Struct

State = Literal["ok", "warning", "wrong"]


class Finding(Struct, frozen=True, kw_only=True):
    """What one check found. `wrong` has to be mended, a `warning` may have to.

    `connections` is how many this lets the node hold, None where it bounds them not at all. `mend` is the line that
    mends it, empty where there is nothing to mend.
    """

    check: str = ""
    state: State
    says: str
    connections: int | None = None
    mend: str = ""


class Plan(NamedTuple):
    """What the node is meant to be: `workers`, the `wanted` connections, the `backlog` that it asks for, and whether it
    speaks `tls` with clients itself. `pid` and `held` are the process and the connections of one that runs; 0: none.
    """

    workers: int
    wanted: int
    backlog: int = 65535
    tls: bool = False
    pid: int = 0
    held: int = 0

    @property
    def files(self) -> int:
        """Open files that a connection takes."""
        return 3 if self.tls else 1

    @property
    def bytes(self) -> int:
        """Bytes that an idle connection takes, about: the worker's and the kernel's."""
        return 22 * 1024 if self.tls else 4 * 1024


def judge(plan: Plan, connections: int, says: str, mend: str) -> Finding:
    """Return the finding of something that bounds the connections: wrong where these are fewer than wanted."""
    enough = connections >= plan.wanted
    return Finding(
        state="ok" if enough else "wrong",
        says=says,
        connections=max(0, connections),
        mend="" if enough else mend,
    )
