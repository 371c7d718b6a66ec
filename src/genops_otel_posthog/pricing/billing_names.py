"""What PostHog's billing API calls the meters: three vocabularies, of which none follows from another.

Products (``products[].type``) are in :mod:`.meters`; here are the keys of ``usage_summary`` and the usage types of the
daily series.

Source: PostHog/posthog, ``products/signals/skills/signals-scout-billing/references/usage-types.md`` and
``products/billing/skills/investigating-billing-costs/references/usage-data-shape.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from genops_otel_posthog.pricing import meters
from genops_otel_posthog.pricing.meters import METERS

METER_OF_PRODUCT: Mapping[str, str] = MappingProxyType({meter.product: meter.name for meter in METERS.values()})
"""``product_analytics`` -> ``events``."""

METER_OF_SUMMARY_KEY: Mapping[str, str] = MappingProxyType(
    {meter.usage_key: meter.name for meter in METERS.values() if meter.usage_key is not None}
    | {"enhanced_persons_events": meters.IDENTIFIED_EVENTS, "workflow_destinations": meters.WORKFLOW_DESTINATIONS}
)
"""``recordings`` -> ``recordings``, ``enhanced_persons_events`` -> ``identified_events``."""

METER_OF_USAGE_TYPE: Mapping[str, str] = MappingProxyType(
    {
        "event_count_in_period": meters.EVENTS,
        "enhanced_persons_event_count_in_period": meters.IDENTIFIED_EVENTS,
        "group_analytics": meters.GROUP_ANALYTICS,
        "data_pipelines": meters.DATA_PIPELINES,
        "recording_count_in_period": meters.RECORDINGS,
        "mobile_recording_count_in_period": meters.MOBILE_RECORDINGS,
        "billable_feature_flag_requests_count_in_period": meters.FEATURE_FLAG_REQUESTS,
        "exceptions_captured_in_period": meters.EXCEPTIONS,
        "survey_responses_count_in_period": meters.SURVEY_RESPONSES,
        "ai_event_count_in_period": meters.LLM_EVENTS,
        "ai_credits_used_in_period": meters.AI_CREDITS,
        "rows_synced_in_period": meters.ROWS_SYNCED,
        "rows_exported_in_period": meters.ROWS_EXPORTED,
        "cdp_billable_invocations_in_period": meters.CDP_TRIGGER_EVENTS,
        "workflow_emails_sent_in_period": meters.WORKFLOW_EMAILS,
        "workflow_billable_invocations_in_period": meters.WORKFLOW_DESTINATIONS,
        "logs_mb_in_period": meters.LOGS_MB_INGESTED,
        "logs_retention_30d_mb_in_period": meters.LOGS_RETENTION_30D,
        "replay_vision_credits_used_in_period": meters.REPLAY_VISION_CREDITS,
        "posthog_code_credits_used_in_period": meters.POSTHOG_CODE_CREDITS,
        "signals_credits_used_in_period": meters.SIGNALS_CREDITS,
    }
)
"""``event_count_in_period`` -> ``events``."""

FREE_OF_CHARGE = frozenset(
    {"historical_rows_synced", "free_historical_rows_synced_in_period", "data_warehouse_historical"}
)
"""What PostHog reports beside its meters and does not charge for."""
