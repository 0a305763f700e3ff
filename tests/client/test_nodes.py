"""What is made of a node's answer about all nodes."""

import httpx
import pytest

from pushgate.client.errors import ApiProblem, Unreachable
from pushgate.client.nodes import ask_events, ask_nodes
from pushgate.messages.nodes import NodeEvent, NodeEvents, Nodes, NodeState

ANSWER = {
    "nodes": [
        {"node": "a", "version": "0.1.0", "workers": 2, "ready": True, "up": 7, "a_field": "of the future"},
        {"node": "b", "version": "0.0.9", "workers": 1, "ready": False},
    ],
    "missing": ["c"],
}


def ask(response: httpx.Response | Exception) -> Nodes:
    def answer(request: httpx.Request) -> httpx.Response:
        assert (request.url.path, request.headers["authorization"]) == ("/v1/nodes", "Bearer the key")
        if isinstance(response, Exception):
            raise response
        return response

    with httpx.Client(base_url="http://gateway", transport=httpx.MockTransport(answer)) as http:
        return ask_nodes(http, "the key")


def test_nodes_of_neighbouring_versions_are_read() -> None:
    nodes = ask(httpx.Response(200, json=ANSWER))
    assert nodes == Nodes([NodeState("a", "0.1.0", 2, True, up=7), NodeState("b", "0.0.9", 1, False)], ["c"])


def test_a_wrong_key_is_a_problem() -> None:
    problem = {"code": "unauthorized", "detail": "no such key"}
    with pytest.raises(ApiProblem, match="401 unauthorized: no such key"):
        ask(httpx.Response(401, json=problem))


def test_what_is_no_answer_of_a_gateway() -> None:
    with pytest.raises(ApiProblem, match="not the answer of a gateway"):
        ask(httpx.Response(200, json={"nodes": 5}))
    with pytest.raises(ApiProblem, match="404: Not Found"):
        ask(httpx.Response(404, text="<html>"))
    with pytest.raises(Unreachable, match="Connection refused"):
        ask(httpx.ConnectError("Connection refused"))


def test_events_are_read() -> None:
    event = {"node": "a", "time": 1.5, "level": "error", "event": "a worker ended", "facts": {"worker": 1, "why": None}}

    def answer(request: httpx.Request) -> httpx.Response:
        assert (request.url.path, request.headers["authorization"]) == ("/v1/events", "Bearer the key")
        return httpx.Response(200, json={"events": [event], "missing": ["b"]})

    with httpx.Client(base_url="http://gateway", transport=httpx.MockTransport(answer)) as http:
        told = ask_events(http, "the key")
    assert told == NodeEvents([NodeEvent("a", 1.5, "error", "a worker ended", {"worker": 1, "why": None})], ["b"])
