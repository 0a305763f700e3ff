"""The id of a request, and what is logged about it."""

import re
from collections.abc import Callable

import httpx
import pytest
from structlog.testing import capture_logs

from pushgate.errors import BusUnavailable
from tests.api.rig import GET, Rig, push_of, request

MakeRig = Callable[..., Rig]
CALLS = [
    ("POST", "/v1/push", {"user": "a"}),
    ("POST", "/v1/push", {"user": 1}),
    ("POST", "/v1/push?by=litestar", {"user": "a"}),
    ("POST", "/v1/push?by=litestar", {"user": 1}),
    ("POST", "/v1/push/batch", {"pushes": [{"user": "a"}]}),
    ("POST", "/v1/push/batch", {"pushes": []}),
    ("POST", "/v1/tokens", {"user": "a"}),
    ("POST", "/v1/tokens", {"user": "broken"}),
    ("GET", "/v1/users/alice", None),
    ("DELETE", "/v1/users/alice/sessions", None),
    ("DELETE", "/v1/users/alice/sessions/x", None),
    ("GET", "/v1/stats", None),
    ("GET", "/healthz", None),
    ("GET", "/readyz", None),
    ("GET", "/metrics", None),
    ("GET", "/docs", None),
    ("GET", "/openapi.json", None),
    ("GET", "/nope", None),
    ("PUT", "/healthz", None),
]


def call(rig: Rig, method: str, path: str, body: object, **headers: str) -> httpx.Response:
    return rig.http.request(method, path, json=body, headers=headers)


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
def test_the_callers_own_id_comes_back(rig: Rig, method: str, path: str, body: object) -> None:
    for sent in ("a", "x" * 128, "~!#$%&()*+,-./:;<=>?@[\\]^_`{|}", "two words"):
        with capture_logs():
            response = call(rig, method, path, body, **{"X-Request-Id": sent})
        assert response.headers.get_list("x-request-id") == [sent]
        if response.status_code >= 400:
            assert response.json()["request_id"] == sent


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
@pytest.mark.parametrize("sent", [None, "", "x" * 129, 'a"b', "a'b", "é", "a\tb"])
def test_without_a_lawful_one_it_is_ours(rig: Rig, method: str, path: str, body: object, sent: str | None) -> None:
    headers = [] if sent is None else [(b"X-Request-Id", sent.encode())]
    with capture_logs():
        responses = [rig.http.request(method, path, json=body, headers=headers) for _ in range(2)]
    ids = [response.headers.get("x-request-id") for response in responses]
    if path == "/v1/push" and responses[0].status_code == 202:
        assert ids == [None, None], "its id names it"
        return
    assert all(re.fullmatch("[0-9a-f]{16}", each) for each in ids)
    assert ids[0] != ids[1]
    if responses[0].status_code >= 400:
        assert [response.json()["request_id"] for response in responses] == ids


def test_a_pipeline_keeps_them_apart(rig: Rig) -> None:
    rig.bus.stalling = True
    caller = rig.connect()
    caller.send(
        request(head=b"x-request-id: 1\r\n")
        + push_of("2")
        + GET[:-2]
        + b"x-request-id: 3\r\n\r\n"
        + request(b"{}", head=b"X-Request-ID: 4\r\n")
        + b"NONSENSE\r\nx-request-id: 5\r\n\r\n"
    )
    rig.release()
    seen = [caller.read()[:2] for _ in range(5)]
    caller.close()
    assert [status for status, _ in seen] == [202, 202, 200, 400, 400]
    assert [headers.get("x-request-id") for _, headers in seen[:4]] == ["1", None, "3", "4"]
    assert len(seen[4][1]["x-request-id"]) == 16


@pytest.mark.parametrize("head", [b"content-length: 3\r\n", b"transfer-encoding: chunked\r\n"])
def test_what_cannot_be_parsed_has_one_too(rig: Rig, head: bytes) -> None:
    caller = rig.connect()
    status, headers, body = caller.send(request(head=b"x-request-id: mine\r\n" + head)).read()
    caller.close()
    assert status == 400
    assert headers["x-request-id"].encode() in body


@pytest.mark.parametrize("path", ["/v1/push", "/v1/push?by=litestar", "/v1/push/batch", "/v1/tokens"])
def test_a_fault_of_ours_is_logged_with_it(rig: Rig, path: str) -> None:
    rig.bus.error = ZeroDivisionError()
    body = {"user": "broken"} if "batch" not in path else {"pushes": [{"user": "a"}]}
    with capture_logs() as logs:
        given = call(rig, "POST", path, body, **{"x-request-id": "mine"})
        made = call(rig, "POST", path, body)
    assert (given.status_code, made.status_code) == (500, 500)
    assert [line["request_id"] for line in logs] == ["mine", made.headers["x-request-id"]]


def test_nothing_is_logged_about_a_request_usually(rig: Rig) -> None:
    with capture_logs() as logs:
        for method, path, body in CALLS:
            if body != {"user": "broken"}:
                call(rig, method, path, body)
    assert logs == []


def test_at_debug_each_request_is_a_line_without_uid_or_data(make_rig: MakeRig) -> None:
    rig = make_rig(level="debug")
    rig.push(user="secret-uid")
    rig.bus.error = BusUnavailable("away")
    calls = [
        ("POST", "/v1/push", {"user": "secret-uid", "data": "secret-data"}, 503, "/v1/push"),
        ("POST", "/v1/push?secret-query", {"user": "secret-uid"}, 503, "/v1/push"),
        ("POST", "/v1/push/batch", {"pushes": [{"user": 1}]}, 200, "/v1/push/batch"),
        ("GET", "/v1/users/secret-uid", None, 200, "/v1/users/{user}"),
        ("GET", "/healthz", None, 200, "/healthz"),
        ("GET", "/secret-path", None, 404, ""),
    ]
    for method, path, body, status, route in calls:
        with capture_logs() as logs:
            response = call(rig, method, path, body)
        assert response.status_code == status
        [line] = logs
        assert line.pop("seconds") >= 0
        assert line == {
            "event": "request",
            "log_level": "debug",
            "part": "api",
            "method": method,
            "route": route,
            "status": status,
            "request_id": response.headers["x-request-id"],
            "tenant": "acme" if route.startswith("/v1") else "",
        }


def test_at_debug_a_push_that_was_taken_has_an_id_to_be_found_by(make_rig: MakeRig) -> None:
    rig = make_rig(level="debug")
    with capture_logs() as logs:
        response = rig.push(user="alice")
    assert response.status_code == 202
    assert [line["request_id"] for line in logs] == [response.headers["x-request-id"]]
