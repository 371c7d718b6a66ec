"""A span as rules see it: the few facts they ask for, by the same names whatever wrote the span.

The SDK's ``ReadableSpan`` is read by its attributes alone, so that neither this room nor a test needs the SDK.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from genops_otel_posthog.export.shapes import Names, Shape, Shapes

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import Event as SpanEvent
    from opentelemetry.sdk.trace import ReadableSpan

_NOTHING: Mapping[str, Any] = {}
_NANO = 1_000_000_000


class InvalidSpan(Exception):
    """The span lacks what an event is made of: its ids or its times."""


class SpanView:
    """One finished span.

    Attributes:
        span: The span itself.
        attributes: Its attributes.
        name: Its name.
        scope: Name of the instrumentation scope.
        shape: What it has in common with spans that have attributes of the same names.
        step: Which step of an AI application it was found to be, empty for none; ``None`` before anybody looked.
        trace_number: The trace id as a number.
        span_number: The span id as a number.
        trace_id: The trace id, 32 hex digits.
        span_id: The span id, 16 hex digits.
        start: Nanoseconds since 1970-01-01 UTC.
        end: The same.

    Args:
        span: The span.
        shapes: Where shapes are kept; a span without has one of its own.
    """

    __slots__ = (
        "_events",
        "_parent_id",
        "_status",
        "attributes",
        "end",
        "name",
        "scope",
        "shape",
        "span",
        "span_id",
        "span_number",
        "start",
        "step",
        "trace_id",
        "trace_number",
    )

    def __init__(self, span: ReadableSpan, shapes: Shapes | None = None) -> None:
        # The SDK's own mapping takes five times as long for every look-up.
        self.attributes: Mapping[str, Any] = _copied(span.attributes)
        self.shape: Shape = (Shapes() if shapes is None else shapes).of(self.attributes)
        self.name: str = span.name
        scope = span.instrumentation_scope
        self.scope: str = scope.name if scope is not None else ""
        self.span = span
        self.step: str | None = None
        self._events: Sequence[SpanEvent] | None = None
        self._status: str | None = None
        self._parent_id: str | None = None

    def require_ids_and_times(self) -> None:
        """Reads what every event is made of. Separate, because most spans become none.

        Raises:
            InvalidSpan: It has no valid ids, or no times.
        """
        span = self.span
        context = span.get_span_context()
        trace_id, span_id = (0, 0) if context is None else (context.trace_id, context.span_id)
        if not trace_id or not span_id:
            raise InvalidSpan("the span has no valid trace id and span id")
        start, end = span.start_time, span.end_time
        if not isinstance(start, int) or not isinstance(end, int):
            raise InvalidSpan("the span has no start or no end")
        self.start: int = start
        self.end: int = end
        self.trace_number: int = trace_id
        self.span_number: int = span_id
        self.trace_id = f"{trace_id:032x}"
        self.span_id = f"{span_id:016x}"

    @property
    def events(self) -> Sequence[SpanEvent]:
        """Its span events."""
        if self._events is None:
            self._events = self.span.events
        return self._events

    @property
    def has_events(self) -> bool:
        """Whether there are any."""
        # The SDK copies the list under a lock to give it; that it is empty can be seen without.
        return bool(getattr(self.span, "_events", True)) and bool(self.events)

    @property
    def kind(self) -> str:
        """``internal``, ``server``, ``client``, ``producer`` or ``consumer``."""
        return self.span.kind.name.lower()

    @property
    def status(self) -> str:
        """``unset``, ``ok`` or ``error``."""
        if self._status is None:
            self._status = self.span.status.status_code.name.lower()
        return self._status

    @property
    def status_message(self) -> str:
        """What the status says beside."""
        return self.span.status.description or ""

    @property
    def scope_version(self) -> str:
        """Version of its instrumentation scope."""
        scope = self.span.instrumentation_scope
        return (scope.version if scope is not None else None) or ""

    @property
    def parent_id(self) -> str | None:
        """The parent's span id, ``None`` for a root."""
        known = self._parent_id
        if known is None:
            parent = self.span.parent
            known = self._parent_id = f"{parent.span_id:016x}" if parent is not None and parent.span_id else ""
        return known or None

    @property
    def resource(self) -> Mapping[str, Any]:
        """Its resource's attributes."""
        return getattr(self.span.resource, "attributes", None) or _NOTHING

    @property
    def is_error(self) -> bool:
        """Whether the status is ERROR."""
        return self.status == "error"

    @property
    def seconds(self) -> float:
        """How long it took, never negative."""
        return max(self.end - self.start, 0) / _NANO

    @property
    def milliseconds(self) -> float:
        """The same in milliseconds, to the microsecond."""
        return round(max(self.end - self.start, 0) / _NANO * 1_000, 3)

    def first(self, *names: str) -> Any:
        """The value of the first attribute of these names that is there and not empty."""
        attributes = self.attributes
        for name in names:
            value = attributes.get(name)
            if value is not None and value != "":
                return value
        return None

    def exception(self) -> Mapping[str, Any] | None:
        """The attributes of the last exception that was recorded on it."""
        for event in reversed(self.events):
            if event.name == "exception":
                return event.attributes or _NOTHING
        return None

    def error_message(self) -> str | None:
        """What went wrong: ``type: message`` of the last exception, else the status message, else ``error.type``."""
        if not self.is_error:
            return None
        exception = self.exception()
        if exception is not None:
            parts = (exception.get("exception.type"), exception.get("exception.message"))
            said = ": ".join(str(part) for part in parts if part)
            if said:
                return said
        return self.status_message or str(self.attributes.get("error.type") or "error")

    def http_status(self) -> int | None:
        """The HTTP status of the answer, as far as the span says it: in an attribute, or in the text of the error."""
        found = self.first(*self.shape.among(_HTTP_STATUS))
        if isinstance(found, (int, str)) and str(found).isdigit():
            return int(found)
        said = self.error_message()
        match = None if said is None else _STATUS_IN_TEXT.search(said)
        return int(match[1]) if match else None


def _copied(attributes: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if attributes is None:
        return _NOTHING
    try:
        # The SDK's mapping copies itself at once; anybody else's would be read one by one.
        copy: Mapping[str, Any] = attributes.copy()  # type: ignore[attr-defined]  # not of every mapping: see below
    except AttributeError:
        return dict(attributes)
    return copy


_HTTP_STATUS = Names("http.response.status_code", "http.status_code")
_STATUS_IN_TEXT = re.compile(r"\b(?:status|error) code:? ([1-5]\d\d)\b", re.IGNORECASE)

#: What a rule can ask for besides attributes, by the name it is asked for.
FACTS: Mapping[str, Callable[[SpanView], Any]] = {
    "span.name": attrgetter("name"),
    "span.kind": attrgetter("kind"),
    "span.status": attrgetter("status"),
    "span.duration_ms": attrgetter("milliseconds"),
    "span.error": SpanView.error_message,
    "span.start": lambda span: iso_time(span.start),
    "span.end": lambda span: iso_time(span.end),
    "scope.name": attrgetter("scope"),
    "scope.version": attrgetter("scope_version"),
}
RESOURCE_PREFIX = "resource."


def source_of(source: str) -> Callable[[SpanView], Any] | None:
    """What gives the value that a rule names where that is no attribute: one of :data:`FACTS`, or ``resource.`` and a
    resource's attribute; ``None`` when there is nothing of the name."""
    fact = FACTS.get(source)
    if fact is None and source.startswith(RESOURCE_PREFIX):
        name = source[len(RESOURCE_PREFIX) :]
        return lambda span: span.resource.get(name)
    return fact


def value_of(span: SpanView, source: str) -> Any:
    """The value that a rule names: an attribute, or what :func:`source_of` gives."""
    value = span.attributes.get(source)
    if value is not None:
        return value
    fact = source_of(source)
    return None if fact is None else fact(span)


def iso_time(nanoseconds: int) -> str:
    """A time as PostHog reads it: ISO 8601 in UTC, to the microsecond.

    Raises:
        InvalidSpan: It lies outside of the years 1 to 9999.
    """
    global _last_second
    seconds, rest = divmod(nanoseconds, _NANO)
    known, told = _last_second
    if known != seconds:
        try:
            told = datetime.fromtimestamp(seconds, timezone.utc).isoformat()[:19]
        except (OverflowError, OSError, ValueError) as error:
            raise InvalidSpan(f"the time {nanoseconds} ns is not a time") from error
        _last_second = (seconds, told)
    return f"{told}.{rest // 1_000:06d}Z"


# Spans that end in the same second are the rule.
_last_second: tuple[int, str] = (-1, "")
