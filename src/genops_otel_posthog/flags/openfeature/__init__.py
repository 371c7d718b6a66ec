"""OpenFeature: the official provider of PostHog with a database behind it, and a hook that emits evaluations.

Needs the extra ``openfeature``.
"""

from genops_otel_posthog.flags.openfeature.hook import EvaluationHook
from genops_otel_posthog.flags.openfeature.provider import GenOpsFallbackProvider

__all__ = ["EvaluationHook", "GenOpsFallbackProvider"]
