"""What it takes to make a span's end durable: converted, serialised and appended, in the thread that ends the span."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Tracer

from benchmarks.slices import Variant
from benchmarks.spans import MARK, ORDER_RULE, WORK, Work
from benchmarks.stage import Stage
from genops_otel_posthog import GovernanceSpanProcessor, PostHogSpanExporter
from genops_otel_posthog.export.destinations.protocol import Answer, Verdict
from genops_otel_posthog.export.outbox import Outbox, Tuning
from genops_otel_posthog.settings import Settings

_ASLEEP = 3_600.0  # seconds that an event may wait: between two slices is early enough


class _Taker:
    """A destination that takes everything and forgets it."""

    name = "posthog"  # whose events have a price
    account = ""
    max_batch_events = 1_000_000
    max_batch_bytes = max_event_bytes = 1 << 30

    def send(self, bodies: Sequence[bytes], timeout: float) -> Answer:
        return Answer(Verdict.ACCEPTED)

    def close(self) -> None:
        pass


class Exports:
    """An exporter with a real outbox on the disk, whose sender sleeps while spans are timed.

    Attributes:
        tracer: Its spans are stamped and exported.
    """

    def __init__(self) -> None:
        self._directory = tempfile.mkdtemp(prefix="genops-benchmark-")
        self._outbox = Outbox(self._directory, [_Taker()], tuning=Tuning(linger=_ASLEEP))
        settings = Settings(export_content=True)
        self._exporter = PostHogSpanExporter(rules=[ORDER_RULE], outbox=self._outbox, settings=settings)
        self.tracer = _tracer(GovernanceSpanProcessor(self._exporter, settings=settings))

    def clear(self) -> None:
        """Takes away what a slice has left behind.

        Raises:
            RuntimeError: A span was not exported.
        """
        if not self._outbox.flush(60):
            raise RuntimeError("the sender did not empty the outbox")
        account = self._exporter.spans
        if account.ended != account.enqueued:
            raise RuntimeError(f"spans that were timed did not become one event each: {account}")

    def close(self) -> None:
        """Removes the outbox."""
        self._exporter.shutdown()
        self._outbox.shutdown()
        shutil.rmtree(self._directory)


class ExportStage(Stage):
    """A stage with an exporter."""

    def __init__(self) -> None:
        super().__init__()
        self.exports = Exports()

    def clear(self) -> None:
        """Takes away what a slice has queued or written."""
        super().clear()
        self.exports.clear()

    def close(self) -> None:
        """Removes what is on the disk."""
        self.exports.close()


def alone(name: str) -> str:
    """Name of the variant that makes such a span and nothing else."""
    return f"{name}: the span alone"


def stamped(name: str) -> str:
    """Name of the variant whose spans are given their owner."""
    return f"{name}: with its owner"


def exported(name: str) -> str:
    """Name of the variant whose spans become durable events."""
    return f"{name}: with its owner, durable"


def prepare() -> tuple[Stage, dict[str, Variant]]:
    """Each span alone, with its owner, and exported."""
    stage = ExportStage()
    plain = TracerProvider().get_tracer("benchmarks")
    owned = _tracer(GovernanceSpanProcessor(settings=Settings()))
    variants: dict[str, Variant] = {}
    for name, work in WORK.items():
        variants[alone(name)] = stage.other(span(plain, work))
        variants[stamped(name)] = stage.other(span(owned, work))
        variants[exported(name)] = stage.other(span(stage.exports.tracer, work))
    return stage, variants


def span(tracer: Tracer, work: Work) -> Callable[[], object]:
    """Makes a span, current, with its attributes from the start, and ends it."""
    kind, attributes = work.kind, work.next_attributes()

    def call() -> None:
        with tracer.start_as_current_span(MARK, kind=kind, attributes=attributes()):
            pass

    return call


def _tracer(processor: Any) -> Tracer:
    provider = TracerProvider()
    provider.add_span_processor(processor)
    return provider.get_tracer("benchmarks")
