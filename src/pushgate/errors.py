"""Every exception of pushgate, in one tree.

PushgateError
├── ConfigError          the configuration is wrong: the operator mends it
├── StartError           the node cannot start (or go on) on this machine
├── WireError            a client's frames break RFC 6455: the connection is closed with `close`
├── UpgradeRefused       a client's HTTP request is answered with `status` instead of an upgrade
├── MessageError         a client's message is wrong: answered with `error`, or fatal with a close code
├── TokenRefused         a client's token does not hold: the connection is closed with `close`
├── Problem              an API call is answered with an RFC 9457 problem
├── BusUnavailable       the bus cannot confirm a publish: nobody may have been told
├── InboxUnavailable     the inbox cannot be asked, or cannot say that it has stored something
└── RegistryUnavailable  the registry cannot say which nodes hold a user, or note it
"""

from pushgate.codes import PROBLEMS, Close


class PushgateError(Exception):
    """The root of the tree."""


class ConfigError(PushgateError):
    """The configuration is wrong; the text names the key, what was expected, what came and where it stands."""


class StartError(PushgateError):
    """The node cannot start or go on; the text says what is missing and what to do."""


class WireError(PushgateError):
    """A client's frames break RFC 6455, or a limit; `close` is the code to close the connection with."""

    def __init__(self, close: Close, reason: str) -> None:
        super().__init__(reason)
        self.close = close
        self.reason = reason


class UpgradeRefused(PushgateError):
    """A client's HTTP request gets a plain HTTP answer with this status, a one-line text and extra headers.

    `cause` is the reason that it is counted by; empty where the status says enough.
    """

    def __init__(self, status: int, reason: str, headers: tuple[tuple[str, str], ...] = (), *, cause: str = "") -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.headers = headers
        self.cause = cause


class MessageError(PushgateError):
    """A client's message is wrong.

    With `close` set the connection ends with that code; without it the client is told by an `error` message
    with `code`, the text and the `field` that is wrong, and the connection lives.
    """

    def __init__(self, code: str, reason: str, field: str | None = None, close: Close | None = None) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.field = field
        self.close = close


class TokenRefused(PushgateError):
    """A client is not let in; `close` says why: TOKEN_INVALID and TOKEN_EXPIRED from the tenants, and in the lobby
    also what is wrong with the message that brought the token. The text never holds the token."""

    def __init__(self, close: Close, reason: str) -> None:
        super().__init__(reason)
        self.close = close
        self.reason = reason


class Problem(PushgateError):
    """An API call fails with a row of `codes.PROBLEMS`; `errors` are (field, message) pairs for a bad body."""

    def __init__(self, code: str, detail: str, errors: tuple[tuple[str, str], ...] = (), retry_after: int = 0) -> None:
        super().__init__(detail)
        self.code = code
        self.status = PROBLEMS[code].status
        self.detail = detail
        self.errors = errors
        self.retry_after = retry_after


class BusUnavailable(PushgateError):
    """The bus is away, or went away before it confirmed: the message may or may not have reached anybody."""


class InboxUnavailable(PushgateError):
    """The inbox is away, or did not answer: what was to be read is not known, what was to be stored may be or not."""


class RegistryUnavailable(PushgateError):
    """The registry is away, or did not answer: which nodes hold a user is not known."""
