"""What is traced, and what the other rooms know of who records it.

A trace of a push has a span of the call; below that one of sending it, onto the bus or into the inbox, which travels
with the push as its `traceparent`; and below that one of delivering it, for each worker that does. None is ever made
for a connection.
"""

from collections.abc import Mapping
from typing import Protocol

Attributes = Mapping[str, str | int]


class Span(Protocol):
    """Something that takes its time, and is recorded."""

    @property
    def traceparent(self) -> str:
        """What names it, for spans elsewhere that are below it."""

    @property
    def trace_id(self) -> str:
        """The trace that it is of."""

    def begin_sending(self, name: str, attributes: Attributes) -> "Span":
        """Begin a span below it: something is sent that others will receive."""

    def end(self, failed: bool, attributes: Attributes) -> None:
        """It is done, or failed by a fault that is not the caller's."""


class Tracer(Protocol):
    """Records the spans of one worker. Nothing of it waits for anybody."""

    def begin_call(self, name: str, traceparent: str, tracestate: str) -> Span | None:
        """Begin the span of a call, below the caller's if that has one; None when this call is not to be traced."""

    def note_delivery(self, traceparent: str, began: float, attributes: Attributes) -> None:
        """Record a span that ends now and began at this time (seconds since 1970), below the one that sent."""

    async def stop(self, patience: float) -> None:
        """Send what was recorded and not sent yet, within so many seconds, and record nothing more."""
