"""An experiment: a multivariate flag decides who sees what, and each variant's calls are counted under it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypedDict

from genops_otel_posthog.errors import GenOpsValidationError

if TYPE_CHECKING:
    from genops_otel_posthog.adapter.results import CaptureResult
    from genops_otel_posthog.adapter.session_calls import SessionCalls

CONTROL: Final = "control"
"""The variant of somebody for whom the flag is off, or has no answer."""


class VariantReport(TypedDict):
    """What a variant was and cost.

    Attributes:
        users: People who saw it.
        events: Events that were captured for them.
        conversions: Those of the events that were conversions.
        conversion_rate: Conversions per person.
        cost: US dollars, of flags and events.
        cost_per_user: US dollars.
        cost_per_conversion: US dollars; ``None`` without one.
    """

    users: int
    events: int
    conversions: int
    conversion_rate: float
    cost: float
    cost_per_user: float
    cost_per_conversion: float | None


class _Variant:
    def __init__(self) -> None:
        self.users: set[str] = set()
        self.events = self.conversions = 0
        self.cost = Decimal(0)


class Experiment:
    """See the module. Made by :meth:`PostHogAnalyticsSession.experiment`. Safe to use from any thread.

    Args:
        session: The session whose calls they are.
        flag_key: The multivariate flag.
    """

    def __init__(self, session: SessionCalls, flag_key: str) -> None:
        self.flag_key = flag_key
        self._session = session
        self._lock = threading.Lock()
        self._variants: dict[str, _Variant] = {}
        self._variant_of: dict[str, str] = {}

    def assign(self, distinct_id: str, properties: Mapping[str, Any] | None = None) -> str:
        """The variant of a person, asked of PostHog the first time.

        Args:
            distinct_id: The person.
            properties: What is known of the person.

        Raises:
            GenOpsValidationError: The id is blank.
        """
        known = self._variant_of.get(distinct_id)
        if known is not None:
            return known
        value, metadata = self._session.evaluate_feature_flag(self.flag_key, distinct_id, properties)
        variant = value if isinstance(value, str) else str(value).lower() if value else CONTROL
        with self._lock:
            variant = self._variant_of.setdefault(distinct_id, variant)
            counted = self._variants.setdefault(variant, _Variant())
            counted.users.add(distinct_id)
            counted.cost += Decimal(str(metadata["cost"]))
        return variant

    def capture(
        self,
        event_name: str,
        distinct_id: str,
        properties: Mapping[str, Any] | None = None,
        *,
        is_identified: bool = True,
    ) -> CaptureResult:
        """Captures an event of somebody who takes part, with PostHog's property for the variant (``$feature/<key>``).

        Args:
            event_name: Its name.
            distinct_id: Whose it is; :meth:`assign` comes first.
            properties: Its properties.
            is_identified: Whether it is processed with a person profile.

        Raises:
            GenOpsValidationError: The person has no variant yet.
            GenOpsBudgetExceededError: A budget refuses it.
        """
        result = self._session.capture_event(
            event_name, self._properties(distinct_id, properties), distinct_id, is_identified
        )
        self._count(distinct_id, result)
        return result

    def convert(
        self,
        distinct_id: str,
        event_name: str = "conversion",
        value: Decimal | float | int | str | None = None,
        properties: Mapping[str, Any] | None = None,
    ) -> CaptureResult:
        """Captures that somebody who takes part converted.

        Args:
            distinct_id: Who; :meth:`assign` comes first.
            event_name: The event.
            value: What it was worth.
            properties: Its properties.

        Raises:
            GenOpsValidationError: As for :meth:`capture`.
            GenOpsBudgetExceededError: A budget refuses it.
        """
        result = self._session.record_conversion(
            event_name, value, distinct_id, self._properties(distinct_id, properties)
        )
        self._count(distinct_id, result, converted=True)
        return result

    def report(self) -> dict[str, VariantReport]:
        """What each variant was and cost so far, by variant."""
        with self._lock:
            return {name: _reported(variant) for name, variant in sorted(self._variants.items())}

    def _properties(self, distinct_id: str, given: Mapping[str, Any] | None) -> dict[str, Any]:
        variant = self._variant_of.get(distinct_id)
        if variant is None:
            raise GenOpsValidationError(
                f"{self.flag_key}: nobody has asked for the variant of this person yet; call assign() first"
            )
        return {f"$feature/{self.flag_key}": variant, **(given or {})}

    def _count(self, distinct_id: str, result: CaptureResult, *, converted: bool = False) -> None:
        if result["event_uuid"] is None:
            return
        with self._lock:
            counted = self._variants[self._variant_of[distinct_id]]
            counted.events += 1
            counted.conversions += converted
            counted.cost += Decimal(str(result["cost"]))


def _reported(variant: _Variant) -> VariantReport:
    users, cost = len(variant.users), float(variant.cost)
    return {
        "users": users,
        "events": variant.events,
        "conversions": variant.conversions,
        "conversion_rate": variant.conversions / users,
        "cost": cost,
        "cost_per_user": cost / users,
        "cost_per_conversion": cost / variant.conversions if variant.conversions else None,
    }
