"""The calculator of the GenOps guide, with its method names, on any price book."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from decimal import Decimal
from operator import index

from genops_otel_posthog.money import usd_from_nano
from genops_otel_posthog.pricing.book import PriceBook
from genops_otel_posthog.pricing.estimate import with_identified
from genops_otel_posthog.pricing.meters import (
    EVENTS,
    FEATURE_FLAG_REQUESTS,
    IDENTIFIED_EVENTS,
    LLM_EVENTS,
    RECORDINGS,
)
from genops_otel_posthog.settings import DEFAULT_PRICE_BOOK

# The guide's names of the parts, and the meters they are.
_PARTS = {
    "events": EVENTS,
    "identified_events": IDENTIFIED_EVENTS,
    "feature_flags": FEATURE_FLAG_REQUESTS,
    "session_recordings": RECORDINGS,
    "llm_analytics": LLM_EVENTS,
}


@dataclass(frozen=True)
class PostHogEventCost:
    """What a month's usage costs.

    Attributes:
        event_count: All events, identified or not.
        identified_events: Those of them that are identified.
        feature_flag_requests: Flag requests.
        session_recordings: Web session recordings.
        llm_events: ``$ai_*`` events.
        total_cost: US dollars.
        cost_breakdown: US dollars by part: ``events``, ``identified_events`` (the surcharge), ``feature_flags``,
            ``session_recordings``, ``llm_analytics``.
        cost_per_event: ``total_cost`` by ``event_count``, US dollars; 0 without events.
        free_tier_usage: Units of the free tier that the usage takes up, by the same parts.
    """

    event_count: int
    identified_events: int
    feature_flag_requests: int
    session_recordings: int
    llm_events: int
    total_cost: Decimal
    cost_breakdown: dict[str, Decimal] = field(default_factory=dict)
    cost_per_event: Decimal = Decimal(0)
    free_tier_usage: dict[str, int] = field(default_factory=dict)


class PostHogCostCalculator:
    """Prices a month's usage, the free tier included.

    Args:
        price_book: A book, or the name or path of one for :meth:`PriceBook.load`; PostHog's newest published prices by
            default. ``"genops-guide"`` gives the figures of the GenOps guide.

    Raises:
        GenOpsConfigurationError: there is no such book.
    """

    def __init__(self, price_book: PriceBook | str | os.PathLike[str] | None = None) -> None:
        if price_book is None:
            price_book = DEFAULT_PRICE_BOOK
        self.price_book = price_book if isinstance(price_book, PriceBook) else PriceBook.load(price_book)

    def calculate_event_cost(self, event_count: int, is_identified: bool = False) -> Decimal:
        """Cost of a month's events in US dollars.

        Args:
            event_count: Number of events.
            is_identified: Whether all of them are identified; the surcharge then comes on top of the price of the
                events.

        Raises:
            ValueError: the number is negative.
            TypeError: it is not a whole number.
            GenOpsConfigurationError: the book has no price for it.
        """
        cost = self._cost(EVENTS, event_count)
        return cost + self._cost(IDENTIFIED_EVENTS, event_count) if is_identified else cost

    def calculate_feature_flag_cost(self, request_count: int) -> Decimal:
        """Cost of a month's flag requests in US dollars; raises as :meth:`calculate_event_cost`."""
        return self._cost(FEATURE_FLAG_REQUESTS, request_count)

    def calculate_session_recording_cost(self, recording_count: int) -> Decimal:
        """Cost of a month's web session recordings in US dollars; raises as :meth:`calculate_event_cost`."""
        return self._cost(RECORDINGS, recording_count)

    def calculate_llm_analytics_cost(self, llm_event_count: int) -> Decimal:
        """Cost of a month's ``$ai_*`` events in US dollars; raises as :meth:`calculate_event_cost`."""
        return self._cost(LLM_EVENTS, llm_event_count)

    def calculate_session_cost(
        self,
        event_count: int | None = None,
        identified_events: int | None = None,
        feature_flag_requests: int | None = None,
        session_recordings: int | None = None,
        llm_events: int | None = None,
        *,
        events: int | None = None,
        identified: int | None = None,
        flags: int | None = None,
        recordings: int | None = None,
        llm: int | None = None,
    ) -> PostHogEventCost:
        """Cost of a month's usage of several products.

        Identified events are a part of all events: ``event_count`` is priced once, and the surcharge of
        ``identified_events`` comes on top. With identified events only, they are all the events there are.

        Args:
            event_count: All events; also ``events``.
            identified_events: Those that are identified; also ``identified``.
            feature_flag_requests: Flag requests; also ``flags``.
            session_recordings: Web session recordings; also ``recordings``.
            llm_events: ``$ai_*`` events; also ``llm``.
            events: Short for ``event_count``.
            identified: Short for ``identified_events``.
            flags: Short for ``feature_flag_requests``.
            recordings: Short for ``session_recordings``.
            llm: Short for ``llm_events``.

        Raises:
            TypeError: a number and its short form are both given and differ, or a number is not whole.
            ValueError: a number is negative, or more events are identified than there are.
            GenOpsConfigurationError: the book has no price for something that was used.
        """
        surcharged = _either("identified_events", identified_events, "identified", identified)
        units = {
            "events": with_identified(_either("event_count", event_count, "events", events), surcharged),
            "identified_events": surcharged,
            "feature_flags": _either("feature_flag_requests", feature_flag_requests, "flags", flags),
            "session_recordings": _either("session_recordings", session_recordings, "recordings", recordings),
            "llm_analytics": _either("llm_events", llm_events, "llm", llm),
        }
        breakdown = {part: self._cost(meter, units[part]) for part, meter in _PARTS.items()}
        total = sum(breakdown.values(), Decimal(0))
        return PostHogEventCost(
            event_count=units["events"],
            identified_events=units["identified_events"],
            feature_flag_requests=units["feature_flags"],
            session_recordings=units["session_recordings"],
            llm_events=units["llm_analytics"],
            total_cost=total,
            cost_breakdown=breakdown,
            cost_per_event=total / units["events"] if units["events"] else Decimal(0),
            free_tier_usage={part: self._free_units_of(meter, units[part]) for part, meter in _PARTS.items()},
        )

    def _cost(self, meter: str, units: int) -> Decimal:
        units = index(units)
        # Nothing of a meter costs nothing, also by a book that does not know the meter.
        return usd_from_nano(self.price_book.cumulative_nano(meter, units)) if units else Decimal(0)

    def _free_units_of(self, meter: str, units: int) -> int:
        return min(units, self.price_book.free_units(meter)) if units else 0


def _either(name: str, value: int | None, short_name: str, short_value: int | None) -> int:
    if value is not None and short_value is not None and value != short_value:
        raise TypeError(
            f"{name}={value} and {short_name}={short_value} are the same thing and differ; give one of them"
        )
    given = value if value is not None else short_value
    units = 0 if given is None else index(given)
    if units < 0:
        raise ValueError(f"{name} is {units:,}, and a number of units is never negative")
    return units
