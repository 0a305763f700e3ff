"""A tracer that keeps its spans (Tracer), for rooms that only begin and end them."""

from dataclasses import dataclass, field

from pushgate.tracing.base import Attributes


@dataclass
class FakeSpan:
    """A span, and those below it."""

    name: str
    parent: str
    number: int
    attributes: dict[str, str | int] = field(default_factory=dict)
    below: list["FakeSpan"] = field(default_factory=list)
    failed: bool | None = None
    """None until it has ended."""

    @property
    def traceparent(self) -> str:
        return f"00-{1:032x}-{self.number:016x}-01"

    @property
    def trace_id(self) -> str:
        return f"{1:032x}"

    def begin_sending(self, name: str, attributes: Attributes) -> "FakeSpan":
        span = FakeSpan(name, self.traceparent, 100 * self.number + len(self.below), dict(attributes))
        self.below.append(span)
        return span

    def end(self, failed: bool, attributes: Attributes) -> None:
        assert self.failed is None, "a span ends once"
        self.failed = failed
        self.attributes |= attributes


class FakeTracer:
    """Traces every call while `samples`."""

    def __init__(self) -> None:
        self.samples = True
        self.calls: list[FakeSpan] = []
        self.deliveries: list[tuple[str, float, dict[str, str | int]]] = []

    def begin_call(self, name: str, traceparent: str, tracestate: str) -> FakeSpan | None:
        if not self.samples:
            return None
        self.calls.append(FakeSpan(name, f"{traceparent}{tracestate}", len(self.calls) + 1))
        return self.calls[-1]

    def note_delivery(self, traceparent: str, began: float, attributes: Attributes) -> None:
        self.deliveries.append((traceparent, began, dict(attributes)))

    async def stop(self, patience: float) -> None: ...
