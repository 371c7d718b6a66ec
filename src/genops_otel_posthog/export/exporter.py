"""The exporter: any span may become an event, and what became one is not lost.

An event is on disk when :meth:`PostHogSpanExporter.export` or :meth:`~PostHogSpanExporter.write` returns. Threads of
the outbox deliver it, and what this process cannot deliver any more is delivered by the next one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from genops_otel_posthog.export.destinations.protocol import Destination
from genops_otel_posthog.export.export_metrics import ExporterMetrics
from genops_otel_posthog.export.outbox import Accounting, Outbox
from genops_otel_posthog.export.outbox.outbox import EXIT_SECONDS
from genops_otel_posthog.export.pipelines import Plan, acquire, release
from genops_otel_posthog.export.privacy import Redact
from genops_otel_posthog.export.rules.builtin import FAMILIES
from genops_otel_posthog.export.rules.engine import Gate
from genops_otel_posthog.export.rules.rule import SpanRule
from genops_otel_posthog.export.tally import SpanAccount
from genops_otel_posthog.settings import Settings

if TYPE_CHECKING:
    from genops_otel_posthog.processor import PostHogContext


class PostHogSpanExporter(SpanExporter):
    """Turns spans into PostHog events, and delivers these without loss.

    Best given to :class:`~genops_otel_posthog.processor.GovernanceSpanProcessor`, which writes each span where it ends.
    It can be used under any other processor as well, and is what ``OTEL_TRACES_EXPORTER=otlp,posthog`` makes.

    Exporters that were given the same share what they do: a span that reaches two of them is one event, counted once.

    Args:
        api_key: Project key. ``POSTHOG_API_KEY`` when not given; without one, a warning says that nothing is exported.
        host: Ingestion host; ``POSTHOG_HOST`` when not given.
        rules: Rules of your own. They are asked first, then those of ``GENOPS_SPAN_RULES``, then the built-in ones.
        built_in: Which of the built-in rules there are, among :data:`~.rules.builtin.FAMILIES`.
        destinations: Who gets the events; PostHog, and whom the environment names, when not given.
        outbox: Directory where events wait, or an outbox of your own, which stays open when the exporter is shut down;
            ``GENOPS_OUTBOX_PATH`` when not given.
        redact: Sees every event before anything is written to disk; see :attr:`~.privacy.Privacy.redact`.
        gate: Answers whether a feature flag is on, for rules that have one. When not given, the flags of the
            environment do: PostHog's definitions in the application's client, then ``GENOPS_FLAGS_DATABASE_URL``.
        settings: What holds where no argument says anything; those of the environment when not given.

    Raises:
        GenOpsConfigurationError: An argument cannot be used. What cannot be used of the environment is a warning.
        GenOpsValidationError: The same.

    Example:
        >>> from opentelemetry.sdk.trace import TracerProvider
        >>> from genops_otel_posthog import GovernanceSpanProcessor, PostHogSpanExporter
        >>> provider = TracerProvider()
        >>> provider.add_span_processor(GovernanceSpanProcessor(PostHogSpanExporter()))  # doctest: +SKIP
    """

    def __init__(
        self,
        api_key: str | None = None,
        host: str | None = None,
        *,
        rules: Iterable[SpanRule] = (),
        built_in: Iterable[str] = FAMILIES,
        destinations: Iterable[Destination] | None = None,
        outbox: Outbox | str | os.PathLike[str] | None = None,
        redact: Redact | None = None,
        gate: Gate | None = None,
        settings: Settings | None = None,
    ) -> None:
        plan = Plan.of(
            api_key=api_key,
            host=host,
            rules=rules,
            built_in=built_in,
            destinations=destinations,
            outbox=outbox,
            redact=redact,
            gate=gate,
            settings=settings,
        )
        self._pipeline = acquire(plan)
        self._metrics = None if self._pipeline is None else ExporterMetrics.if_asked(self._pipeline.meter)
        self._is_shut_down = False
        self._was_delivered = True

    # --- spans ------------------------------------------------------------------------------------------------------

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Takes spans that have ended. Never raises.

        Returns:
            ``SUCCESS`` when everything of them that was meant to become events is durable.
        """
        if self._metrics is None:
            # No shortcut: every one of them has to be taken.
            lost = [span for span in spans if self._take(span, None)]
            return SpanExportResult.FAILURE if lost else SpanExportResult.SUCCESS
        with self._metrics.operation(len(spans)) as failed:
            failed.update(filter(None, [self._take(span, None) for span in spans]))
        return SpanExportResult.FAILURE if failed else SpanExportResult.SUCCESS

    def write(self, span: ReadableSpan, context: PostHogContext) -> None:
        """Takes a span at its very end. Never raises.

        Args:
            span: The span.
            context: What PostHog's context said when it started.
        """
        if self._metrics is None:
            self._take(span, context)
            return
        with self._metrics.operation(1) as failed:
            failed.update(filter(None, [self._take(span, context)]))

    def _take(self, span: ReadableSpan, context: PostHogContext | None) -> str:
        """Takes a span; why it is not exported, or nothing."""
        pipeline = self._pipeline
        if pipeline is None:
            return ""
        return pipeline.refuse(span) if self._is_shut_down else pipeline.put(span, context)

    # --- ending -----------------------------------------------------------------------------------------------------

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Waits until every destination has taken, or for good refused, what was exported so far.

        Args:
            timeout_millis: Most milliseconds.

        Returns:
            Whether that is so. Otherwise nothing is lost: it is on disk.
        """
        if self._pipeline is None:
            return True
        if self._is_shut_down:
            return self._was_delivered
        return self._pipeline.outbox.flush(timeout_millis / 1000)

    def shutdown(self, timeout_millis: int = int(EXIT_SECONDS * 1000)) -> None:
        """Delivers what it can and ends. What is left stays on disk for the next process, and a warning says so.

        Args:
            timeout_millis: Most milliseconds.
        """
        if self._is_shut_down:
            return
        self._is_shut_down = True
        if self._pipeline is not None:
            self._was_delivered = release(self._pipeline, timeout_millis / 1000)

    # --- what became of it ------------------------------------------------------------------------------------------

    @property
    def spans(self) -> SpanAccount:
        """What became of the spans so far, of all exporters that share this one's work."""
        return SpanAccount() if self._pipeline is None else self._pipeline.tally.account()

    @property
    def events(self) -> Accounting | None:
        """What became of the events in the outbox, of all who use its directory in this process; ``None`` where nothing
        is exported."""
        return None if self._pipeline is None else self._pipeline.outbox.accounting()
