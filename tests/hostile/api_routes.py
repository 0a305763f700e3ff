"""The routes of the API beside single pushes: batches, users and their sessions, numbers; and headers for any."""

import json

from msgspec import msgpack

from tests.hostile.api_bodies import PUSH, STAYS_202, STAYS_400, request, to_nobody
from tests.hostile.api_http import AUTHORIZED, JSON, named
from tests.hostile.case import Case, Outcome, answers
from tests.hostile.http import cases, lines


def batches(outcome: Outcome, **bodies: bytes) -> list[Case]:
    """A batch of each body."""
    sent = {name: request(body, AUTHORIZED, JSON, path="/v1/push/batch") for name, body in bodies.items()}
    return cases(outcome, **{f"batch {name}": each for name, each in sent.items()})


def many(*pushes: object) -> bytes:
    return json.dumps({"pushes": pushes}).encode()


def asking(outcome: Outcome, **starts: str) -> list[Case]:
    """A request with a key and without a body for each start of a request line."""
    return cases(outcome, **{name: lines(f"{start} HTTP/1.1", "Host: h", AUTHORIZED) for name, start in starts.items()})


BATCHES = (
    batches(
        STAYS_400,
        empty=b"",
        of_nothing=many(),
        of_1001=many(*[{"user": "a"}] * 1001),
        of_no_list=b'{"pushes":{"user":"a"}}',
        that_is_a_list=b'[{"user":"a"}]',
        deep=b'{"pushes":' + b"[" * 100_000,
        unknown_field=b'{"pushes":[{"user":"a"}],"everyone":true}',
        packed_as_json=msgpack.encode({"pushes": [{"user": "a"}]}),
    )
    + batches(
        answers(200, stays=True),
        of_what_is_no_push=many(1, None, [], "x", {}, {"user": 1}, {"user": "a", "qos": "x - at `$[3]`"}),
        of_deep_ones=b'{"pushes":[%b]}' % b",".join([to_nobody(b"[" * 600 + b"]" * 600)] * 500),
        of_unknown_fields=many(*[{f"f{n}": n for n in range(40)}] * 1000),
        for_many_each=many(*[{"users": [f"{n}" for n in range(150)]}] * 200),
        of_numbers_too_long=b'{"pushes":[%b]}' % b",".join([to_nobody(b"9" * 900)] * 1000),
    )
    + batches(answers(413, stays=True), of_two_megabytes=b" " * 2_000_000 + many({"user": "a"}))
)
USERS = (
    asking(
        STAYS_400,
        uid_with_nul="GET /v1/users/a%00b",
        uid_with_line_end="GET /v1/users/a%0d%0ab",
        uid_not_utf8="GET /v1/users/%ff",
        uid_surrogate="GET /v1/users/%ed%a0%80",
        uid_bad_escape="GET /v1/users/%zz",
        uid_of_256="GET /v1/users/" + "u" * 256,
        uid_of_20_000="GET /v1/users/" + "u" * 20_000,
        kick_with_nul="DELETE /v1/users/%00/sessions",
        session_of_letters="DELETE /v1/users/a/sessions/zzzzzzzzzzzzzzzz",
        session_of_15="DELETE /v1/users/a/sessions/" + "0" * 15,
    )
    + asking(
        answers(404, stays=True),
        no_uid="GET /v1/users/",
        two_slashes_behind_users="GET /v1/users//",
        slash_in_a_uid="GET /v1/users/a/b",
        uid_is_a_parent="GET /v1/users/..%2f..%2fmetrics/x",
        session_unknown="DELETE /v1/users/a/sessions/" + "0" * 16,
    )
    + asking(
        answers(200, stays=True),
        uid_of_255_letters="GET /v1/users/" + "%F0%9F%8E%89" * 255,
        uid_that_is_a_subject="GET /v1/users/%3E.%2A.pushgate.%2A",
        uid_of_dots="GET /v1/users/%2e%2e",
        uid_of_html="GET /v1/users/%3Cscript%3E",
        kick_of_nobody="DELETE /v1/users/nobody/sessions",
        numbers_of_another_tenant="GET /v1/stats?tenant=evil",
        nodes="GET /v1/nodes",
    )
    + cases(
        answers(401, stays=True),
        user_without_key=lines("GET /v1/users/a HTTP/1.1", "Host: h"),
        kick_without_key=lines("DELETE /v1/users/a/sessions HTTP/1.1", "Host: h"),
        numbers_without_key=lines("GET /v1/stats HTTP/1.1", "Host: h"),
        batch_without_key=request(many({"user": "a"}), JSON, path="/v1/push/batch"),
    )
)
HEADERS = cases(
    STAYS_202,
    request_id_of_10_000=request(PUSH, AUTHORIZED, JSON, f"X-Request-Id: {'i' * 10_000}"),
    request_id_with_quotes=request(PUSH, AUTHORIZED, JSON, 'X-Request-Id: a", "b'),
    request_id_of_high_bytes=request(PUSH, AUTHORIZED, JSON, "X-Request-Id: \xff\xfe"),
    request_ids=request(PUSH, AUTHORIZED, JSON, "X-Request-Id: a", "X-Request-Id: b"),
    forwarded=request(PUSH, AUTHORIZED, JSON, "X-Forwarded-For: 1.2.3.4, evil", "Forwarded: for=_x;proto=https"),
    override=request(PUSH, AUTHORIZED, JSON, "X-HTTP-Method-Override: DELETE"),
)
CASES = named([*BATCHES, *USERS, *HEADERS])
