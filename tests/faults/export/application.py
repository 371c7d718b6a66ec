"""An application that traces its work and exports it by the environment's settings, as a process of its own.

It says on standard output, unbuffered, which spans have ended; a test holds the exporter to that. What runs it is
OpenTelemetry's SDK with nothing but :class:`GovernanceSpanProcessor`.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import threading
import time

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from genops_otel_posthog import GovernanceSpanProcessor, PostHogSpanExporter


def say(word: str, value: object) -> None:
    """One line, at once: a killed process has said what it said."""
    os.write(1, f"{word} {value}\n".encode())


def work(given: argparse.Namespace, first: int) -> None:
    """Ends spans, and says which have ended."""
    tracer = trace.get_tracer("shop")
    for number in range(first, first + given.count):
        attributes = {"genops.analytics.event": "interaction", "genops.interaction.type": "step", "number": number}
        with tracer.start_as_current_span("step", attributes=attributes) as span:
            context = span.get_span_context()
        if not given.quiet:
            say("ended", f"{context.trace_id:032x}")
        if given.rate:
            time.sleep(1 / given.rate)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--children", type=int, default=0, help="forked workers that end spans and then themselves")
    parser.add_argument("--rate", type=float, default=0.0, help="spans a second; 0 for as fast as can be")
    parser.add_argument("--batch", action="store_true", help="under a BatchSpanProcessor as well")
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument("--wait", action="store_true", help="until standard input ends")
    parser.add_argument("--flush", type=float, default=0.0, help="seconds")
    parser.add_argument("--shutdown", action="store_true")
    given = parser.parse_args()

    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    exporter = PostHogSpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(GovernanceSpanProcessor(exporter))
    if given.batch:
        provider.add_span_processor(BatchSpanProcessor(PostHogSpanExporter()))
    trace.set_tracer_provider(provider)
    for child in range(given.children):
        if os.fork() == 0:
            work(given, child * given.count)
            os._exit(0)  # as workers end that are recycled: without exit handlers
    for _ in range(given.children):
        os.wait()
    threads = [threading.Thread(target=work, args=(given, place * given.count)) for place in range(given.threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    account = exporter.spans
    say("account", f"{account.ended} {account.filtered} {account.sampled} {account.enqueued} {dict(account.dropped)}")
    say("holds", account.holds)
    if given.wait:
        sys.stdin.read()
    if given.flush:
        say("flushed", provider.force_flush(int(given.flush * 1000)))
    if given.shutdown:
        provider.shutdown()
    say("done", time.monotonic())


if __name__ == "__main__":
    main()
