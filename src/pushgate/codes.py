"""Every code that a client or a caller can meet, in two tables, each with what to do about it."""

from enum import IntEnum
from typing import NamedTuple


class Close(IntEnum):
    """WebSocket close codes: those of RFC 6455 section 7.4.1 that are met here, and ours.

    4000 to 4499 mean "connect again", 4500 to 4999 "do not, until something was changed".
    """

    NORMAL = 1000
    GOING_AWAY_RFC = 1001
    PROTOCOL_ERROR = 1002
    NO_STATUS = 1005
    INVALID_DATA = 1007
    TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    GOING_AWAY = 4000
    SLOW_CLIENT = 4001
    HEARTBEAT_TIMEOUT = 4002
    ACK_OVERDUE = 4003
    OVERLOADED = 4004
    TOKEN_INVALID = 4500
    TOKEN_EXPIRED = 4501
    REPLACED = 4502
    KICKED = 4503
    HANDSHAKE_TIMEOUT = 4504
    BAD_MESSAGE = 4505
    TOO_FAST = 4506

    @property
    def reconnect(self) -> bool:
        """Whether a client should connect again without changing anything."""
        return self.value < 4500 and self not in (Close.NORMAL, Close.PROTOCOL_ERROR, Close.INVALID_DATA)


class CloseAdvice(NamedTuple):
    """One row of the table of close codes."""

    name: str
    when: str
    client: str


CLOSE_ADVICE: dict[Close, CloseAdvice] = {
    Close.NORMAL: CloseAdvice("normal", "the other side closed", "nothing"),
    Close.GOING_AWAY_RFC: CloseAdvice("going_away", "a page was left", "connect again when needed"),
    Close.PROTOCOL_ERROR: CloseAdvice("protocol_error", "frames against RFC 6455", "mend the client"),
    Close.NO_STATUS: CloseAdvice("no_status", "the client closed without a code", "nothing"),
    Close.INVALID_DATA: CloseAdvice("invalid_data", "text that is not UTF-8, or no DEFLATE stream", "mend the client"),
    Close.TOO_BIG: CloseAdvice("too_big", "a message over `welcome.limits.message`", "send less, connect again"),
    Close.INTERNAL_ERROR: CloseAdvice("internal_error", "a fault in the gateway", "connect again"),
    Close.GOING_AWAY: CloseAdvice("going_away", "the node stops or is emptied", "connect again"),
    Close.SLOW_CLIENT: CloseAdvice(
        "slow_client", "live messages were dropped: the client does not read", "connect again"
    ),
    Close.HEARTBEAT_TIMEOUT: CloseAdvice("heartbeat_timeout", "no pong and no message in time", "connect again"),
    Close.ACK_OVERDUE: CloseAdvice("ack_overdue", "resent often enough, never acknowledged", "connect again"),
    Close.OVERLOADED: CloseAdvice("overloaded", "the node takes no more now", "connect again later"),
    Close.TOKEN_INVALID: CloseAdvice(
        "token_invalid", "token missing, malformed, of a wrong key or tenant", "get a right token"
    ),
    Close.TOKEN_EXPIRED: CloseAdvice(
        "token_expired", "the token's time is over", "get a new token, then connect again"
    ),
    Close.REPLACED: CloseAdvice(
        "replaced", "over the cap of a user, or a newer connection of the device", "do nothing"
    ),
    Close.KICKED: CloseAdvice("kicked", "closed through the API", "do nothing"),
    Close.HANDSHAKE_TIMEOUT: CloseAdvice("handshake_timeout", "no `connect` message in time", "mend the client"),
    Close.BAD_MESSAGE: CloseAdvice("bad_message", "not a message of the subprotocol", "mend the client"),
    Close.TOO_FAST: CloseAdvice("too_fast", "over the inbound rate limit", "send less"),
}


class ProblemKind(NamedTuple):
    """One row of the table of API errors (RFC 9457): its HTTP status, title and what the caller should do."""

    status: int
    title: str
    caller: str


PROBLEMS: dict[str, ProblemKind] = {
    "bad_request": ProblemKind(400, "The request is not right", "mend the fields that `errors` names"),
    "unauthorized": ProblemKind(401, "No or unknown API key", "send `Authorization: Bearer <api key>`"),
    "forbidden": ProblemKind(403, "Not allowed", "use a key that may do this"),
    "not_found": ProblemKind(404, "Nothing here", "mend the path"),
    "method_not_allowed": ProblemKind(405, "Method not allowed", "use a method that `Allow` names"),
    "too_large": ProblemKind(413, "Over the size limit", "send less"),
    "unsupported_media_type": ProblemKind(415, "Unsupported content type", "send JSON, or a push as MessagePack"),
    "rate_limited": ProblemKind(429, "Over the tenant's rate", "try again after `Retry-After`, or push less"),
    "internal_error": ProblemKind(500, "A fault in the gateway", "try again; report it"),
    "no_inbox": ProblemKind(409, "This node has no inbox", "push `live`, or have the operator set `inbox.url`"),
    "inbox_full": ProblemKind(429, "The tenant's inbox is full", "try again later, with a shorter `ttl` or less data"),
    "user_full": ProblemKind(429, "The user's log is full", "try again later, or use `collapse`"),
    "inbox_unavailable": ProblemKind(503, "The inbox is away", "try again with the same `id` after `Retry-After`"),
    "bus_unavailable": ProblemKind(503, "The bus is away", "try again after `Retry-After`"),
    "unavailable": ProblemKind(503, "Not ready", "try again after `Retry-After`"),
}
