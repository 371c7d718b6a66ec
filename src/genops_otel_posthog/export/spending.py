"""What exported events cost: asked of the budgets before an event is written, counted once it is.

The instrumentation of the PostHog SDK does the same for the application's own events, from the same budgets and into
the same totals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any, Final, NamedTuple

from genops_otel_posthog import semconv
from genops_otel_posthog.attribution import Attribution
from genops_otel_posthog.budgets.decision import Reservation
from genops_otel_posthog.budgets.governor import Governor
from genops_otel_posthog.budgets.sampling import keeps
from genops_otel_posthog.export.event import Event
from genops_otel_posthog.export.rules import Made
from genops_otel_posthog.export.tally import BUDGET, SAMPLED
from genops_otel_posthog.metering.metering import Metering
from genops_otel_posthog.money import NANO_PER_USD, float_usd_from_nano
from genops_otel_posthog.pricing.billing import Charge, charges_for_event, is_identified
from genops_otel_posthog.pricing.meters import MODEL_COST
from genops_otel_posthog.pricing.pricer import Price
from genops_otel_posthog.settings import Settings

MODEL_CALLS: Final = "model_calls"
"""The meter of metrics that calls of models are counted by."""

_MODEL_EVENTS: Final = frozenset({"$ai_generation", "$ai_embedding"})
_MOST_NANO: Final = 1_000_000 * NANO_PER_USD  # of one call; who says more does not speak of US dollars
_MOST_KINDS: Final = 1_024  # of events whose charges are kept
_ONE_CALL: Final = (Charge(MODEL_CALLS, 1),)


class Admission(NamedTuple):
    """An event that may be written, and what is set aside for it.

    Attributes:
        event: The event, with its rate if others like it are left out.
        owner: Whose it is.
        charges: What PostHog will bill.
        governor: Who decided; ``None``: nobody was asked.
        reservation: What is set aside.
    """

    event: Event
    owner: Attribution
    charges: tuple[Charge, ...]
    governor: Governor | None = None
    reservation: Reservation | None = None


class Spending:
    """See the module.

    Args:
        settings: The exporter's.
        bills_events: Whether PostHog gets the events, and so bills them. Other destinations cost nothing known.

    Attributes:
        meter: Makes the metrics of the process.
    """

    def __init__(self, settings: Settings, *, bills_events: bool) -> None:
        self._metering = Metering(settings, strict=False)
        self.meter = self._metering.meter
        self._bills_events = bills_events
        self._group_analytics = settings.group_analytics
        self._charges: dict[tuple[str, bool], tuple[Charge, ...]] = {}

    def charges(self, name: str, properties: Mapping[str, Any]) -> tuple[Charge, ...]:
        """What PostHog bills for an event. Answers are kept."""
        if not self._bills_events:
            return ()
        kind = (name, is_identified(properties))
        known = self._charges.get(kind)
        if known is None:
            known = charges_for_event(name, identified=kind[1], group_analytics=self._group_analytics)
            if len(self._charges) >= _MOST_KINDS:
                self._charges = {}
            self._charges[kind] = known
        return known

    def estimate(self, name: str, properties: Mapping[str, Any]) -> float | None:
        """What an event would cost now in US dollars, ``None`` when PostHog does not get it."""
        if not self._bills_events:
            return None
        return float_usd_from_nano(self._metering.pricer.quote(self.charges(name, properties)).amount_nano)

    def admit(self, event: Event, owner: Attribution) -> Admission | str:
        """Asks the budgets about an event.

        Returns:
            That it may be written, to be handed to :meth:`conclude` once; or why not: ``sampled`` or ``budget``.
        """
        charges = self.charges(event.name, event.properties)
        budgeting = self._metering.present_budgets()
        if budgeting is None:
            return Admission(event, owner, charges)
        governor = budgeting.governor
        if budgeting.sampling is not None and charges:
            rate = budgeting.sampling.rate(event.name, governor.utilization(owner))
            if rate < 1.0:
                if not keeps(event.distinct_id, rate):
                    governor.note(semconv.POLICY_RESULT_SAMPLED, semconv.POLICY_REASON_SAMPLED)
                    return SAMPLED
                event = replace(event, properties={**event.properties, semconv.PROPERTY_GENOPS_SAMPLE_RATE: rate})
        decision = governor.admit(owner, charges, critical=event.name in budgeting.critical_events)
        if isinstance(decision, Reservation):
            return Admission(event, owner, charges, governor, decision)
        return BUDGET

    def conclude(self, admission: Admission, *, made: bool) -> None:
        """Spends what was set aside for an event that was written, or gives it back."""
        governor, reservation = admission.governor, admission.reservation
        if governor is not None and reservation is not None:
            (governor.settle if made else governor.release)(reservation)
        if made and admission.charges:
            price = self._metering.pricer.charge(admission.charges)
            self._metering.totals.add(admission.owner, admission.charges, price)

    def count_model_call(self, made: Made, owner: Attribution) -> None:
        """Counts what the call of a model behind an event has cost. It has happened, whatever becomes of the event.

        A cost that is not known is in no amount.
        """
        if made.event.name not in _MODEL_EVENTS:
            return
        nano = _nano(made.model_cost)
        provider = str(made.event.properties.get("$ai_provider") or "unknown")
        if nano is None:
            price = Price(0, 0, MODEL_CALLS, 1, (), (MODEL_CALLS,))
        else:
            price = Price(nano, nano, MODEL_CALLS, 1, ((MODEL_CALLS, 1, nano),), ())
        self._metering.totals.add_of(provider, owner, _ONE_CALL, price)
        budgeting = self._metering.present_budgets()
        if nano and budgeting is not None:
            budgeting.governor.record(owner, (Charge(MODEL_COST, nano),))

    def close(self) -> None:
        """Lets go of the budgets."""
        self._metering.close()


def _nano(amount: object) -> int | None:
    """An amount of US dollars, rounded to nano-USD; ``None`` for what is none. Spans may say anything."""
    try:
        exact = amount if type(amount) is Decimal else Decimal(str(amount))
        nano = (exact * NANO_PER_USD).to_integral_value(ROUND_HALF_EVEN)
        return int(nano) if 0 <= nano <= _MOST_NANO else None
    except (InvalidOperation, ValueError, OverflowError):
        return None
