"""Instrumentation of the PostHog SDK: every call a span, every unit priced and counted, nothing the application
notices."""

from genops_otel_posthog.instrumentation.captures import CaptureAccount
from genops_otel_posthog.instrumentation.instrumentor import PostHogInstrumentor
from genops_otel_posthog.instrumentation.options import PostHogConfig

__all__ = ["CaptureAccount", "PostHogConfig", "PostHogInstrumentor"]
