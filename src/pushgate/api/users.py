"""What a caller can ask about a user, and do to one: answered by the workers that hold the user, on all nodes."""

import re

from litestar import delete, get

from pushgate.api.admission import AnyRequest, admit, admit_reader
from pushgate.api.asking import ask
from pushgate.api.openapi import Operation, Parameter
from pushgate.api.paths import bad_part, check_uid, part_of
from pushgate.api.reports import Kicked, SessionState, UserState
from pushgate.api.schemas import SessionId, Uid
from pushgate.errors import Problem
from pushgate.messages.questions import Closed, Find, Kick, Sessions

_is_session = re.compile(r"[0-9a-f]{16}").fullmatch

_USER = Parameter("user", Uid, "alice")
_ASKED = ("bad_request", "unauthorized", "not_found", "internal_error", "bus_unavailable", "unavailable")
_PROBLEMS = (*_ASKED, "forbidden")
_SESSION = "00f100f100f100f1"

USER = Operation(
    "Look a user up",
    "Whether the user is connected now, and every session, on all nodes; at most 1,000 of each node. A user that was "
    "never seen is offline. In the path a uid is percent-encoded UTF-8, its `/` too (`%2F`). When the worker that "
    "holds the user on this node does not answer, it is 503 and not `offline`.",
    200,
    UserState,
    parameters=(_USER,),
    answer_example={
        "user": "alice",
        "online": True,
        "sessions": [
            {
                "session": _SESSION,
                "device": "phone-1",
                "node": "gateway-1",
                "since": 1767225600,
                "address": "203.0.113.7",
                "agent": "Mozilla/5.0",
                "sent": 4711,
                "acknowledged": 4711,
            }
        ],
        "missing": [],
    },
    problems=_ASKED,
)
KICK_USER = Operation(
    "Close a user's sessions",
    "All of them, on all nodes, with close code 4503: clients do not connect again by themselves. It does not "
    "keep the user out: a token that holds lets a client in again. Safe to repeat.",
    200,
    Kicked,
    parameters=(_USER,),
    answer_example={"closed": 2, "missing": []},
    problems=_PROBLEMS,
)
KICK_SESSION = Operation(
    "Close one session",
    "With close code 4503. 404 when no node has it, 503 when it was not found and a node did not answer.",
    200,
    Kicked,
    parameters=(_USER, Parameter("session", SessionId, _SESSION)),
    answer_example={"closed": 1, "missing": []},
    problems=_PROBLEMS,
)


@get("/v1/users/{user:str}", opt={"operation": USER})
async def find_user(request: AnyRequest) -> UserState:
    """Return a user's sessions."""
    tenant, _ = admit_reader(request)
    uid = _uid_of(request)
    found = await ask(request, Find(tenant, uid), Sessions)
    sessions = [
        SessionState(
            each.session, each.device, node, each.since, each.address, each.agent, each.sent, each.acknowledged
        )
        for node, reply in found.replies
        for each in reply.sessions
    ]
    sessions.sort(key=lambda session: session.since)
    online = True if sessions else None if found.missing else False
    return UserState(uid, online, sessions, found.missing)


@delete("/v1/users/{user:str}/sessions", status_code=200, opt={"operation": KICK_USER})
async def kick_user(request: AnyRequest) -> Kicked:
    """Close all sessions of a user."""
    tenant = admit(request)
    return await _kick(request, Kick(tenant, _uid_of(request)))


@delete("/v1/users/{user:str}/sessions/{session:str}", status_code=200, opt={"operation": KICK_SESSION})
async def kick_session(request: AnyRequest) -> Kicked:
    """Close one session of a user."""
    tenant = admit(request)
    uid, session = _uid_of(request), request.path_params["session"]
    if not _is_session(session):
        raise bad_part("path", "session", "expected a session's id, 16 hexadecimal digits, got something else")
    kicked = await _kick(request, Kick(tenant, uid, session))
    if not kicked.closed:
        if kicked.missing:
            raise Problem("unavailable", f"not found, and there was no answer from {', '.join(kicked.missing)}")
        raise Problem("not_found", "the user has no session of this id")
    return kicked


async def _kick(request: AnyRequest, question: Kick) -> Kicked:
    kicked = await ask(request, question, Closed)
    return Kicked(sum(reply.closed for _, reply in kicked.replies), kicked.missing)


def _uid_of(request: AnyRequest) -> str:
    """Return the uid in the path. Raises Problem 400, 404."""
    return check_uid("path", part_of(request, "user"))


USER_ROUTES = (find_user, kick_user, kick_session)
