"""What the API asks of workers and nodes: users, sessions, numbers; by paths that are no users, and without a key.

A batch of its own: a worker that is kept busy for a second has not answered, and the API then says 503.
"""

from tests.hostile.api_bodies import STAYS_400, many, request
from tests.hostile.api_http import AUTHORIZED, JSON, named
from tests.hostile.case import Case, Outcome, answers
from tests.hostile.http import cases, lines


def asking(outcome: Outcome, **starts: str) -> list[Case]:
    """A request with a key and without a body for each start of a request line."""
    return cases(outcome, **{name: lines(f"{start} HTTP/1.1", "Host: h", AUTHORIZED) for name, start in starts.items()})


QUESTIONS = (
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
        receipt_without_query="GET /v1/messages/i",
        receipt_of_nobody="GET /v1/messages/i?offset=1",
        receipt_of_all_and_one="GET /v1/messages/i?user=a&everyone=true&offset=1",
        receipt_twice="GET /v1/messages/i?user=a&user=b&offset=1",
        receipt_at_a_long_offset="GET /v1/messages/i?user=a&offset=" + "9" * 10_000,
        receipt_not_utf8="GET /v1/messages/%ff?user=a&offset=1",
        receipt_of_many_names="GET /v1/messages/i?" + "&".join(f"n{n}=1" for n in range(5000)),
    )
    + asking(
        answers(404, stays=True),
        no_uid="GET /v1/users/",
        two_slashes_behind_users="GET /v1/users//",
        slash_in_a_uid="GET /v1/users/a/b",
        uid_is_a_parent="GET /v1/users/..%2f..%2fmetrics/x",
        session_unknown="DELETE /v1/users/a/sessions/" + "0" * 16,
        receipt_of_the_future="GET /v1/messages/i?user=a&offset=9007199254740991",
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
        events="GET /v1/events",
    )
    + cases(
        answers(401, stays=True),
        user_without_key=lines("GET /v1/users/a HTTP/1.1", "Host: h"),
        kick_without_key=lines("DELETE /v1/users/a/sessions HTTP/1.1", "Host: h"),
        receipt_without_key=lines("GET /v1/messages/i?user=a&offset=1 HTTP/1.1", "Host: h"),
        numbers_without_key=lines("GET /v1/stats HTTP/1.1", "Host: h"),
        events_without_key=lines("GET /v1/events HTTP/1.1", "Host: h"),
        batch_without_key=request(many({"user": "a"}), JSON, path="/v1/push/batch"),
    )
)
CASES = named(QUESTIONS)
