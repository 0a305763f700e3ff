import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from litestar import Response, get
from msgspec import convert, to_builtins

from pushgate.api import routes
from pushgate.api.openapi import operations_of
from pushgate.codes import PROBLEMS
from pushgate.metrics.catalogue import API_REQUESTS, CATALOGUE
from tests.api.rig import Rig


def is_problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert (problem["status"], problem["code"], problem["title"]) == (status, code, PROBLEMS[code].title)
    assert problem["type"] == f"/docs#{code}"
    return problem


def test_a_token(rig: Rig) -> None:
    response = rig.http.post("/v1/tokens", json={"user": "alice", "ttl": 60, "tags": ["a", "b"]})
    assert response.status_code == 200
    assert response.json() == {"token": "acme/alice/60/a,b", "expires": 1060}


def test_a_token_lives_an_hour_unless_told(rig: Rig) -> None:
    assert rig.http.post("/v1/tokens", json={"user": "alice"}).json()["expires"] == 4600


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("user", {}),
        ("user", {"user": ""}),
        ("user", {"user": "a\n"}),
        ("user", {"user": 1}),
        ("ttl", {"user": "a", "ttl": 0}),
        ("ttl", {"user": "a", "ttl": 30 * 86400 + 1}),
        ("ttl", {"user": "a", "ttl": True}),
        ("tags", {"user": "a", "tags": "x"}),
        ("tags", {"user": "a", "tags": ["x"] * 17}),
        ("tags[1]", {"user": "a", "tags": ["x", "y" * 65]}),
        ("tags[0]", {"user": "a", "tags": ["\x00"]}),
        ("usr", {"usr": "a"}),
    ],
)
def test_a_token_asked_for_wrongly(rig: Rig, field: str, body: dict[str, Any]) -> None:
    problem = is_problem(rig.http.post("/v1/tokens", json=body), 400, "bad_request")
    assert field in [error["field"] for error in problem["errors"]]


def test_problems_of_the_tenants_come_through(rig: Rig) -> None:
    is_problem(rig.http.post("/v1/tokens", json={"user": "forbidden"}), 403, "forbidden")


def test_a_fault_of_ours_tells_nothing(rig: Rig, capfd: pytest.CaptureFixture[str]) -> None:
    response = rig.http.post("/v1/tokens", json={"user": "broken"})
    is_problem(response, 500, "internal_error")
    assert "secret" not in response.text
    assert "a secret detail" in "".join(capfd.readouterr())


def test_tokens_need_a_key_and_json(rig: Rig) -> None:
    with httpx.Client(base_url=rig.http.base_url) as http:
        response = http.post("/v1/tokens", json={"user": "a"})
    is_problem(response, 401, "unauthorized")
    assert response.headers["www-authenticate"] == "Bearer"
    is_problem(rig.http.post("/v1/tokens", data={"user": "a"}), 415, "unsupported_media_type")
    is_problem(rig.http.post("/v1/tokens", json={"user": "a" * 100_000}), 413, "too_large")
    assert rig.http.get("/healthz").status_code == 200


def test_health(rig: Rig) -> None:
    response = rig.http.get("/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_readiness(rig: Rig) -> None:
    assert rig.http.get("/readyz").status_code == 200
    rig.bus.connected = False
    rig.reasons.append("the node stops")
    response = rig.http.get("/readyz")
    assert is_problem(response, 503, "unavailable")["detail"] == "the bus is away; the node stops"
    assert response.headers["retry-after"] == "1"
    rig.reasons.insert(0, "the bus is away")
    assert rig.http.get("/readyz").json()["detail"] == "the bus is away; the node stops"


def test_metrics(rig: Rig) -> None:
    rig.push(user="a")
    response = rig.http.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    assert response.headers["content-type"].count("charset") == 1
    assert 'pushgate_pushes_accepted_total{qos="live",target="user"} 1.0' in response.text
    assert all(f"pushgate_{metric.name}" in response.text for metric in CATALOGUE)


def test_requests_are_counted_by_status_and_pushes_apart(rig: Rig) -> None:
    rig.push(user="a")
    rig.http.post("/v1/push?by=litestar", json={"user": "a", "data": 1})
    rig.http.post("/v1/push?by=litestar", json={})
    assert rig.http.get("/healthz").status_code == 200
    assert rig.http.get("/nope").status_code == 404
    rig.reasons = ["the node stops"]
    assert rig.http.get("/readyz").status_code == 503
    row = rig.context.row
    assert {status: row[slot] for status, slot in API_REQUESTS.items()} == {"2xx": 1, "3xx": 0, "4xx": 1, "5xx": 1}


def test_a_scrape_lets_others_run_between_its_parts(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = 0
    seen: list[int] = []

    def turn() -> None:
        nonlocal turns
        turns += 1
        if len(seen) < 3:
            rig.loop.call_soon(turn)

    def expose(*_: object) -> Iterator[bytes]:
        for number in range(3):
            seen.append(turns)
            yield f"part {number}\n".encode()

    monkeypatch.setattr(routes, "expose", expose)
    rig.call(turn)
    assert rig.http.get("/metrics").text == "part 0\npart 1\npart 2\n"
    assert seen[0] < seen[1] < seen[2]


@pytest.mark.parametrize("path", ["/", "/nope", "/v1", "/v1/push/x", "/docs/x", "/%2e%2e/v1/push"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_nothing_there(rig: Rig, method: str, path: str) -> None:
    is_problem(rig.http.request(method, f"http://127.0.0.1:{rig.port}{path}"), 404, "not_found")
    assert rig.bus.parcels == []


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/v1/push", "POST"),
        ("PUT", "/v1/tokens", "POST"),
        ("POST", "/healthz", "GET"),
        ("DELETE", "/docs", "GET"),
    ],
)
def test_a_wrong_method(rig: Rig, method: str, path: str, allow: str) -> None:
    response = rig.http.request(method, path)
    is_problem(response, 405, "method_not_allowed")
    assert allow in re.split(", ?", response.headers["allow"])


@pytest.mark.parametrize("path", ["/v1/push", "/v1/push?x", "/healthz", "/docs", "/nope", "/openapi.json", "/metrics"])
def test_headers_for_safety(rig: Rig, path: str) -> None:
    response = rig.http.post(path, json={"user": "a"}) if "push" in path else rig.http.get(path)
    for name, value in (("x-content-type-options", "nosniff"), ("cache-control", "no-store")):
        assert response.headers.get_list(name) == [value]
    assert len(response.headers.get_list("date")) == 1
    assert "server" not in response.headers
    assert not [name for name in response.headers if name.startswith("access-control")]


def test_cors_is_not_spoken(rig: Rig) -> None:
    response = rig.http.options("/v1/push", headers={"origin": "http://x", "access-control-request-method": "POST"})
    assert not [name for name in response.headers if name.startswith("access-control")]


def test_more_routes(make_rig: Callable[..., Rig]) -> None:
    @get("/extra")
    async def extra() -> Response[str]:
        return Response("more", headers={"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"})

    response = make_rig(extra_routes=[extra]).http.get("/extra")
    assert response.text == "more"
    assert response.headers.get_list("cache-control") == ["no-cache"]


def test_the_documentation_needs_nothing_from_elsewhere(rig: Rig) -> None:
    response = rig.http.get("/docs")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert not re.findall(r"https?://", response.text)
    assert not re.findall(r"innerHTML|\bsrc=", response.text)
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    problems = re.search(r"for \(const problem of (\[.*\])\)", response.text)
    assert problems is not None
    assert {problem["code"] for problem in json.loads(problems[1])} == PROBLEMS.keys()


def test_the_document(rig: Rig) -> None:
    response = rig.http.get("/openapi.json")
    document = response.json()
    assert document["openapi"].startswith("3.1")
    assert document["paths"].keys() == {
        "/v1/push",
        "/v1/push/batch",
        "/v1/tokens",
        "/v1/messages/{id}",
        "/v1/events",
        "/v1/users/{user}",
        "/v1/users/{user}/sessions",
        "/v1/users/{user}/sessions/{session}",
        "/v1/stats",
        "/v1/tenant",
        "/v1/nodes",
        "/healthz",
        "/readyz",
        "/metrics",
    }
    push = document["paths"]["/v1/push"]["post"]
    assert push["responses"].keys() == {"202", "400", "401", "403", "409", "413", "415", "429", "500", "503"}
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    assert document["paths"]["/healthz"]["get"]["security"] == []
    for methods in document["paths"].values():
        for operation in methods.values():
            for status in operation["responses"].keys() & {"429", "503"}:
                assert "Retry-After" in operation["responses"][status]["headers"]


def test_parameters_and_examples_of_answers(rig: Rig) -> None:
    """Each parameter is in its path or in the query, and each example is one by its schema."""
    described = list(operations_of(rig.app))
    assert described
    for path, method, _, operation in described:
        assert re.findall(r"\{(\w+)\}", path) == [each.name for each in operation.parameters if each.place == "path"]
        for parameter in operation.parameters:
            if parameter.required or parameter.example is not None:
                assert convert(parameter.example, parameter.kind) == parameter.example
        if path.startswith("/v1/"):
            assert operation.examples or method != "post"
            assert to_builtins(convert(operation.answer_example, operation.answer)) == operation.answer_example
