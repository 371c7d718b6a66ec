"""The OTLP/HTTP endpoints: ``/v1/traces``, ``/v1/metrics`` and ``/v1/logs``.

Protobuf and JSON, plain or compressed. Spans and metric points become rows with plain JSON attributes; logs are kept
as they came.

Source: https://opentelemetry.io/docs/specs/otlp/ (content types, status codes, hexadecimal ids in JSON).
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from genops_otel_posthog.receiver.content import (
    BodyTooLarge,
    BodyUndecodable,
    EncodingUnsupported,
    decompress,
    parse_json,
)
from genops_otel_posthog.receiver.exchange import Call, Reply, json_reply
from genops_otel_posthog.receiver.judgement import RequestRefused
from genops_otel_posthog.receiver.store import Transaction, clean_text, iso, to_json

MAX_BODY_BYTES = 64 * 1024 * 1024
"""Largest body, as sent and once decompressed; the default of the OpenTelemetry Collector is 20 MiB."""

PROTOBUF = "application/x-protobuf"
JSON = "application/json"

SPAN_COLUMNS = (
    "request", "trace_id", "span_id", "parent_span_id", "name", "kind", "start_ns", "end_ns", "status",
    "status_message", "service", "scope", "scope_version", "trace_state", "attributes", "resource", "events", "links",
)  # fmt: skip
POINT_COLUMNS = (
    "request", "name", "type", "unit", "description", "service", "scope", "attributes", "resource", "temporality",
    "monotonic", "start_ns", "time_ns", "value", "data",
)  # fmt: skip

M = TypeVar("M", bound=Message)


def traces(call: Call, transaction: Transaction) -> Reply:
    """``POST /v1/traces``."""
    return _export(
        call, ExportTraceServiceRequest, lambda sent: transaction.add("spans", SPAN_COLUMNS, _span_rows(call, sent))
    )


def metrics(call: Call, transaction: Transaction) -> Reply:
    """``POST /v1/metrics``."""
    return _export(
        call,
        ExportMetricsServiceRequest,
        lambda sent: transaction.add("metric_points", POINT_COLUMNS, _point_rows(call, sent)),
    )


def logs(call: Call, transaction: Transaction) -> Reply:
    """``POST /v1/logs``: kept as sent, decompressed."""
    try:
        content_type = _content_type(call)
        body = _plain_body(call)
    except RequestRefused as refused:
        return _refusal(refused)
    transaction.add(
        "otlp_logs", ("request", "at", "content_type", "body"), [(call.id, iso(call.at), content_type, body)]
    )
    return _success(content_type)


def _export(call: Call, message: type[M], keep: Callable[[M], None]) -> Reply:
    try:
        content_type = _content_type(call)
        sent = _parse(_plain_body(call), content_type, message)
    except RequestRefused as refused:
        return _refusal(refused)
    keep(sent)
    return _success(content_type)


def _content_type(call: Call) -> str:
    content_type = call.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in (PROTOBUF, JSON):
        raise RequestRefused(415, "unsupported_content_type", f"content type must be {PROTOBUF} or {JSON}")
    return content_type


def _plain_body(call: Call) -> bytes:
    encoding = call.headers.get("content-encoding", "").lower()
    try:
        return decompress(call.body, encoding, limit=MAX_BODY_BYTES)
    except BodyTooLarge as problem:
        raise RequestRefused(413, "payload_too_large", str(problem)) from problem
    except EncodingUnsupported as problem:
        raise RequestRefused(415, "unsupported_encoding", f"unsupported content encoding: {encoding}") from problem
    except BodyUndecodable as problem:
        raise RequestRefused(400, "undecodable", f"the body is not {encoding}: {problem}") from problem


def _parse(body: bytes, content_type: str, message: type[M]) -> M:
    sent: M = message()
    try:
        if content_type == PROTOBUF:
            sent.ParseFromString(body)
        else:
            json_format.ParseDict(_with_binary_ids(parse_json(body.decode())), sent, ignore_unknown_fields=True)
    except (DecodeError, json_format.ParseError, BodyUndecodable, ValueError) as problem:
        raise RequestRefused(400, "unparsable", f"the body is no OTLP request: {problem}") from problem
    return sent


_ID_FIELDS = frozenset({"traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id"})


def _with_binary_ids(value: Any) -> Any:
    """OTLP writes ids in hexadecimal where protobuf's JSON mapping, used to parse the rest, expects base64.

    Raises:
        ValueError: an id is not hexadecimal.
    """
    if isinstance(value, list):
        return [_with_binary_ids(item) for item in value]
    if isinstance(value, dict):
        return {
            name: base64.b64encode(bytes.fromhex(item)).decode()
            if name in _ID_FIELDS and isinstance(item, str)
            else _with_binary_ids(item)
            for name, item in value.items()
        }
    return value


def _success(content_type: str) -> Reply:
    """An empty response message: everything was taken."""
    return Reply(200, b"" if content_type == PROTOBUF else b"{}", content_type)


def _refusal(refused: RequestRefused) -> Reply:
    return json_reply(
        {"code": refused.code, "message": refused.message}, refused.status, note=f"{refused.code}: {refused.message}"
    )


def _span_rows(call: Call, sent: ExportTraceServiceRequest) -> Iterator[tuple[object, ...]]:
    for resource_spans in sent.resource_spans:
        resource = _attributes(resource_spans.resource.attributes)
        service, resource_json = str(resource.get("service.name", "")), to_json(resource)
        for scope_spans in resource_spans.scope_spans:
            scope = scope_spans.scope
            for span in scope_spans.spans:
                yield (
                    call.id, span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex() or None,
                    clean_text(span.name), _lower_name(Span.SpanKind.Name, span.kind, "SPAN_KIND_"),
                    _int64(span.start_time_unix_nano), _int64(span.end_time_unix_nano),
                    _lower_name(Status.StatusCode.Name, span.status.code, "STATUS_CODE_"),
                    span.status.message or None, service, scope.name, scope.version or None, span.trace_state or None,
                    to_json(_attributes(span.attributes)), resource_json,
                    to_json([_span_event(event) for event in span.events]),
                    to_json([_span_link(link) for link in span.links]),
                )  # fmt: skip


def _span_event(event: Span.Event) -> dict[str, Any]:
    return {"name": event.name, "time_ns": event.time_unix_nano, "attributes": _attributes(event.attributes)}


def _span_link(link: Span.Link) -> dict[str, Any]:
    return {
        "trace_id": link.trace_id.hex(),
        "span_id": link.span_id.hex(),
        "attributes": _attributes(link.attributes),
    }


def _point_rows(call: Call, sent: ExportMetricsServiceRequest) -> Iterator[tuple[object, ...]]:
    for resource_metrics in sent.resource_metrics:
        resource = _sorted(_attributes(resource_metrics.resource.attributes))
        service, resource_json = str(resource.get("service.name", "")), to_json(resource)
        for scope_metrics in resource_metrics.scope_metrics:
            for metric in scope_metrics.metrics:
                type_ = metric.WhichOneof("data")
                if type_ is None:
                    continue
                data = getattr(metric, type_)
                temporality = getattr(data, "aggregation_temporality", None)
                for point in data.data_points:
                    value, details = _point_value(type_, point)
                    yield (
                        call.id, metric.name, type_, metric.unit, metric.description, service,
                        scope_metrics.scope.name, to_json(_sorted(_attributes(point.attributes))), resource_json,
                        None if temporality is None else _lower_name(
                            AggregationTemporality.Name, temporality, "AGGREGATION_TEMPORALITY_"
                        ),
                        _monotonic(metric), _int64(point.start_time_unix_nano), _int64(point.time_unix_nano), value,
                        None if details is None else to_json(details),
                    )  # fmt: skip


def _monotonic(metric: Metric) -> bool | None:
    return metric.sum.is_monotonic if metric.HasField("sum") else None


def _point_value(type_: str, point: Any) -> tuple[float | None, dict[str, Any] | None]:
    if type_ in ("gauge", "sum"):
        which = point.WhichOneof("value")
        return (None if which is None else _finite(getattr(point, which))), None
    details: dict[str, Any] = {"count": point.count, "sum": point.sum}
    if type_ == "summary":
        details["quantiles"] = {str(one.quantile): one.value for one in point.quantile_values}
    else:
        details |= {name: getattr(point, name) for name in ("min", "max") if point.HasField(name)}
    if type_ == "histogram":
        details |= {"bounds": list(point.explicit_bounds), "buckets": list(point.bucket_counts)}
    if type_ == "exponential_histogram":
        details |= {
            "scale": point.scale,
            "zero_count": point.zero_count,
            "positive": {"offset": point.positive.offset, "buckets": list(point.positive.bucket_counts)},
            "negative": {"offset": point.negative.offset, "buckets": list(point.negative.bucket_counts)},
        }
    return _finite(point.sum), details


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    return {pair.key: _plain(pair.value) for pair in pairs}


def _sorted(attributes: dict[str, Any]) -> dict[str, Any]:
    """In one order, so that equal attributes are equal text and a series can be grouped by it."""
    return dict(sorted(attributes.items()))


def _plain(value: AnyValue) -> Any:
    which = value.WhichOneof("value")
    if which is None:
        return None
    if which == "array_value":
        return [_plain(item) for item in value.array_value.values]
    if which == "kvlist_value":
        return _attributes(value.kvlist_value.values)
    if which == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    return getattr(value, which)


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _int64(number: int) -> int:
    """A clock reading that SQLite can hold; nothing real is cut, which ends in the year 2262."""
    return min(number, 2**63 - 1)


def _lower_name(name_of: Callable[[Any], str], number: int, prefix: str) -> str:
    """``SPAN_KIND_CLIENT`` as ``client``; a number the protocol does not know as it is."""
    try:
        return name_of(number).removeprefix(prefix).lower()
    except ValueError:
        return str(number)
