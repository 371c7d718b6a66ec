"""What became of spans and events, as metrics; read from the accounts when metrics are collected.

Those of OpenTelemetry's own (``otel.sdk.exporter.…``) are only made when its own switch asks for them.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from time import perf_counter
from typing import Final
from weakref import WeakKeyDictionary, WeakSet

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from genops_otel_posthog import semconv
from genops_otel_posthog.export.outbox import Accounting, DestinationAccount, Outbox
from genops_otel_posthog.export.pipeline import Pipeline
from genops_otel_posthog.export.tally import SpanAccount

SWITCH: Final = "OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED"
COMPONENT_TYPE: Final = "genops_otel_posthog.export.exporter.PostHogSpanExporter"
"""OpenTelemetry asks for the name of the class where it has none of its own for a component."""

_numbers = count()


class _Observed:
    """What one meter reports."""

    def __init__(self) -> None:
        self.pipelines: WeakSet[Pipeline] = WeakSet()
        self.outboxes: WeakSet[Outbox] = WeakSet()


_observed_by: WeakKeyDictionary[Meter, _Observed] = WeakKeyDictionary()

_State = tuple[str, str | None, str | None]
"""State, destination and reason."""


def observe(meter: Meter, pipeline: Pipeline) -> None:
    """Makes ``meter`` report a pipeline, also after it was closed: at the end of a process that comes first."""
    _observed(meter).pipelines.add(pipeline)
    observe_outbox(meter, pipeline.outbox)


def observe_outbox(meter: Meter, outbox: Outbox) -> None:
    """The same for an outbox, and all others of this process in its directory."""
    _observed(meter).outboxes.add(outbox)


def _observed(meter: Meter) -> _Observed:
    known = _observed_by.get(meter)
    if known is None:
        # An observable instrument cannot be taken back: each meter has one of a kind, whatever there is to report.
        known = _observed_by[meter] = _Observed()
        _create_instruments(meter, known)
    return known


def _create_instruments(meter: Meter, observed: _Observed) -> None:
    def accounts() -> list[Accounting]:
        # Those who use one directory share one account.
        by_directory = {found.directory: found for found in (each.accounting() for each in list(observed.outboxes))}
        return list(by_directory.values())

    def events(_: CallbackOptions) -> Iterator[Observation]:
        sums: Counter[_State] = Counter()
        for pipeline in list(observed.pipelines):
            _add_spans(sums, pipeline.tally.account())
        for account in accounts():
            for identity, destination in account.destinations.items():
                _add_destination(sums, identity.partition(".")[0], destination)
        for (state, destination_name, reason), number in sums.items():
            attributes = {semconv.GENOPS_OUTBOX_STATE: state}
            if destination_name is not None:
                attributes[semconv.GENOPS_OUTBOX_DESTINATION] = destination_name
            if reason:
                attributes[semconv.GENOPS_OUTBOX_REASON] = reason
            yield Observation(number, attributes)

    def size(_: CallbackOptions) -> Iterator[Observation]:
        yield Observation(sum(account.bytes for account in accounts()))

    def durable(_: CallbackOptions) -> Iterator[Observation]:
        yield Observation(int(all(account.durable for account in accounts())))

    meter.create_observable_up_down_counter(
        semconv.METRIC_GENOPS_OUTBOX_EVENTS, [events], "{event}", "What became of spans and their events."
    )
    meter.create_observable_up_down_counter(
        semconv.METRIC_GENOPS_OUTBOX_SIZE, [size], "By", "What the outbox directory takes on disk."
    )
    meter.create_observable_gauge(
        semconv.METRIC_GENOPS_OUTBOX_DURABLE, [durable], "1", "Whether events outlive the process."
    )


def _add_spans(sums: Counter[_State], account: SpanAccount) -> None:
    sums[semconv.OUTBOX_STATE_ENDED, None, None] += account.ended
    sums[semconv.OUTBOX_STATE_FILTERED, None, None] += account.filtered
    sums[semconv.OUTBOX_STATE_SAMPLED, None, None] += account.sampled
    sums[semconv.OUTBOX_STATE_ENQUEUED, None, None] += account.enqueued
    for reason, number in account.dropped.items():
        sums[semconv.OUTBOX_STATE_DROPPED, None, reason] += number


def _add_destination(sums: Counter[_State], name: str, account: DestinationAccount) -> None:
    sums[semconv.OUTBOX_STATE_ENQUEUED, name, None] += account.enqueued
    sums[semconv.OUTBOX_STATE_ADOPTED, name, None] += account.adopted
    sums[semconv.OUTBOX_STATE_ACKED, name, None] += account.acked
    sums[semconv.OUTBOX_STATE_DEAD, name, None] += account.dead
    sums[semconv.OUTBOX_STATE_PENDING, name, account.reason] += account.pending
    for reason, number in account.dropped.items():
        sums[semconv.OUTBOX_STATE_DROPPED, name, reason] += number


class ExporterMetrics:
    """OpenTelemetry's metrics of one exporter.

    Args:
        meter: Makes them.
    """

    def __init__(self, meter: Meter) -> None:
        self._component = {
            semconv.OTEL_COMPONENT_TYPE: COMPONENT_TYPE,
            semconv.OTEL_COMPONENT_NAME: f"{COMPONENT_TYPE}/{next(_numbers)}",
        }
        self._exported = meter.create_counter(
            semconv.METRIC_OTEL_SDK_EXPORTER_SPAN_EXPORTED,
            "{span}",
            "The number of spans for which the export has finished, either successful or failed.",
        )
        self._inflight = meter.create_up_down_counter(
            semconv.METRIC_OTEL_SDK_EXPORTER_SPAN_INFLIGHT,
            "{span}",
            "The number of spans which were passed to the exporter, but that have not been exported yet "
            "(neither successful, nor failed).",
        )
        self._duration = meter.create_histogram(
            semconv.METRIC_OTEL_SDK_EXPORTER_OPERATION_DURATION,
            "s",
            "The duration of exporting a batch of telemetry records.",
        )

    @classmethod
    def if_asked(cls, meter: Meter) -> ExporterMetrics | None:
        """The metrics, if OpenTelemetry's switch is on."""
        return cls(meter) if os.environ.get(SWITCH, "").strip().lower() == "true" else None

    @contextmanager
    def operation(self, spans: int) -> Iterator[Counter[str]]:
        """Around an export of so many spans. What it yields is told how many of them failed, by reason."""
        failed: Counter[str] = Counter()
        self._inflight.add(spans, self._component)
        start = perf_counter()
        try:
            yield failed
        finally:
            seconds = perf_counter() - start
            self._inflight.add(-spans, self._component)
            succeeded = spans - sum(failed.values())
            if succeeded:
                self._exported.add(succeeded, self._component)
            attributes = self._component
            for reason, number in failed.items():
                attributes = {**self._component, semconv.ERROR_TYPE: reason}
                self._exported.add(number, attributes)
            self._duration.record(seconds, attributes)
