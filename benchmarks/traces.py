"""The OpenTelemetry SDK as an application sets it up, with an exporter that throws everything away."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Sampler
from opentelemetry.trace import Tracer

SPAN_ATTRIBUTES: Mapping[str, str | int] = {
    "http.request.method": "POST",
    "http.route": "/checkout/{cart}",
    "http.response.status_code": 200,
    "url.scheme": "https",
    "url.path": "/checkout/8d1f",
    "server.address": "shop.example",
    "server.port": 443,
    "network.protocol.version": "1.1",
}
"""The eight attributes of the span that everything is compared with."""


class DiscardingExporter(SpanExporter):
    """Accepts spans and forgets them."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Says that the spans are delivered."""
        return SpanExportResult.SUCCESS


class Traces:
    """A tracer provider with a batch processor.

    Args:
        sampler: The provider's sampler; the SDK's default when not given.
    """

    def __init__(self, sampler: Sampler | None = None) -> None:
        self.provider = TracerProvider(sampler=sampler)
        self._processor = BatchSpanProcessor(DiscardingExporter())
        self.provider.add_span_processor(self._processor)
        self.tracer: Tracer = self.provider.get_tracer("benchmarks")

    def flush(self) -> None:
        """Exports what has ended. Called between slices of fewer spans than a batch, it keeps the processor's thread
        asleep while calls are timed."""
        self._processor.force_flush()


def current_span(tracer: Tracer) -> Callable[[], None]:
    """``with tracer.start_as_current_span(name, attributes=…)``: what people write, and the unit of every ratio."""

    def call() -> None:
        with tracer.start_as_current_span("checkout", attributes=SPAN_ATTRIBUTES):
            pass

    return call


def detached_span(tracer: Tracer) -> Callable[[], None]:
    """``tracer.start_span(name, attributes=…).end()``: the same span without being current."""

    def call() -> None:
        tracer.start_span("checkout", attributes=SPAN_ATTRIBUTES).end()

    return call
