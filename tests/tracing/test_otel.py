"""Spans by OpenTelemetry, up to a collector."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from pushgate.config import TracingConfig
from pushgate.errors import ConfigError
from pushgate.metrics.catalogue import SPANS
from pushgate.metrics.rows import Rows
from pushgate.tracing import Tracer, check_tracing, create_tracer
from tests.fakes.collector import Collected, FakeCollector

MakeTracer = Callable[..., Tracer]
CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"


@pytest.fixture
def collector() -> Iterator[FakeCollector]:
    made = FakeCollector()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")


@pytest_asyncio.fixture
async def make_tracer(collector: FakeCollector) -> AsyncIterator[MakeTracer]:
    """Make a tracer that posts to the collector; it is stopped after the test."""
    made: list[Tracer] = []

    def make(endpoint: str = f"{collector.url}/v1/traces", sample: float | None = None, rows: Rows = ROWS) -> Tracer:
        tracer = create_tracer(TracingConfig(endpoint, sample), {"pushgate.node": "here"}, rows.row(0))
        assert tracer is not None
        made.append(tracer)
        return tracer

    yield make
    for tracer in made:
        await tracer.stop(5.0)


ROWS = Rows(1)


async def come(collector: FakeCollector, count: int) -> list[Collected]:
    """Return the spans once there are so many."""
    async with asyncio.timeout(10):
        while len(collector.spans) < count:
            await asyncio.sleep(0.01)
    return collector.spans


async def test_a_call_what_it_sends_and_its_delivery_are_one_trace(
    make_tracer: MakeTracer, collector: FakeCollector
) -> None:
    tracer = make_tracer()
    call = tracer.begin_call("POST /v1/push", f"{CALLER}-01", "some=state")
    assert call is not None
    assert call.trace_id == CALLER[3:35]
    sending = call.begin_sending("publish", {"messaging.message.id": "m1"})
    tracer.note_delivery(sending.traceparent, time.time() - 1, {"pushgate.connections": 3})
    sending.end(False, {})
    call.end(False, {"http.response.status_code": 202})
    spans = {span.name: span for span in await come(collector, 3)}
    first, second, third = spans["POST /v1/push"], spans["publish"], spans["deliver"]
    assert {span.trace for span in spans.values()} == {CALLER[3:35]}
    assert (first.parent, second.parent, third.parent) == (CALLER[36:], first.id, second.id)
    assert (first.kind, second.kind, third.kind) == ("server", "producer", "consumer")
    assert 0.9e9 < third.end - third.start < 5e9
    assert first.attributes == {"http.response.status_code": 202}
    assert second.attributes == {"messaging.message.id": "m1"}
    assert third.attributes == {"pushgate.connections": 3}
    assert not any(span.failed for span in spans.values())
    assert first.process["service.name"] == "pushgate"
    assert first.process["pushgate.node"] == "here"
    assert collector.headers[0]["content-type"] == "application/x-protobuf"
    assert collector.headers[0]["path"] == "/v1/traces"


@pytest.mark.parametrize("sent", ["", "nonsense", "00-" + "0" * 32 + "-b7ad6b7169203331-01"])
async def test_without_a_caller_of_its_own_a_trace_begins(make_tracer: MakeTracer, sent: str) -> None:
    calls = [make_tracer().begin_call("call", sent, "") for _ in range(2)]
    assert len({call.trace_id for call in calls if call is not None}) == 2


@pytest.mark.parametrize(("sample", "traced"), [(None, True), (1.0, True), (0.0, False)])
async def test_the_share_is_of_those_without_a_caller(
    make_tracer: MakeTracer, sample: float | None, traced: bool
) -> None:
    tracer = make_tracer(sample=sample)
    for sent in ("", "nonsense"):
        assert (tracer.begin_call("call", sent, "") is not None) == traced
    assert tracer.begin_call("call", f"{CALLER}-01", "") is not None
    assert tracer.begin_call("call", f"{CALLER}-00", "") is None


async def test_the_environment_is_heard(
    make_tracer: MakeTracer, collector: FakeCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20s3cret")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "push-eu")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    tracer = make_tracer(endpoint="")
    assert tracer.begin_call("call", "", "") is None
    call = tracer.begin_call("call", f"{CALLER}-01", "")
    assert call is not None
    call.end(True, {})
    [span] = await come(collector, 1)
    assert span.failed
    assert span.process["service.name"] == "push-eu"
    assert span.process["deployment.environment"] == "test"
    assert collector.headers[0]["path"] == "/v1/traces"
    assert collector.headers[0]["authorization"] == "Bearer s3cret"


async def test_a_collector_that_is_away_costs_a_line_and_is_counted(
    make_tracer: MakeTracer, collector: FakeCollector
) -> None:
    row = (rows := Rows(1)).row(0)
    tracer = make_tracer(endpoint=f"{collector.url}/v1/traces?key=s3cret", rows=rows)

    async def record(result: str, lines: int) -> None:
        """Record until a span has this result, at least so often that a line for each would show."""
        before = row[SPANS[result]]
        async with asyncio.timeout(10):
            while row[SPANS[result]] < before + 3:
                call = tracer.begin_call("call", "", "")
                assert call is not None
                call.end(False, {})
                await asyncio.sleep(0.03)
        assert len(logs) == lines, logs

    with capture_logs() as logs:
        collector.status = 403
        await record("failed", 1)
        collector.status = 200
        await record("exported", 2)
    assert [line["event"] for line in logs] == [
        "spans are lost: the collector takes none",
        "the collector takes spans again",
    ]
    assert logs[0]["reason"] == "it answers 403"
    await tracer.stop(5.0)
    assert row[SPANS["recorded"]] == row[SPANS["exported"]] + row[SPANS["failed"]]


async def test_nobody_waits_for_a_collector_that_is_not_there(
    make_tracer: MakeTracer, collector: FakeCollector
) -> None:
    tracer = make_tracer(endpoint=f"{collector.url}/v1/traces")
    collector.close()
    with capture_logs() as logs:
        call = tracer.begin_call("call", "", "")
        assert call is not None
        call.end(False, {})
        began = time.monotonic()
        await tracer.stop(1.0)
        assert time.monotonic() - began < 3
    assert all("127.0.0.1" not in str(line) for line in logs)


def test_nothing_is_traced_by_default() -> None:
    assert check_tracing(TracingConfig(), {}) == []
    assert create_tracer(TracingConfig(), {}, Rows(1).row(0)) is None


@pytest.mark.parametrize("variable", ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"])
def test_without_the_extra_it_is_told_which(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    monkeypatch.delitem(sys.modules, "pushgate.tracing.otel", raising=False)
    wanted = TracingConfig("http://user:s3cret@collector:4318/v1/traces")
    with pytest.raises(
        ConfigError, match=r"^tracing\.endpoint: needs the extra: pip install 'pushgate\[otel\]'"
    ) as told:
        check_tracing(wanted, {})
    assert "s3cret" not in str(told.value)
    [doubt] = check_tracing(TracingConfig(), {variable: "http://collector"})
    assert doubt.startswith(f"nothing is traced: {variable} needs the extra: pip install 'pushgate[otel]'")
    monkeypatch.setenv(variable, "http://collector")
    assert create_tracer(TracingConfig(), {}, Rows(1).row(0)) is None
    for off in ({"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}):
        assert check_tracing(TracingConfig(), {variable: "http://collector", **off}) == []


@pytest.mark.parametrize(
    "endpoint", ["collector:4318", "grpc://s3cret@collector", "http://", "/v1/traces", "http://[s3cret"]
)
def test_an_endpoint_that_is_none(endpoint: str) -> None:
    with pytest.raises(ConfigError, match=r"^tracing\.endpoint: expected a URL, as in http://") as told:
        check_tracing(TracingConfig(endpoint), {})
    assert "s3cret" not in str(told.value)


def test_a_shown_endpoint_has_no_secret() -> None:
    shown = repr(TracingConfig("https://user:s3cret@collector/v1/traces?key=s3cret"))
    assert "collector/v1/traces" in shown
    assert "s3cret" not in shown
