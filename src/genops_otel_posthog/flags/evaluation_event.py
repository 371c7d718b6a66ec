"""The event ``feature_flag.evaluation`` of OpenTelemetry: a log record, and an event of the current span if asked.

The names are those of https://opentelemetry.io/docs/specs/semconv/feature-flags/feature-flags-events/. Those that
``openfeature.telemetry`` of openfeature-sdk 0.10 writes are older ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

from opentelemetry import trace
from opentelemetry._logs import LoggerProvider, LogRecord, SeverityNumber, get_logger

from genops_otel_posthog import semconv
from genops_otel_posthog.flags.answer import Answer
from genops_otel_posthog.flags.recording import Evaluation
from genops_otel_posthog.version import __version__

PROVIDER_NAME: Final = "posthog"

Attribute: TypeAlias = str | bool


class EvaluationEvents:
    """Emits the event.

    Args:
        logger_provider: Takes the log records; the global one when not given.
        span_event: Whether the current span gets the event too.
    """

    def __init__(self, logger_provider: LoggerProvider | None = None, *, span_event: bool = False) -> None:
        self._logger = get_logger(__name__, __version__, logger_provider)
        self._span_event = span_event

    def emit(self, attributes: Mapping[str, Attribute]) -> None:
        """Emits it with these attributes."""
        self._logger.emit(
            LogRecord(
                event_name=semconv.EVENT_FEATURE_FLAG_EVALUATION,
                severity_number=SeverityNumber.INFO,
                attributes=dict(attributes),
            )
        )
        if self._span_event:
            trace.get_current_span().add_event(semconv.EVENT_FEATURE_FLAG_EVALUATION, dict(attributes))


class OtelRecorder:
    """Tells OpenTelemetry of evaluations.

    Args:
        events: How.
        record_value: Whether the value is recorded where there is a variant, too.
        record_context_id: Whether the distinct id is recorded, which is personal data.
    """

    def __init__(
        self, events: EvaluationEvents | None = None, *, record_value: bool = False, record_context_id: bool = False
    ) -> None:
        self._events = events or EvaluationEvents()
        self._record_value = record_value
        self._record_context_id = record_context_id

    def __call__(self, evaluation: Evaluation) -> None:
        """Emits the event of an evaluation."""
        attributes = attributes_of(evaluation.answer, record_value=self._record_value)
        if self._record_context_id and evaluation.subject.user:
            attributes[semconv.FEATURE_FLAG_CONTEXT_ID] = evaluation.subject.user
        self._events.emit(attributes)


def attributes_of(answer: Answer, *, record_value: bool = False) -> dict[str, Attribute]:
    """What may be said of an answer: nothing of whom it was for."""
    attributes: dict[str, Attribute] = {
        semconv.FEATURE_FLAG_KEY: answer.key,
        semconv.FEATURE_FLAG_PROVIDER_NAME: PROVIDER_NAME,
        semconv.FEATURE_FLAG_RESULT_REASON: answer.reason,
        semconv.GENOPS_FLAG_SOURCE: answer.source,
    }
    if answer.is_known and answer.variant is not None:
        attributes[semconv.FEATURE_FLAG_RESULT_VARIANT] = answer.variant
    if record_value or semconv.FEATURE_FLAG_RESULT_VARIANT not in attributes:
        attributes[semconv.FEATURE_FLAG_RESULT_VALUE] = answer.value
    if answer.version is not None:
        attributes[semconv.FEATURE_FLAG_VERSION] = str(answer.version)
    if answer.reason == "error":
        attributes[semconv.ERROR_TYPE] = answer.error or "general"
    return attributes
