"""All nodes, as any one of them tells of them: `GET /v1/nodes` and `/v1/events`."""

from typing import TypeVar

import httpx
from msgspec import DecodeError, ValidationError, json

from pushgate.client.errors import ApiProblem, Unreachable
from pushgate.client.problems import read_problem
from pushgate.messages.nodes import NodeEvents, Nodes

A = TypeVar("A", Nodes, NodeEvents)


def ask_nodes(http: httpx.Client, api_key: str) -> Nodes:
    """Ask how all nodes are; `http` has the URL of the API of one of them. Raises ApiProblem and Unreachable."""
    return _ask(http, api_key, "/v1/nodes", Nodes)


def ask_events(http: httpx.Client, api_key: str) -> NodeEvents:
    """Ask what happened to all nodes of late; the rest is as with `ask_nodes`."""
    return _ask(http, api_key, "/v1/events", NodeEvents)


def _ask(http: httpx.Client, api_key: str, path: str, kind: type[A]) -> A:
    try:
        answer = http.get(path, headers={"Authorization": f"Bearer {api_key}"})
    except httpx.HTTPError as error:
        raise Unreachable(f"{http.base_url}: {str(error) or type(error).__name__}") from error
    if not answer.is_success:
        raise read_problem(answer)
    try:
        return json.decode(answer.content, type=kind)
    except (DecodeError, ValidationError) as error:
        raise ApiProblem(answer.status_code, "", f"not the answer of a gateway: {error}") from None
