"""What calls of an adapter tell about themselves: plain dictionaries, ready to be written as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from typing import Any, Final, TypedDict

_PLAIN: Final = frozenset({str, int, float, bool, type(None)})


class CaptureResult(TypedDict):
    """What became of an event.

    Attributes:
        event_name: Its name.
        distinct_id: Whose it is; what the SDK made up, where nobody was named; ``None`` when it was not sent.
        cost: Marginal cost at the organisation's usage of the month, US dollars.
        list_cost: The same at list price (first paid tier).
        governance_applied: Whether it has an owner and budgets were asked.
        timestamp: When it happened, ISO 8601 with the UTC offset.
        properties_count: How many properties the application gave.
        properties: Those, and what governance added to them.
        is_identified: Whether it is billed as identified, as far as a client can know.
        event_uuid: Its uuid; ``None`` when it was not sent.
        trace_id: The trace it belongs to, 32 hexadecimal digits; ``None`` outside of any.
        session_id: The governance session.
        blocked: Whether it was withheld, by a budget or for compliance.
        sampled: Whether it was left out of a sample.
        policy_result: ``allowed``, ``warning``, ``blocked`` or ``sampled``.
        policy_reason: Why, where that is not ``allowed``.
    """

    event_name: str
    distinct_id: str | None
    cost: float
    list_cost: float
    governance_applied: bool
    timestamp: str
    properties_count: int
    properties: dict[str, Any]
    is_identified: bool
    event_uuid: str | None
    trace_id: str | None
    session_id: str | None
    blocked: bool
    sampled: bool
    policy_result: str
    policy_reason: str | None


class FlagMetadata(TypedDict):
    """How a flag was answered.

    Attributes:
        flag_key: The flag.
        distinct_id: Whom for.
        cost: Marginal cost of asking PostHog, US dollars; 0 where it was not asked.
        list_cost: The same at list price.
        governance_applied: Whether it has an owner and budgets were asked.
        timestamp: When, ISO 8601 with the UTC offset.
        evaluation_context: How many properties were given.
        cached: Whether it is an answer from before.
        locally_evaluated: Whether it was answered without asking PostHog.
        variant: The variant, of a flag that has some.
        payload: The payload, decoded where it is JSON.
        reason: ``targeting_match``, ``split``, ``default``, ``unknown`` or ``error``.
        error: Why there is no answer: ``flag_not_found``, ``budget_exceeded``, ``attribution_missing`` (policy strict,
            and nobody is named), ``quota_limited``, ``disabled``, or the name of what went wrong; ``None`` when there
            is one.
        trace_id: The trace it belongs to.
        session_id: The governance session.
    """

    flag_key: str
    distinct_id: str
    cost: float
    list_cost: float
    governance_applied: bool
    timestamp: str
    evaluation_context: int
    cached: bool
    locally_evaluated: bool
    variant: str | None
    payload: Any
    reason: str
    error: str | None
    trace_id: str | None
    session_id: str | None


def json_ready(properties: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of properties that can be written as JSON. The SDK has the original in its queue, and its own ways."""
    return {name: value if type(value) in _PLAIN else _through_json(value) for name, value in properties.items()}


def _through_json(value: object) -> object:
    try:
        return json.loads(json.dumps(value, default=_text, skipkeys=True))
    except (ValueError, RecursionError):  # it holds itself
        return str(value)


def _text(value: object) -> str | list[object]:
    if isinstance(value, (set, frozenset)):
        return list(value)
    return value.isoformat() if isinstance(value, date) else str(value)
