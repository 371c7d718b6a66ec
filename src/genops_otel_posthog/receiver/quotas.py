"""What PostHog drops once a billing limit is reached, and how little of it the sender is told.

Sources: PostHog/posthog on GitHub, ``rust/capture/src/quota_limiters.rs`` (v0) and
``rust/capture/src/v1/quota_limiter_shim.rs`` (v1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from genops_otel_posthog.receiver.judgement import JudgedEvent, RequestRefused

RESOURCES = frozenset({"events", "exceptions", "survey_responses", "llm_events", "feature_flag_requests"})
"""Billing limits that ingestion and flags know."""

_SURVEY_EVENTS = frozenset({"survey sent", "survey shown", "survey dismissed"})


def _is_exception(event: JudgedEvent) -> bool:
    return event.event == "$exception"


def _is_survey(event: JudgedEvent) -> bool:
    return event.event in _SURVEY_EVENTS and "$product_tour_id" not in event.properties


def _is_llm(event: JudgedEvent) -> bool:
    return event.event.startswith("$ai_")


_SCOPED: Sequence[tuple[str, Callable[[JudgedEvent], Any]]] = (
    ("exceptions", _is_exception),
    ("survey_responses", _is_survey),
    ("llm_events", _is_llm),
)


def drop_over_quota_v0(events: Sequence[JudgedEvent], over_quota: frozenset[str]) -> None:
    """Mark what v0 drops. The answer stays 200: v0 never tells.

    A scoped limit drops the events of its kind. The limit on ``events`` drops the rest, but spares what has a limit of
    its own that is not reached.
    """
    if not over_quota:
        return
    for event in events:
        scope = next((resource for resource, belongs in _SCOPED if belongs(event)), "events")
        if event.drop is None and scope in over_quota:
            event.drop = f"{scope}_over_quota"


def drop_over_quota_v1(events: Sequence[JudgedEvent], over_quota: frozenset[str]) -> None:
    """Mark what v1 drops and tells for each event.

    Raises:
        RequestRefused: 402 ``billing_limit_exceeded``: the limit on ``events`` is reached, which spares nothing, or
            no event is left.
    """
    exceeded = RequestRefused(402, "billing_limit_exceeded", "billing limit exceeded")
    if "events" in over_quota:
        raise exceeded
    for resource, belongs in _SCOPED:
        if resource not in over_quota:
            continue
        for event in events:
            if event.drop is None and belongs(event):
                event.drop, event.drop_is_answered = f"{resource}_over_quota", True
    if over_quota and all(event.drop is not None and event.drop_is_answered for event in events):
        raise exceeded
