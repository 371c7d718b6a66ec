"""What a flag read answered, in the words of OpenTelemetry's feature flag conventions.

https://opentelemetry.io/docs/specs/semconv/feature-flags/feature-flags-events/
"""

from __future__ import annotations

from collections.abc import Mapping, Sized
from typing import Any

from genops_otel_posthog import semconv


def flag_result_attributes(result: Any, asked_posthog: bool) -> dict[str, Any]:
    """The answer about one flag.

    Args:
        result: The SDK's ``FeatureFlagResult``, or ``None`` when it has no answer.
        asked_posthog: Whether the SDK waited for PostHog, so that no answer means a failure.
    """
    if result is None:
        return {semconv.FEATURE_FLAG_RESULT_REASON: "error" if asked_posthog else "unknown"}
    variant = getattr(result, "variant", None)
    if variant is not None:
        return {semconv.FEATURE_FLAG_RESULT_VARIANT: variant, semconv.FEATURE_FLAG_RESULT_REASON: "split"}
    enabled = bool(getattr(result, "enabled", False))
    return {
        semconv.FEATURE_FLAG_RESULT_VALUE: enabled,
        semconv.FEATURE_FLAG_RESULT_REASON: "targeting_match" if enabled else "default",
    }


def flags_result_attributes(result: Any, _: bool) -> dict[str, Any]:
    """How many flags an answer about several holds.

    Args:
        result: A snapshot of the SDK (``FeatureFlagEvaluations``), a response of the server, or a mapping of flags.
    """
    if isinstance(result, Mapping):
        flags = result.get("flags", result.get("featureFlags", result))
    else:
        flags = getattr(result, "keys", None)
    return {semconv.POSTHOG_FLAGS_COUNT: len(flags)} if isinstance(flags, Sized) else {}
