"""What a session calls: the methods of its adapter, as part of it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from genops_otel_posthog.adapter.session_arguments import worth_of
from genops_otel_posthog.adapter.session_spending import SessionSpending

if TYPE_CHECKING:
    from genops_otel_posthog.adapter.adapter import GenOpsPostHogAdapter
    from genops_otel_posthog.adapter.experiment import Experiment
    from genops_otel_posthog.adapter.moments import Moment
    from genops_otel_posthog.adapter.results import CaptureResult, FlagMetadata


class SessionCalls:
    """See the module. The part of :class:`.PostHogAnalyticsSession` that calls PostHog."""

    session_id: str
    spending: SessionSpending
    _adapter: GenOpsPostHogAdapter
    _conversions: int
    _conversion_value: Decimal

    def capture_event(
        self,
        event_name: str,
        properties: Mapping[str, Any] | None = None,
        distinct_id: str | None = None,
        is_identified: bool = False,
        *,
        timestamp: Moment | None = None,
        **options: Any,
    ) -> CaptureResult:
        """Captures an event of this session; see :meth:`GenOpsPostHogAdapter.capture_event_with_governance`."""
        return self._adapter.capture_event_with_governance(
            event_name, properties, distinct_id, is_identified, self.session_id, timestamp=timestamp, **options
        )

    def evaluate_feature_flag(
        self, flag_key: str, distinct_id: str, properties: Mapping[str, Any] | None = None, **options: Any
    ) -> tuple[Any, FlagMetadata]:
        """Reads a flag; see :meth:`GenOpsPostHogAdapter.evaluate_feature_flag_with_governance`."""
        return self._adapter.evaluate_feature_flag_with_governance(
            flag_key, distinct_id, properties, self.session_id, **options
        )

    def capture_llm_event(
        self,
        event_name: str = "$ai_generation",
        properties: Mapping[str, Any] | None = None,
        distinct_id: str | None = None,
    ) -> CaptureResult:
        """Captures an event of a language model; see :meth:`GenOpsPostHogAdapter.capture_llm_event`."""
        return self._adapter.capture_llm_event(event_name, properties, distinct_id, self.session_id)

    def record_session_recording(self, count: int = 1) -> float:
        """Tells of session recordings; see :meth:`GenOpsPostHogAdapter.record_session_recording`."""
        return self._adapter.record_session_recording(count, self.session_id)

    def record_conversion(
        self,
        event_name: str = "conversion",
        value: Decimal | float | int | str | None = None,
        distinct_id: str | None = None,
        properties: Mapping[str, Any] | None = None,
        *,
        currency: str = "USD",
    ) -> CaptureResult:
        """Captures a conversion, which no sampling leaves out, and adds up what conversions were worth.

        Args:
            event_name: The event; ``conversion`` where it has no name of its own.
            value: What it was worth; ``None`` for nothing that can be said.
            distinct_id: Who converted; with one, the event is billed as identified.
            properties: More properties.
            currency: ISO 4217 code of the value.

        Raises:
            GenOpsValidationError: The value is no number.
            GenOpsBudgetExceededError: A budget refuses the event.
        """
        worth = None if value is None else worth_of(value)
        given = dict(properties or {})
        if worth is not None:
            given |= {"value": float(worth), "currency": currency}
        result = self._adapter.capture_event_with_governance(
            event_name,
            given,
            distinct_id,
            distinct_id is not None,
            self.session_id,
            always=True,
        )
        if result["event_uuid"] is not None:
            with self.spending.lock:
                self._conversions += 1
                self._conversion_value += worth or 0
        return result

    def experiment(self, flag_key: str) -> Experiment:
        """An experiment whose variants a multivariate flag decides, with what each costs.

        Args:
            flag_key: The flag.
        """
        from genops_otel_posthog.adapter.experiment import Experiment

        return Experiment(self, flag_key)
