"""Delivers so many spans, or events of equal payload, by one way, in this process, and prints what that took as JSON:
``python -m benchmarks.contender WAY …``.

``python -m benchmarks`` starts it, one way after the other, against one sink.
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
import sys
import tempfile
from collections.abc import Callable, Mapping
from time import perf_counter, process_time
from typing import Any, NamedTuple

from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from benchmarks.memory import resident_megabytes
from benchmarks.sink import arrived
from benchmarks.span_end import span
from benchmarks.spans import MARK, ORDER_RULE, WORK, Work
from genops_otel_posthog import GovernanceSpanProcessor, PostHogSpanExporter
from genops_otel_posthog.settings import Settings

KEY = "phc_benchmark"
_WAIT = 300_000  # milliseconds; what is not delivered then is counted as lost
_WARM_UP = 1_000


class Way(NamedTuple):
    """One way to the sink.

    Attributes:
        call: Makes one span or event.
        flush: Waits until everything is delivered.
    """

    call: Callable[[], object]
    flush: Callable[[], object]


def ours(port: int, work: Work, _queue: int | None, directory: str) -> Way:
    """This package, as it comes: written where the span ends."""
    exporter = PostHogSpanExporter(
        KEY,
        f"http://127.0.0.1:{port}",
        rules=[ORDER_RULE],
        outbox=directory,
        settings=Settings(export_content=True),
    )
    return _by_spans(GovernanceSpanProcessor(exporter, settings=Settings()), work)


def posthog_exporter(port: int, work: Work, queue: int | None, _directory: str) -> Way:
    """PostHog's own exporter of spans, below OpenTelemetry's batch processor."""
    from posthog.ai.otel import PostHogTraceExporter

    exporter = PostHogTraceExporter(KEY, f"http://127.0.0.1:{port}")
    return _by_spans(BatchSpanProcessor(exporter, **({} if queue is None else {"max_queue_size": queue})), work)


def capture(port: int, work: Work, queue: int | None, _directory: str) -> Way:
    """``capture`` of PostHog's SDK, of the attributes as properties."""
    from posthog.client import Client

    options = {} if queue is None else {"max_queue_size": queue}
    client = Client(KEY, host=f"http://127.0.0.1:{port}", **options)
    attributes = work.next_attributes()

    def call() -> None:
        client.capture("checkout_completed", distinct_id="user-00042", properties={"span_name": MARK, **attributes()})

    return Way(call, client.flush)


WAYS: Mapping[str, Callable[[int, Work, int | None, str], Way]] = {
    "ours": ours,
    "PostHogTraceExporter": posthog_exporter,
    "Posthog.capture": capture,
}


def _by_spans(processor: SpanProcessor, work: Work) -> Way:
    provider = TracerProvider()
    provider.add_span_processor(processor)
    return Way(span(provider.get_tracer("benchmarks"), work), lambda: processor.force_flush(_WAIT))


def deliver(name: str, port: int, work: Work, spans: int, *, defaults: bool) -> dict[str, Any]:
    """Delivers the spans; seconds by the clock and of the processor, how many arrived, and what memory did.

    Args:
        name: Of the way.
        port: Of the sink.
        work: What kind of spans.
        spans: How many.
        defaults: Whether queues are as long as they come; otherwise they hold all spans.
    """
    with tempfile.TemporaryDirectory(prefix="genops-benchmark-") as directory:
        call, flush = WAYS[name](port, work, None if defaults else spans + _WARM_UP, directory)
        _repeat(call, _WARM_UP)
        flush()
        before, _ = arrived(port)
        resident, peak = resident_megabytes(), _peak_megabytes()
        began, worked = perf_counter(), process_time()
        _repeat(call, spans)
        caller = perf_counter() - began
        flush()
        seconds, processor_seconds = perf_counter() - began, process_time() - worked
        events, _ = arrived(port)
        return {
            "spans": spans,
            "arrived": events - before,
            "seconds": seconds,
            "caller_seconds": caller,
            "processor_seconds": processor_seconds,
            "resident_mb": resident,
            "growth_mb": max(_peak_megabytes() - max(peak, resident), 0.0),
        }


def _repeat(call: Callable[[], object], times: int) -> None:
    for _ in range(times):
        call()


def _peak_megabytes() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def main() -> None:
    """Reads the arguments, delivers, prints."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.contender", description=__doc__)
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("--work", choices=WORK, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--spans", type=int, required=True)
    parser.add_argument("--defaults", action="store_true")
    arguments = parser.parse_args()
    for name in ("posthog", "opentelemetry"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # they complain of what their queues do not take
    result = deliver(arguments.way, arguments.port, WORK[arguments.work], arguments.spans, defaults=arguments.defaults)
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
