"""Feature flags that have an answer when PostHog has none: PostHog, else a database, else the coded default."""

from __future__ import annotations

from genops_otel_posthog.flags.answer import EVERYBODY, Answer, Subject
from genops_otel_posthog.flags.chain import FlagChain
from genops_otel_posthog.flags.current import (
    current_chain,
    current_subject,
    get_flag_variant,
    get_flags,
    is_on,
    set_flag,
    use_chain,
)
from genops_otel_posthog.flags.database import FlagStore, FlagStoreError, open_flag_store
from genops_otel_posthog.flags.definitions import FlagDefinitionCache
from genops_otel_posthog.flags.evaluation_event import EvaluationEvents, OtelRecorder
from genops_otel_posthog.flags.gate import GateClosedError, gate
from genops_otel_posthog.flags.gates import (
    AGENT_DEBUGGER_UI,
    ENABLE_GUARDRAILS_TRACING,
    GATES,
    TRACK_MODEL_COSTS,
    VERSIONED_RAG_TRACKING,
    Gatekeeper,
    Gates,
)
from genops_otel_posthog.flags.recording import PostHogRecorder
from genops_otel_posthog.flags.row import FlagRow, Variant

__all__ = [
    "AGENT_DEBUGGER_UI",
    "ENABLE_GUARDRAILS_TRACING",
    "EVERYBODY",
    "GATES",
    "TRACK_MODEL_COSTS",
    "VERSIONED_RAG_TRACKING",
    "Answer",
    "EvaluationEvents",
    "FlagChain",
    "FlagDefinitionCache",
    "FlagRow",
    "FlagStore",
    "FlagStoreError",
    "GateClosedError",
    "Gatekeeper",
    "Gates",
    "OtelRecorder",
    "PostHogRecorder",
    "Subject",
    "Variant",
    "current_chain",
    "current_subject",
    "gate",
    "get_flag_variant",
    "get_flags",
    "is_on",
    "open_flag_store",
    "set_flag",
    "use_chain",
]
