"""OTLP over HTTP, raw and from the real exporters."""

from __future__ import annotations

import gzip
import json
import math
import zlib
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

from genops_otel_posthog.errors import GenOpsValidationError
from genops_otel_posthog.receiver import LocalReceiver

TRACE_ID, SPAN_ID, PARENT_ID = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174", "eee19b7ec3c1b173"
RESOURCE = Resource({"service.name": "shop", "deployment.environment.name": "test"})


def span(**changes: Any) -> dict[str, Any]:
    return {
        "traceId": TRACE_ID,
        "spanId": SPAN_ID,
        "name": "capture paid",
        "kind": 4,
        "startTimeUnixNano": "1700000000000000001",
        "endTimeUnixNano": "1700000000000000005",
        "attributes": [{"key": "genops.team", "value": {"stringValue": "shop"}}],
        **changes,
    }


def traces(*spans: dict[str, Any]) -> dict[str, Any]:
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": "lib"}, "spans": list(spans)}]}]}


def send_traces(http_to: Any, *spans: dict[str, Any]) -> Any:
    return http_to.post("/v1/traces", traces(*spans), {"Content-Type": "application/json"})


@pytest.fixture
def provider(receiver: LocalReceiver) -> Any:
    provider = TracerProvider(resource=RESOURCE, shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=f"{receiver.url}/v1/traces", compression=Compression.Gzip)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider
    provider.shutdown()


def test_spans_of_the_real_exporter_arrive_whole(receiver: LocalReceiver, provider: TracerProvider) -> None:
    tracer = provider.get_tracer("genops", "1.0")
    linked = trace.SpanContext(1, 2, is_remote=True)
    attributes = {"genops.cost.amount": 0.00005, "n": 7, "ok": True, "list": ["a", "b"]}
    with (
        tracer.start_as_current_span("GET /checkout", kind=SpanKind.SERVER) as parent,
        tracer.start_as_current_span(
            "capture paid", kind=SpanKind.PRODUCER, links=[Link(linked, {"why": "batch"})], attributes=attributes
        ) as child,
    ):
        child.add_event("enqueued", {"size": 3})
        child.set_status(Status(StatusCode.ERROR, "refused"))
    (received,) = receiver.spans("capture paid")
    assert received.trace_id == format(child.get_span_context().trace_id, "032x")
    assert received.parent_span_id == format(parent.get_span_context().span_id, "016x")
    assert (received.kind, received.status, received.status_message) == ("producer", "error", "refused")
    assert received.attributes == attributes
    assert received.resource["deployment.environment.name"] == "test"
    assert (received.service, received.scope, received.scope_version) == ("shop", "genops", "1.0")
    assert [(event["name"], event["attributes"]) for event in received.events] == [("enqueued", {"size": 3})]
    assert received.links == [{"trace_id": f"{1:032x}", "span_id": f"{2:016x}", "attributes": {"why": "batch"}}]
    assert received.end_ns >= received.start_ns > 1_700_000_000_000_000_000


def test_a_trace_is_a_tree_in_the_order_of_time(receiver: LocalReceiver, provider: TracerProvider) -> None:
    tracer = provider.get_tracer("genops")
    with tracer.start_as_current_span("root") as root:
        for name in ("first", "second"):
            with tracer.start_as_current_span(name), tracer.start_as_current_span(f"inside {name}"):
                pass
    tree = receiver.trace(format(root.get_span_context().trace_id, "032X"))
    (node,) = tree.roots
    assert (tree.spans, node.span.name) == (5, "root")
    assert [child.span.name for child in node.children] == ["first", "second"]
    assert [child.children[0].span.name for child in node.children] == ["inside first", "inside second"]
    (line,) = receiver.traces()
    assert (line["root"], line["spans"], line["errors"], line["services"]) == ("root", 5, 0, ["shop"])


def test_a_span_whose_parent_never_came_is_a_root_that_says_so(receiver: LocalReceiver, http_to: Any) -> None:
    send_traces(http_to, span(parentSpanId=PARENT_ID))
    (root,) = receiver.trace(TRACE_ID).roots
    assert root.parent_missing


def test_a_trace_nobody_sent_is_an_error(receiver: LocalReceiver) -> None:
    with pytest.raises(GenOpsValidationError, match="no span of trace"):
        receiver.trace("0" * 32)


def test_spans_can_be_sought_by_attribute(receiver: LocalReceiver, http_to: Any) -> None:
    send_traces(http_to, span(), span(spanId=PARENT_ID, attributes=[]))
    found = receiver.spans(**{"attribute.genops.team": "shop"})
    assert [one.span_id for one in found] == [SPAN_ID]
    assert receiver.spans(**{"resource.service.name": "other"}) == []


# --- how it may be sent -------------------------------------------------------------------------------------------


def test_json_has_hexadecimal_ids(receiver: LocalReceiver, http_to: Any) -> None:
    answer = send_traces(http_to, span(parentSpanId=PARENT_ID, links=[{"traceId": TRACE_ID, "spanId": PARENT_ID}]))
    assert (answer.status, answer.json, answer.headers["content-type"]) == (200, {}, "application/json")
    (received,) = receiver.spans()
    assert (received.trace_id, received.span_id, received.parent_span_id) == (TRACE_ID, SPAN_ID, PARENT_ID)
    assert received.links[0]["span_id"] == PARENT_ID
    assert (received.kind, received.start_ns) == ("producer", 1700000000000000001)


@pytest.mark.parametrize(
    ("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("identity", bytes)]
)
def test_protobuf_may_be_compressed(receiver: LocalReceiver, http_to: Any, encoding: str, compress: Any) -> None:
    message = ExportTraceServiceRequest()
    message.resource_spans.add().scope_spans.add().spans.add(name="s", trace_id=b"1" * 16, span_id=b"2" * 8)
    answer = http_to.post(
        "/v1/traces",
        compress(message.SerializeToString()),
        {"Content-Type": "application/x-protobuf", "Content-Encoding": encoding},
    )
    assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"", "application/x-protobuf")
    assert receiver.spans()[0].name == "s"


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{}", {"Content-Type": "text/plain"}, 415),
        (b"{}", {}, 415),
        (b"{}", {"Content-Type": "application/json", "Content-Encoding": "br"}, 415),
        (b"not gzip", {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}, 400),
        (b"\xff\xff", {"Content-Type": "application/x-protobuf"}, 400),
        (b"not json", {"Content-Type": "application/json"}, 400),
        (b'{"resourceSpans": 7}', {"Content-Type": "application/json"}, 400),
        (json.dumps(traces(span(traceId="xyz"))).encode(), {"Content-Type": "application/json"}, 400),
    ],
    ids=str,
)
def test_what_is_no_otlp_is_refused(
    receiver: LocalReceiver, http_to: Any, body: bytes, headers: dict[str, str], status: int
) -> None:
    assert http_to.post("/v1/traces", body, headers).status == status
    assert receiver.spans() == []


def test_logs_are_taken_as_they_are(receiver: LocalReceiver, http_to: Any) -> None:
    answer = http_to.post("/v1/logs", b'{"resourceLogs":[]}', {"Content-Type": "application/json"})
    assert (answer.status, answer.json) == (200, {})
    assert receiver.summary()["logs"] == 1


# --- metrics ------------------------------------------------------------------------------------------------------


@pytest.fixture
def meters(receiver: LocalReceiver) -> Any:
    exporter = OTLPMetricExporter(endpoint=f"{receiver.url}/v1/metrics")
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=math.inf)
    provider = MeterProvider([reader], resource=RESOURCE, shutdown_on_exit=False)
    yield provider
    provider.shutdown()


def test_metrics_of_the_real_exporter_are_series_with_their_last_value(
    receiver: LocalReceiver, meters: MeterProvider
) -> None:
    meter = meters.get_meter("genops")
    usage = meter.create_counter("genops.usage", unit="{unit}", description="Units.")
    usage.add(3, {"genops.cost.meter": "events"})
    usage.add(1, {"genops.cost.meter": "exceptions"})
    meters.force_flush()
    usage.add(2, {"genops.cost.meter": "events"})
    meters.force_flush()
    events, exceptions = receiver.metrics("genops.usage", history=True)
    assert (events.value, events.attributes, events.unit) == (5, {"genops.cost.meter": "events"}, "{unit}")
    assert (events.type, events.monotonic, events.temporality) == ("sum", True, "cumulative")
    assert [value for _, value in events.history] == [3, 5]
    assert exceptions.value == 1
    assert receiver.metrics(**{"attribute.genops.cost.meter": "exceptions"})[0].value == 1


def test_histograms_keep_their_buckets(receiver: LocalReceiver, meters: MeterProvider) -> None:
    meters.get_meter("genops").create_histogram("posthog.client.operation.duration", unit="s").record(0.25)
    meters.force_flush()
    (series,) = receiver.metrics("posthog.client.operation.duration")
    assert series.type == "histogram"
    assert series.value == 0.25
    assert series.data is not None
    assert (series.data["count"], series.data["min"], sum(series.data["buckets"])) == (1, 0.25, 1)


def test_gauges_summaries_and_exponential_histograms_are_read(receiver: LocalReceiver, http_to: Any) -> None:
    point = {"timeUnixNano": "5", "attributes": []}
    metrics = [
        {"name": "gauge", "gauge": {"dataPoints": [{**point, "asDouble": 1.5}]}},
        {"name": "infinite", "gauge": {"dataPoints": [{**point, "asDouble": "Infinity"}]}},
        {"name": "summary", "summary": {"dataPoints": [
            {**point, "count": 2, "sum": 3, "quantileValues": [{"quantile": 0.5, "value": 1}]}]}},
        {"name": "exponential", "exponentialHistogram": {"dataPoints": [
            {**point, "count": 2, "sum": 3, "scale": 1, "positive": {"offset": 1, "bucketCounts": [2]}}]}},
    ]  # fmt: skip
    body = {"resourceMetrics": [{"scopeMetrics": [{"metrics": metrics}]}]}
    assert http_to.post("/v1/metrics", body, {"Content-Type": "application/json"}).status == 200
    series = {one.name: one for one in receiver.metrics()}
    assert series["gauge"].value == 1.5
    assert series["infinite"].value is None
    assert series["summary"].data == {"count": 2, "sum": 3.0, "quantiles": {"0.5": 1.0}}
    assert series["exponential"].data is not None
    assert series["exponential"].data["positive"] == {"offset": 1, "buckets": [2]}
