"""Spans by OpenTelemetry's SDK. Its thread begins with the tracer: a process makes its own, after it was forked.

What the environment says by OpenTelemetry's variables (headers, certificates, service name, queue, …) the SDK reads.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextvars import copy_context
from random import random
from typing import Any

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, format_span_id, format_trace_id
from opentelemetry.trace.propagation import set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from requests import Response, Session

import pushgate
from pushgate.log import get_logger
from pushgate.metrics.catalogue import SPANS
from pushgate.metrics.rows import Row
from pushgate.tracing.base import Attributes

_NOWHERE = Context()
_propagator = TraceContextTextMapPropagator()
_log = get_logger("tracing")


class OtelTracer:
    """See Tracer. Spans wait in a bounded queue, and what does not fit is left out."""

    def __init__(self, endpoint: str, sample: float | None, facts: Mapping[str, str], row: Row) -> None:
        """`endpoint` may be empty and `sample` None: then the environment says it."""
        given = OTELResourceDetector().detect().attributes
        resource = Resource.create(
            {"service.name": "pushgate", "service.version": pushgate.__version__, **facts, **given}
        )
        # a share is drawn here, since the SDK takes 10 us to say no
        self._share = 1.0 if sample is None else sample
        sampler = None if sample is None else ParentBased(ALWAYS_ON)
        self._row = row
        self._exporter = _Exporter(endpoint, row)
        self._provider = TracerProvider(sampler, resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer: Tracer = self._provider.get_tracer("pushgate", pushgate.__version__)
        # The exporter says itself what goes wrong, and names no URL; the library would say it with each batch.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)

    def begin_call(self, name: str, traceparent: str, tracestate: str) -> "OtelSpan | None":
        """See Tracer."""
        context = _NOWHERE
        if traceparent:
            context = _propagator.extract({"traceparent": traceparent, "tracestate": tracestate}, _NOWHERE)
        if not context and random() >= self._share:  # noqa: S311
            return None
        span = self._tracer.start_span(name, context, SpanKind.SERVER)
        return OtelSpan(self._tracer, span, self._row) if span.is_recording() else None

    def note_delivery(self, traceparent: str, began: float, attributes: Attributes) -> None:
        """See Tracer."""
        context = _propagator.extract({"traceparent": traceparent}, _NOWHERE)
        span = self._tracer.start_span("deliver", context, SpanKind.CONSUMER, attributes, start_time=int(began * 1e9))
        if span.is_recording():
            self._row[SPANS["recorded"]] += 1
            span.end()

    async def stop(self, patience: float) -> None:
        """See Tracer."""
        self._exporter.give_up()
        ended = asyncio.get_running_loop().run_in_executor(None, self._provider.shutdown)
        await asyncio.wait((ended,), timeout=patience)
        self._exporter.shutdown()  # which ends a try that still goes on


class OtelSpan:
    """See Span."""

    __slots__ = ("_row", "_span", "_tracer")

    def __init__(self, tracer: Tracer, span: Span, row: Row) -> None:
        self._tracer = tracer
        self._span = span
        self._row = row

    @property
    def traceparent(self) -> str:
        """See Span."""
        return f"00-{self.trace_id}-{format_span_id(self._span.get_span_context().span_id)}-01"

    @property
    def trace_id(self) -> str:
        """See Span."""
        return format_trace_id(self._span.get_span_context().trace_id)

    def begin_sending(self, name: str, attributes: Attributes) -> "OtelSpan":
        """See Span."""
        context = set_span_in_context(self._span, _NOWHERE)
        return OtelSpan(self._tracer, self._tracer.start_span(name, context, SpanKind.PRODUCER, attributes), self._row)

    def end(self, failed: bool, attributes: Attributes) -> None:
        """See Span."""
        self._span.set_attributes(attributes)
        if failed:
            self._span.set_status(StatusCode.ERROR)
        self._row[SPANS["recorded"]] += 1
        self._span.end()


class _Exporter(SpanExporter):
    """Posts spans, counts what became of them, and says once when the collector is away, and when it is back.

    It is used by one thread, but for `give_up`.
    """

    def __init__(self, endpoint: str, row: Row) -> None:
        session = Session()
        session.hooks["response"].append(self._note_answer)
        self._exporter = OTLPSpanExporter(endpoint or None, session=session)
        self._row = row
        self._facts = copy_context()  # what lines of this process say besides, which a new thread does not know
        self._away = False
        self._answer = ""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Post some spans; tries for as long as OTEL_EXPORTER_OTLP_TIMEOUT says."""
        self._answer = ""
        reason = ""
        try:
            result = self._exporter.export(spans)
        except Exception as error:
            result, reason = SpanExportResult.FAILURE, type(error).__name__
        done = result is SpanExportResult.SUCCESS
        self._row[SPANS["exported" if done else "failed"]] += len(spans)
        if self._away is done:
            self._away = not done
            self._facts.run(self._tell, reason or self._answer or "it does not answer")
        return result

    def give_up(self) -> None:
        """Try nothing twice any more where the last try was in vain."""
        if self._away:
            self.shutdown()

    def shutdown(self) -> None:
        """Let go of the collector; a try that is under way is the last."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def _note_answer(self, response: Response, *_args: Any, **_kwargs: Any) -> None:
        self._answer = f"it answers {response.status_code}"

    def _tell(self, reason: str) -> None:
        if self._away:
            _log.warning("spans are lost: the collector takes none", reason=reason)
        else:
            _log.info("the collector takes spans again")
