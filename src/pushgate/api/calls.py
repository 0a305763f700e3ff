"""Calls that are followed: each is a line at log level debug, and pushes are traced where that is wanted.

A line says which route, by which tenant, and how it ended. Never a uid, nor any data.
"""

import time
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from pushgate.api.request_id import new_request_id, request_id_of
from pushgate.log import get_logger
from pushgate.messages.push import Push, Trail
from pushgate.tracing import Span, Tracer

_log = get_logger("api")


class Call:
    """One call that is followed. `span` is None where it is not traced, and `logged` says whether it becomes a line."""

    __slots__ = ("_began", "_logged", "_sending", "_span", "request_id")

    def __init__(self, request_id: str, logged: bool, span: Span | None) -> None:
        self.request_id = request_id
        self._began = time.monotonic()
        self._logged = logged
        self._span = span
        self._sending: Span | None = None

    def follow(self, pushes: Sequence[Push]) -> list[Push]:
        """Return pushes of one kind that are about to be sent, with the trail that they leave."""
        traceparent = ""
        if self._span is not None:
            self._end_sending(failed=False)
            first = pushes[0]
            attributes: dict[str, str | int] = {"messaging.system": "pushgate", "pushgate.tenant": first.tenant}
            if len(pushes) == 1:
                attributes["messaging.message.id"] = first.id
            else:
                attributes["messaging.batch.message_count"] = len(pushes)
            name = "append" if first.qos == "reliable" else "publish"
            self._sending = self._span.begin_sending(name, attributes)
            traceparent = self._sending.traceparent
        trail = Trail(self.request_id, traceparent)
        return [replace(push, trail=trail) for push in pushes]

    def end(self, method: str, route: str, status: int, tenant: str) -> None:
        """It was answered; `route` is "" for a path that is none, `tenant` for a call that has none."""
        if self._logged:
            seconds = round(time.monotonic() - self._began, 6)
            _log.debug(
                "request",
                method=method,
                route=route,
                status=status,
                request_id=self.request_id,
                tenant=tenant,
                seconds=seconds,
                **({"trace_id": self._span.trace_id} if self._span is not None else {}),
            )
        if self._span is not None:
            failed = status >= 500
            self._end_sending(failed)
            self._span.end(
                failed,
                {
                    "http.request.method": method,
                    "http.route": route,
                    "http.response.status_code": status,
                    "pushgate.request.id": self.request_id,
                    "pushgate.tenant": tenant,
                },
            )

    def _end_sending(self, failed: bool) -> None:
        if self._sending is not None:
            self._sending.end(failed, {})
            self._sending = None


class Calls:
    """The calls of one worker: all are `logged` or none, and those that push are traced where there is a tracer."""

    def __init__(self, logged: bool, tracer: Tracer | None) -> None:
        self._logged = logged
        self._tracer = tracer

    def begin(self, headers: Mapping[bytes, bytes], pushes: str = "") -> Call | None:
        """Begin to follow a call, which gets an id if it has none; None where nothing is to be told of it.

        `pushes` names the route of one that pushes.
        """
        span = None
        if self._tracer is not None and pushes:
            traceparent = headers.get(b"traceparent", b"").decode("latin-1")
            tracestate = headers.get(b"tracestate", b"").decode("latin-1") if traceparent else ""
            span = self._tracer.begin_call(f"POST {pushes}", traceparent, tracestate)
        if span is None and not self._logged:
            return None
        return Call(request_id_of(headers) or new_request_id(), self._logged, span)
