"""All nodes at a glance, as any one of them tells it: `GET /v1/nodes`."""

import httpx
from msgspec import DecodeError, Struct, ValidationError, json

from pushgate.client.errors import ApiProblem, Unreachable
from pushgate.client.problems import read_problem


class Node(Struct, frozen=True):
    """A node that answered. `up` is in seconds, rates are per second; None is what a node of an older version does not
    tell. `bus_workers` and `inbox_workers` are those of its `workers` that have them; None too where there is no inbox.
    """

    node: str
    version: str
    workers: int
    ready: bool
    not_ready: list[str] | None = None
    draining: bool | None = None
    upgrading: bool | None = None
    up: int | None = None
    connections: int | None = None
    users: int | None = None
    pushes_per_second: float | None = None
    delivered_per_second: float | None = None
    bus_workers: int | None = None
    inbox_workers: int | None = None


class Nodes(Struct, frozen=True):
    """The nodes that answered, by name, and the names of those that did not."""

    nodes: list[Node]
    missing: list[str]


def ask_nodes(http: httpx.Client, api_key: str) -> Nodes:
    """Ask for all nodes; `http` has the URL of the API of one of them. Raises ApiProblem and Unreachable."""
    try:
        answer = http.get("/v1/nodes", headers={"Authorization": f"Bearer {api_key}"})
    except httpx.HTTPError as error:
        raise Unreachable(f"{http.base_url}: {str(error) or type(error).__name__}") from error
    if not answer.is_success:
        raise read_problem(answer)
    try:
        return json.decode(answer.content, type=Nodes)
    except (DecodeError, ValidationError) as error:
        raise ApiProblem(answer.status_code, "", f"not the answer of a gateway: {error}") from None
