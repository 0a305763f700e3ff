"""What can go wrong for those who use a gateway.

PushgateError
├── ApiProblem      the API answered with an error
├── Unreachable     there was no answer: whatever was asked may or may not have happened
└── ListenStopped   the gateway closed for a reason that connecting again would not mend
"""

from pushgate.errors import PushgateError


class ApiProblem(PushgateError):
    """An RFC 9457 problem, as the API answered it.

    `code` is a row of `codes.PROBLEMS`, or empty where the answer was no problem of ours (of a proxy, say); `errors`
    are (field, message) pairs; `retry_after` is in seconds, 0 when the API did not say.
    """

    def __init__(
        self, status: int, code: str, detail: str, errors: tuple[tuple[str, str], ...] = (), retry_after: int = 0
    ) -> None:
        fields = "".join(f"; {field}: {message}" for field, message in errors)
        super().__init__(f"{status} {code}: {detail}{fields}" if code else f"{status}: {detail}{fields}")
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = errors
        self.retry_after = retry_after


class Unreachable(PushgateError):
    """No answer came. A push made with an `id` is safe to repeat."""


class ListenStopped(PushgateError):
    """The gateway ended a connection with a close `code` (or refused it with an HTTP status) that is final."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code}: {reason}" if reason else str(code))
        self.code = code
        self.reason = reason
