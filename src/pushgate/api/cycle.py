"""One push on a connection, from its head to its answer."""

from pushgate.api.calls import Call
from pushgate.api.problems import Answer
from pushgate.api.push import JSON_FORM, Form


class _Unheard:
    """Stands in for the event by which uvicorn wakes an ASGI application: a push has none."""

    def set(self) -> None:
        """Do nothing."""


class PushCycle:
    """A push being received or answered; to uvicorn's protocol it looks like its own RequestResponseCycle.

    `tenant` and `form` are whose it is and what it is written in. `request_id` is "" when its caller gave it none,
    and `call` None unless it is followed.
    `turn`: no answer before this one is owed. `complete`: nothing of it is waited for any more. `refusal`: the
    answer when its head or its size shows already that it is not taken.
    """

    __slots__ = (
        "body",
        "call",
        "complete",
        "disconnected",
        "expects",
        "form",
        "keep_alive",
        "refusal",
        "request_id",
        "response_complete",
        "size",
        "tenant",
        "turn",
    )
    message_event = _Unheard()

    def __init__(self, turn: bool) -> None:
        self.turn = turn
        self.tenant = ""
        self.request_id = ""
        self.call: Call | None = None
        self.form: Form = JSON_FORM
        self.body: bytes | bytearray = b""
        self.size = 0
        self.keep_alive = True
        self.expects = False
        self.complete = False
        self.response_complete = False
        self.disconnected = False
        self.refusal: Answer | None = None

    def add(self, part: bytes) -> None:
        """Take a part of the body; most bodies come in one."""
        if not self.body:
            self.body = part
        elif isinstance(self.body, bytearray):
            self.body += part
        else:
            self.body = bytearray(self.body) + part
