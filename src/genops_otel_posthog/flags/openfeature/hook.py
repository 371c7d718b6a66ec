"""A hook that emits ``feature_flag.evaluation`` for each evaluation of an OpenFeature client, whatever its provider."""

from __future__ import annotations

from typing import Any

from openfeature.flag_evaluation import FlagEvaluationDetails
from openfeature.hook import Hook, HookContext, HookHints

from genops_otel_posthog import semconv
from genops_otel_posthog.flags.evaluation_event import Attribute, EvaluationEvents

SOURCE_METADATA = "genops.source"
"""Where our provider says in its metadata who answered."""


class EvaluationHook(Hook):
    """Emits OpenTelemetry's event of each evaluation.

    Args:
        events: How; log records by default.
        record_value: Whether the value is recorded where there is a variant, too.
        record_context_id: Whether the targeting key is recorded, which is personal data.
    """

    def __init__(
        self, events: EvaluationEvents | None = None, *, record_value: bool = False, record_context_id: bool = False
    ) -> None:
        self._events = events or EvaluationEvents()
        self._record_value = record_value
        self._record_context_id = record_context_id

    def finally_after(self, hook_context: HookContext, details: FlagEvaluationDetails[Any], hints: HookHints) -> None:
        """Emits the event; called by the OpenFeature client."""
        attributes: dict[str, Attribute] = {
            semconv.FEATURE_FLAG_KEY: details.flag_key,
            semconv.FEATURE_FLAG_RESULT_REASON: _word(details.reason or "UNKNOWN").lower(),
        }
        if hook_context.provider_metadata is not None:
            attributes[semconv.FEATURE_FLAG_PROVIDER_NAME] = hook_context.provider_metadata.name
        if details.variant is not None:
            attributes[semconv.FEATURE_FLAG_RESULT_VARIANT] = details.variant
        if self._record_value or details.variant is None:
            value = details.value
            attributes[semconv.FEATURE_FLAG_RESULT_VALUE] = value if isinstance(value, (bool, str)) else repr(value)
        metadata = details.flag_metadata
        for name, attribute in (
            ("version", semconv.FEATURE_FLAG_VERSION),
            ("flagSetId", semconv.FEATURE_FLAG_SET_ID),
            (SOURCE_METADATA, semconv.GENOPS_FLAG_SOURCE),
        ):
            if metadata.get(name) is not None:
                attributes[attribute] = str(metadata[name])
        context_id = metadata.get("contextId") or hook_context.evaluation_context.targeting_key
        if self._record_context_id and context_id:
            attributes[semconv.FEATURE_FLAG_CONTEXT_ID] = str(context_id)
        if details.error_code is not None:
            attributes[semconv.ERROR_TYPE] = _word(details.error_code).lower()
            if details.error_message:
                attributes[semconv.FEATURE_FLAG_ERROR_MESSAGE] = details.error_message
        self._events.emit(attributes)


def _word(name: object) -> str:
    # The text of a member of OpenFeature's enumerations differs by versions of Python.
    return str(getattr(name, "value", name))
