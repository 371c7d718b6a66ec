"""Which spans become which events: the rules, the engine that applies them, the built-in ones."""

from __future__ import annotations

from genops_otel_posthog.export.rules.builtin import FAMILIES, builtin_rules
from genops_otel_posthog.export.rules.conversion import Conversion, LeftOut, Made, Reason
from genops_otel_posthog.export.rules.engine import Rules
from genops_otel_posthog.export.rules.rule import PRESENT, EventDraft, EventTemplate, Skip, SpanRule, one_of, prefix
from genops_otel_posthog.export.rules.view import SpanView

__all__ = [
    "FAMILIES",
    "PRESENT",
    "Conversion",
    "EventDraft",
    "EventTemplate",
    "LeftOut",
    "Made",
    "Reason",
    "Rules",
    "Skip",
    "SpanRule",
    "SpanView",
    "builtin_rules",
    "one_of",
    "prefix",
]
