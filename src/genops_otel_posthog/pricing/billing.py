"""PostHog's billing rules: which call is counted by which meter, and how many units it is.

Pure functions without prices, written down from PostHog's own code and documentation:

* events: PostHog/posthog ``posthog/tasks/usage_report.py`` (``BILLABLE_EVENT_EXCLUDED_EVENTS``, the queries for
  billable and for enhanced-persons events) and its usage-key resolver, which agree;
* groups: https://posthog.com/docs/product-analytics/group-analytics#billing;
* flags: PostHog/posthog ``docs/internal/feature-flags/billing.md`` and
  https://posthog.com/docs/feature-flags/cutting-costs.

What a client cannot know is assumed in the direction that does not understate the bill, and said in the docstring.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from genops_otel_posthog.pricing.meters import (
    EVENTS,
    EXCEPTIONS,
    FEATURE_FLAG_REQUESTS,
    GROUP_ANALYTICS,
    IDENTIFIED_EVENTS,
    LLM_EVENTS,
    SURVEY_RESPONSES,
)

if TYPE_CHECKING:
    from genops_otel_posthog.pricing.book import PriceBook


class Charge(NamedTuple):
    """Units that one call adds to one meter.

    Attributes:
        meter: Name of the meter, one of :data:`~genops_otel_posthog.pricing.meters.METERS`.
        units: Units added, at least 1.
    """

    meter: str
    units: int


AI_EVENT_PREFIX = "$ai_"
"""Events with this prefix are AI observability events and not product analytics events (``AI_EVENT_NAME_PREFIX``)."""

UNBILLED_EVENTS: frozenset[str] = frozenset(
    {
        "$feature_flag_called",  # flags are billed by request, not by this event
        "$experiment_exposure",
        "survey shown",
        "survey dismissed",
        "$llm_prompt_fetched",
        "$conversations_loaded",
        "$conversations_widget_loaded",
        "$conversations_message_sent",
        "$conversations_user_identified",
        "$conversations_restore_link_requested",
        "$conversations_widget_state_changed",
        "$conversations_back_to_tickets",
        "$$heatmap",  # kept in a table of its own, measured but not billed
    }
)
"""Events that no meter counts."""

ALWAYS_IDENTIFIED: frozenset[str] = frozenset({"$identify", "$create_alias", "$merge_dangerously", "$groupidentify"})
"""Events about a person or a group. Sent as anonymous they are dropped by PostHog (ingestion warning
``invalid_event_when_process_person_profile_is_false``), so one that counts is identified."""

FLAG_REQUEST: tuple[Charge, ...] = (Charge(FEATURE_FLAG_REQUESTS, 1),)
"""A remote flag request, however many flags it evaluates. PostHog does not count it for a project whose only active
flags target surveys or product tours; the client cannot see that."""

_NOTHING: tuple[Charge, ...] = ()
_ANONYMOUS = (Charge(EVENTS, 1),)
_IDENTIFIED = (*_ANONYMOUS, Charge(IDENTIFIED_EVENTS, 1))
_IDENTIFIED_WITH_GROUPS = (*_IDENTIFIED, Charge(GROUP_ANALYTICS, 1))
_LLM = (Charge(LLM_EVENTS, 1),)

# Event names with a rule of their own; everything else is a product analytics event.
_BY_NAME: dict[str, tuple[Charge, ...]] = {
    **dict.fromkeys(UNBILLED_EVENTS, _NOTHING),
    "$exception": (Charge(EXCEPTIONS, 1),),
    "survey sent": (Charge(SURVEY_RESPONSES, 1),),
}
_rule_of = _BY_NAME.get


def charges_for_event(
    name: str, *, identified: bool, grouped: bool = False, group_analytics: bool = False
) -> tuple[Charge, ...]:
    """What PostHog counts for one captured event.

    Args:
        name: The event's name.
        identified: Whether the event is processed with a person profile, see :func:`is_identified`. Ignored where
            PostHog ignores it: AI events, exceptions and survey responses are never counted as identified, and the
            events of :data:`ALWAYS_IDENTIFIED` always are.
        grouped: Whether the event carries ``$groups``. It does not change the bill: the add-on is charged for "all
            identified events, not just events with group properties attached". Accepted so that a caller states what it
            knows and this function alone knows the rule.
        group_analytics: Whether the organisation has the group analytics add-on.

    Returns:
        The charges, the primary meter first; empty when PostHog does not bill the event. The tuples are shared, so that
        a call allocates nothing.

    An anonymous event of a person that already has a profile is upgraded to an identified one by PostHog, a duplicate
    is not billed, a response to a product tour's survey is free: the client sees none of the three.
    """
    charges = _rule_of(name)
    if charges is not None:
        return charges
    if name.startswith(AI_EVENT_PREFIX):
        return _LLM
    if not identified and name not in ALWAYS_IDENTIFIED:
        return _ANONYMOUS
    return _IDENTIFIED_WITH_GROUPS if group_analytics else _IDENTIFIED


def definitions_poll(book: PriceBook, not_modified: bool) -> tuple[Charge, ...]:
    """What PostHog counts for one download of flag definitions.

    Args:
        book: The price book, which carries the figures because they have changed before.
        not_modified: Whether the server answered 304 (the definitions the client already had).

    Returns:
        Flag requests: 10 for an answer with definitions and 0 for a 304 in today's book.
    """
    units = book.flag_poll_not_modified_units if not_modified else book.flag_poll_units
    return (Charge(FEATURE_FLAG_REQUESTS, units),) if units else _NOTHING


def is_identified(properties: Mapping[str, object] | None) -> bool:
    """Whether PostHog processes an event with these properties as identified.

    Only the boolean ``False`` of ``$process_person_profile`` makes an event anonymous; for any other value PostHog
    warns (``invalid_process_person_profile``) and keeps the default, which is identified.
    """
    return properties is None or properties.get("$process_person_profile") is not False
