"""What the OpenAPI document promises holds, as schemathesis sees it."""

import json
from typing import Any

import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode

from pushgate.api.rules import unsafe_number
from pushgate.config import InboxConfig
from tests.api.rig import AUTH, Rig

OPERATIONS = {
    "POST /v1/push",
    "POST /v1/push/batch",
    "POST /v1/tokens",
    "GET /v1/messages/{id}",
    "GET /v1/users/{user}",
    "DELETE /v1/users/{user}/sessions",
    "DELETE /v1/users/{user}/sessions/{session}",
    "GET /v1/stats",
    "GET /v1/tenant",
    "GET /v1/nodes",
    "GET /v1/events",
    "GET /healthz",
    "GET /readyz",
    "GET /metrics",
}


def test_the_document_is_true(rig: Rig) -> None:
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{rig.port}/openapi.json")
    seen = set()
    for result in schema.get_all_operations():
        operation: Any = result.ok()  # type: ignore[union-attr] # an error has no `ok` and fails the test
        seen.add(operation.label)
        check(operation, GenerationMode.POSITIVE)
        if operation.body or operation.path_parameters:
            check(operation, GenerationMode.NEGATIVE)
    assert seen == OPERATIONS


def is_beyond_json_schema(case: Any) -> bool:
    """Whether what is valid is wrong in a way that the document has no words for: big numbers, what is too long to keep
    for a tenant, and a query that has to have exactly one of two names."""
    if case.path == "/v1/messages/{id}":
        # what its pattern forbids comes all the same when a path is made of it
        strays = not str(case.path_parameters["id"]).isascii()
        return strays or ("user" in case.query) == ("everyone" in case.query)
    if not isinstance(case.body, dict):
        return False
    ttl = case.body.get("ttl")
    too_long = case.path == "/v1/push" and isinstance(ttl, int | float) and ttl > InboxConfig().max_ttl
    return too_long or unsafe_number(json.dumps(case.body.get("data")).encode()) is not None


def check(operation: Any, mode: GenerationMode) -> None:
    cases = operation.as_strategy(generation_mode=mode).filter(lambda case: not is_beyond_json_schema(case))

    @given(case=cases)
    @settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
    def run(case: Any) -> None:
        headers = {"Authorization": AUTH["authorization"]}
        response = case.call_and_validate(headers=headers)
        assert response.status_code != 500

    run()
