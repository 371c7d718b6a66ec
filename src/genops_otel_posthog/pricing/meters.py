"""The meters PostHog bills, under one name each.

PostHog has up to three names for the same meter: the product (``session_replay``), the key its billing API and quota
limits use (``recordings``) and the field of its usage reports. This package uses PostHog's usage key; the four meters
that have none are named here, after the product. Spans, metrics, price books and settings all speak these names.

Source of the mapping: PostHog/posthog ``products/signals/skills/signals-scout-billing/references/usage-types.md``
(product and usage key of every usage type) and ``ee/billing/quota_limiting.py`` (``QuotaResource``).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

EVENTS = "events"
IDENTIFIED_EVENTS = "identified_events"
GROUP_ANALYTICS = "group_analytics"
FEATURE_FLAG_REQUESTS = "feature_flag_requests"
EXCEPTIONS = "exceptions"
LLM_EVENTS = "llm_events"
SURVEY_RESPONSES = "survey_responses"
RECORDINGS = "recordings"
MOBILE_RECORDINGS = "mobile_recordings"
CDP_TRIGGER_EVENTS = "cdp_trigger_events"
ROWS_EXPORTED = "rows_exported"
ROWS_SYNCED = "rows_synced"
DATA_PIPELINES = "data_pipelines"
WORKFLOW_EMAILS = "workflow_emails"
WORKFLOW_DESTINATIONS = "workflow_destinations_dispatched"
LOGS_MB_INGESTED = "logs_mb_ingested"
LOGS_RETENTION_30D = "logs_retention_30d"
AI_CREDITS = "ai_credits"
REPLAY_VISION_CREDITS = "replay_vision_credits"
POSTHOG_CODE_CREDITS = "posthog_code_credits"
SIGNALS_CREDITS = "signals_credits"

MODEL_COST = "model_cost"
"""What calls of models have cost, in nano-USD. No meter of PostHog's, and in no price book: budgets count it beside
those, because the money is spent all the same."""


class Meter(NamedTuple):
    """One thing that PostHog counts and charges for.

    Attributes:
        name: The name this package uses everywhere.
        unit: What one unit is. A price book must state the same unit, so that nobody prices gigabytes where PostHog
            counts megabytes.
        product: PostHog's product key (``products[].type`` of its billing API).
        usage_key: PostHog's usage key (``products[].usage_key``); ``None`` where PostHog has none.
        counts: What makes a unit, for people.
    """

    name: str
    unit: str
    product: str
    usage_key: str | None
    counts: str


_ALL = (
    Meter(EVENTS, "event", "product_analytics", "events", "every product analytics event, identified or anonymous"),
    Meter(
        IDENTIFIED_EVENTS,
        "event",
        "enhanced_persons",
        None,
        "product analytics events processed with a person profile; charged on top of `events`",
    ),
    Meter(
        GROUP_ANALYTICS,
        "event",
        "group_analytics",
        None,
        "identified events of an organisation that has the group analytics add-on; charged on top of both",
    ),
    Meter(
        FEATURE_FLAG_REQUESTS,
        "request",
        "feature_flags",
        "feature_flag_requests",
        "remote flag requests; a download of flag definitions for local evaluation counts as ten",
    ),
    Meter(EXCEPTIONS, "exception", "error_tracking", "exceptions", "`$exception` events"),
    Meter(LLM_EVENTS, "event", "llm_analytics", "llm_events", "events whose name starts with `$ai_`"),
    Meter(SURVEY_RESPONSES, "response", "surveys", "survey_responses", "`survey sent` events, unique per survey"),
    Meter(RECORDINGS, "recording", "session_replay", "recordings", "web session recordings"),
    Meter(MOBILE_RECORDINGS, "recording", "mobile_replay", "mobile_recordings", "mobile session recordings"),
    Meter(
        CDP_TRIGGER_EVENTS, "event", "realtime_destinations", "cdp_trigger_events", "events that trigger a destination"
    ),
    Meter(ROWS_EXPORTED, "row", "batch_exports", "rows_exported", "rows of batch exports"),
    Meter(ROWS_SYNCED, "row", "data_warehouse", "rows_synced", "rows synced into the data warehouse"),
    Meter(
        DATA_PIPELINES,
        "event",
        "data_pipelines",
        None,
        "events sent through the data pipelines add-on that PostHog retired",
    ),
    Meter(WORKFLOW_EMAILS, "email", "workflows_emails", "workflow_emails", "e-mails sent by workflows"),
    Meter(
        WORKFLOW_DESTINATIONS,
        "dispatch",
        "workflows_destinations",
        "workflow_destinations_dispatched",
        "dispatches of workflows to destinations",
    ),
    Meter(
        LOGS_MB_INGESTED,
        "MB",
        "logs",
        "logs_mb_ingested",
        "megabytes (1,000,000 bytes) of logs and of OpenTelemetry traces, which share the meter",
    ),
    Meter(LOGS_RETENTION_30D, "MB", "logs_retention_30d", None, "megabytes of logs kept for 30 days"),
    Meter(AI_CREDITS, "credit", "posthog_ai", "ai_credits", "credits of PostHog AI"),
    Meter(REPLAY_VISION_CREDITS, "credit", "replay_vision", "replay_vision_credits", "credits of replay vision"),
    Meter(POSTHOG_CODE_CREDITS, "credit", "posthog_code_usage", "posthog_code_credits", "credits of PostHog Desktop"),
    Meter(
        SIGNALS_CREDITS,
        "credit",
        "inbox",
        "signals_credits",
        "credits of the inbox; a report that ships a pull request is 1,500",
    ),
)

METERS: Mapping[str, Meter] = MappingProxyType({meter.name: meter for meter in _ALL})
"""Every meter by name, in the order of PostHog's own price list."""

# Other names people type: PostHog's products and the short names of the calculator.
_OTHER_NAMES: Mapping[str, str] = MappingProxyType(
    {meter.product: meter.name for meter in _ALL if meter.product not in METERS}
    | {
        "flags": FEATURE_FLAG_REQUESTS,
        "identified": IDENTIFIED_EVENTS,
        "llm": LLM_EVENTS,
        "session_recordings": RECORDINGS,
        "workflow_destinations": WORKFLOW_DESTINATIONS,
    }
)


def unknown_meter(name: str) -> str:
    """The sentence that says that ``name`` is not a meter and which one was probably meant."""
    meant = _OTHER_NAMES.get(name.lower())
    if meant is None:
        close = difflib.get_close_matches(name.lower(), [*METERS, *_OTHER_NAMES], n=1)
        meant = _OTHER_NAMES.get(close[0], close[0]) if close else None
    if meant is not None:
        return f"{name!r} is not a meter; did you mean {meant}?"
    return f"{name!r} is not a meter; the meters are {', '.join(METERS)}"
