"""Spans from JSON: what ``genops-posthog rules explain`` is shown, and what tests have recorded.

Three forms are read: OTLP/JSON (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding) as a whole document
or one span of it, and what ``ReadableSpan.to_json()`` prints.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, cast

from genops_otel_posthog.errors import GenOpsValidationError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan


class _Kind(Enum):
    INTERNAL = 1
    SERVER = 2
    CLIENT = 3
    PRODUCER = 4
    CONSUMER = 5


class _Code(Enum):
    UNSET = 0
    OK = 1
    ERROR = 2


@dataclass(frozen=True)
class _Ids:
    trace_id: int
    span_id: int


@dataclass(frozen=True)
class _Status:
    status_code: _Code
    description: str | None


@dataclass(frozen=True)
class _Scope:
    name: str
    version: str | None


@dataclass(frozen=True)
class _Resource:
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class _SpanEvent:
    name: str
    timestamp: int
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class _Span:
    """A span with the parts of ``ReadableSpan`` that rules read."""

    name: str
    context: _Ids
    parent: _Ids | None
    kind: _Kind
    start_time: int
    end_time: int
    status: _Status
    attributes: Mapping[str, Any]
    instrumentation_scope: _Scope
    resource: _Resource
    events: Sequence[_SpanEvent] = field(default=())

    def get_span_context(self) -> _Ids:
        return self.context


def spans_from_json(document: object) -> list[ReadableSpan]:
    """The spans of a document, in its order.

    Args:
        document: Parsed JSON.

    Raises:
        GenOpsValidationError: It has none of the three forms; the message says what is missing.
    """
    try:
        return [cast("ReadableSpan", span) for span in _spans(document)]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        said = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
        raise GenOpsValidationError(
            f"this JSON is not a span: {said}; give OTLP/JSON (a document with resourceSpans, or one span of it) "
            "or what ReadableSpan.to_json() prints"
        ) from error


def _spans(document: Any) -> Iterator[_Span]:
    if isinstance(document, list):
        for item in document:
            yield from _spans(item)
    elif "resourceSpans" in document:
        for group in document["resourceSpans"]:
            resource = _Resource(_attributes(group.get("resource", {}).get("attributes")))
            for scoped in group.get("scopeSpans", ()):
                scope = scoped.get("scope", {})
                for span in scoped.get("spans", ()):
                    yield _from_otlp(span, _Scope(scope.get("name", ""), scope.get("version")), resource)
    elif "traceId" in document:
        scope = document.get("scope", {})
        yield _from_otlp(
            document,
            _Scope(scope.get("name", ""), scope.get("version")),
            _Resource(_attributes(document.get("resource", {}).get("attributes"))),
        )
    else:
        yield _from_sdk(document)


def _from_otlp(span: Mapping[str, Any], scope: _Scope, resource: _Resource) -> _Span:
    trace = int(span["traceId"], 16)
    parent = span.get("parentSpanId")
    status = span.get("status", {})
    return _Span(
        name=span["name"],
        context=_Ids(trace, int(span["spanId"], 16)),
        parent=_Ids(trace, int(parent, 16)) if parent else None,
        kind=_Kind(span.get("kind", 1) or 1),
        start_time=int(span["startTimeUnixNano"]),
        end_time=int(span["endTimeUnixNano"]),
        status=_Status(_Code(status.get("code", 0)), status.get("message") or None),
        attributes=_attributes(span.get("attributes")),
        instrumentation_scope=scope,
        resource=resource,
        events=tuple(
            _SpanEvent(event["name"], int(event["timeUnixNano"]), _attributes(event.get("attributes")))
            for event in span.get("events", ())
        ),
    )


def _from_sdk(span: Mapping[str, Any]) -> _Span:
    trace = int(span["context"]["trace_id"], 16)
    parent = span.get("parent_id")
    status = span.get("status") or {}
    scope = span.get("instrumentation_scope") or span.get("scope") or {}
    return _Span(
        name=span["name"],
        context=_Ids(trace, int(span["context"]["span_id"], 16)),
        parent=_Ids(trace, int(parent, 16)) if parent else None,
        kind=_Kind[str(span.get("kind", "INTERNAL")).rpartition(".")[2].upper()],
        start_time=_nanoseconds(span["start_time"]),
        end_time=_nanoseconds(span["end_time"]),
        status=_Status(_Code[str(status.get("status_code", "UNSET")).upper()], status.get("description")),
        attributes=dict(span.get("attributes") or {}),
        instrumentation_scope=_Scope(scope.get("name", ""), scope.get("version")),
        resource=_Resource((span.get("resource") or {}).get("attributes") or {}),
        events=tuple(
            _SpanEvent(event["name"], _nanoseconds(event["timestamp"]), event.get("attributes") or {})
            for event in span.get("events") or ()
        ),
    )


def _nanoseconds(text: str) -> int:
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return int(moment.timestamp()) * 1_000_000_000 + moment.microsecond * 1_000


def _attributes(listed: Sequence[Mapping[str, Any]] | None) -> dict[str, Any]:
    return {item["key"]: _value(item.get("value", {})) for item in listed or ()}


def _value(value: Mapping[str, Any]) -> Any:
    if "intValue" in value:
        return int(value["intValue"])
    if "doubleValue" in value:
        return float(value["doubleValue"])
    if "arrayValue" in value:
        return tuple(_value(item) for item in value["arrayValue"].get("values", ()))
    if "kvlistValue" in value:
        return _attributes(value["kvlistValue"].get("values"))
    return value.get("stringValue", value.get("boolValue", value.get("bytesValue")))
