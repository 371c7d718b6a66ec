"""How a month of a given size could cost less, computed from what was observed, with the arithmetic shown.

A recommendation is made only where there is something to save at the prices of the book: what lies in the free tier
costs nothing, and more usage is never a saving.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from genops_otel_posthog.adapter.day_counts import Day
from genops_otel_posthog.adapter.sampling import PRESETS
from genops_otel_posthog.errors import GenOpsValidationError
from genops_otel_posthog.money import float_usd_from_nano
from genops_otel_posthog.pricing.book import PriceBook
from genops_otel_posthog.pricing.meters import (
    EVENTS,
    FEATURE_FLAG_REQUESTS,
    IDENTIFIED_EVENTS,
    LLM_EVENTS,
    RECORDINGS,
)

_DAYS: Final = 30
_SPAN_EVENTS: Final = ("$ai_span", "$ai_trace")
"""Events that say what a trace backend says of the same spans."""

_KEPT_RECORDINGS: Final = 2  # one in so many, as an example


@dataclass(frozen=True)
class _Saving:
    kind: str
    meter: str
    before: int
    after: int
    why: str
    how: str


class Projection:
    """A month of so many events, with everything else in the proportion in which it was observed.

    Args:
        book: The prices.
        is_metered: Whether the free tier counts; otherwise everything is priced at list.
        observed: What was observed.
        events: Events of the month, 0 or more.

    Raises:
        GenOpsValidationError: The number is not one.
    """

    def __init__(self, book: PriceBook, *, is_metered: bool, observed: Day, events: object) -> None:
        if isinstance(events, bool) or not isinstance(events, int) or events < 0:
            raise GenOpsValidationError(
                f"projected_monthly_events={events!r} cannot be used: it must be a whole number of 0 or more"
            )
        self._book = book
        self._is_metered = is_metered
        self._observed = observed
        self._events = events
        per_event = events / observed.events if observed.events else 0.0
        self.units: dict[str, int] = {
            EVENTS: events - round(observed.llm_events * per_event),
            IDENTIFIED_EVENTS: round(observed.identified_events * per_event),
            FEATURE_FLAG_REQUESTS: round(
                (observed.flag_requests + observed.definition_polls * book.flag_poll_units) * per_event
            ),
            RECORDINGS: round(observed.recordings * per_event),
            LLM_EVENTS: round(observed.llm_events * per_event),
        }
        self._per_event = per_event

    def cost_nano(self, meter: str, units: int) -> int:
        """What units of a meter cost in the month, nano-USD; nothing known where the book has no price."""
        if not self._book.prices(meter):
            return 0
        if self._is_metered:
            return self._book.cumulative_nano(meter, units)
        return self._book.list_price_nano(meter) * units

    @property
    def total_nano(self) -> int:
        """What the month costs, nano-USD."""
        return sum(self.cost_nano(meter, units) for meter, units in self.units.items())

    def analysis(self) -> dict[str, Any]:
        """See :meth:`~.adapter.GenOpsPostHogAdapter.get_volume_discount_analysis`."""
        total = self.total_nano
        return {
            "projected_monthly_events": self._events,
            "projected_monthly_cost": float_usd_from_nano(total),
            "cost_per_event": float_usd_from_nano(total) / self._events if self._events else 0.0,
            "projected_usage": dict(self.units),
            "cost_breakdown": {
                meter: float_usd_from_nano(self.cost_nano(meter, units)) for meter, units in self.units.items()
            },
            "optimization_recommendations": self._recommendations(total),
            "free_tier_utilization": {
                meter: _percent(units, self._book.free_units(meter))
                for meter, units in self.units.items()
                if self._book.prices(meter) and self._book.free_units(meter)
            },
            "tier": self._tier(),
            "price_book": self._book.name,
        }

    def _tier(self) -> dict[str, Any]:
        """Where the month's events end among the tiers of their price. To know, and not to strive for."""
        if not self._book.prices(EVENTS):
            return {"current_tier": None, "next_tier": None, "events_needed": None, "cost_per_event_improvement": 0.0}
        rate = self._book.rate(EVENTS)
        here = rate.position(self.units[EVENTS])
        following = None if here.up_to is None else rate.position(here.up_to)
        improvement = 0 if following is None else max(0, here.price_nano - following.price_nano)
        return {
            "current_tier": _tier_name(here.above, here.up_to, here.price_nano),
            "next_tier": None
            if following is None
            else _tier_name(following.above, following.up_to, following.price_nano),
            "events_needed": None if here.up_to is None else here.up_to - self.units[EVENTS],
            "cost_per_event_improvement": float_usd_from_nano(improvement),
        }

    def _recommendations(self, total: int) -> list[dict[str, Any]]:
        tier = self._tier()
        made = []
        for saving in self._savings():
            before = self.cost_nano(saving.meter, saving.before)
            after = self.cost_nano(saving.meter, saving.after)
            saved = before - after
            if saved <= 0:
                continue
            made.append(
                {
                    "optimization_type": saving.kind,
                    "meter": saving.meter,
                    "potential_savings_per_month": float_usd_from_nano(saved),
                    "priority_score": min(100.0, 100.0 * saved / total) if total else 0.0,
                    "arithmetic": f"{saving.why}: {saving.before:,} {saving.meter} cost "
                    f"${float_usd_from_nano(before):,.2f}, {saving.after:,} cost ${float_usd_from_nano(after):,.2f}; "
                    f"${float_usd_from_nano(saved):,.2f} less",
                    "how": saving.how,
                    **tier,
                }
            )
        return sorted(made, key=lambda each: -each["potential_savings_per_month"])

    def _savings(self) -> list[_Saving]:
        observed, units, scale = self._observed, self.units, self._per_event
        requests = units[FEATURE_FLAG_REQUESTS]
        polls = round(observed.definition_polls * scale) * self._book.flag_poll_units
        local = min(requests, _DAYS * self._book.flag_poll_units)
        repeated = round(observed.repeated_flag_requests * scale)
        span_events = round(sum(observed.by_event.get(name, 0) for name in _SPAN_EVENTS) * scale)
        return [
            _Saving(
                "anonymous_events",
                IDENTIFIED_EVENTS,
                units[IDENTIFIED_EVENTS],
                0,
                "at most, if no event needs a person profile",
                "Pass is_identified=False for events whose person nobody looks up",
            ),
            _Saving(
                "event_sampling",
                EVENTS,
                units[EVENTS],
                round(units[EVENTS] * _kept_part(observed.by_event)),
                "with the rates of the guide for the events that were observed",
                'Use sampling="aggressive" (or the tag cost_optimization); conversions are always sent, and each event '
                "carries its rate",
            ),
            _Saving(
                "flag_local_evaluation",
                FEATURE_FLAG_REQUESTS,
                requests,
                local,
                "with definitions downloaded once a day instead of a request for each read",
                "Pass secret_key= so that the SDK evaluates flags itself",
            ),
            _Saving(
                "flag_caching",
                FEATURE_FLAG_REQUESTS,
                requests,
                requests - repeated,
                "without asking again what was asked the same day",
                "Read flags through CachedFeatureFlagEvaluator",
            ),
            _Saving(
                "fewer_flag_polls",
                FEATURE_FLAG_REQUESTS,
                requests,
                requests - max(0, polls - local),
                "with one download of definitions a day for all processes",
                "Share definitions between processes: FlagDefinitionCache",
            ),
            _Saving(
                "recording_sampling",
                RECORDINGS,
                units[RECORDINGS],
                units[RECORDINGS] // _KEPT_RECORDINGS,
                "with every second session recorded",
                "Set a sample rate for session replay in PostHog's project settings",
            ),
            _Saving(
                "spans_as_traces",
                LLM_EVENTS,
                units[LLM_EVENTS],
                units[LLM_EVENTS] - span_events,
                "with spans in the trace backend alone",
                "Leave $ai_span and $ai_trace out by a drop rule; generations and embeddings stay",
            ),
        ]


def _kept_part(by_event: Mapping[str, int]) -> float:
    """The part of these events that the guide's rates for high traffic keep."""
    sampling = PRESETS["aggressive"]
    total = sum(by_event.values())
    if sampling is None or not total:
        return 1.0
    return sum(count * sampling.rate(name) for name, count in by_event.items()) / total


def _percent(units: int, free: int) -> float:
    return min(100.0, 100.0 * units / free)


def _tier_name(above: int, up_to: int | None, price_nano: int) -> str:
    span = f"over {above:,}" if up_to is None else f"{above + 1:,} to {up_to:,}"
    return f"{span} at ${float_usd_from_nano(price_nano):.7f}".rstrip("0").rstrip(".")
