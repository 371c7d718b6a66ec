"""Compliance for events that do not go through an adapter: the SDK's bare captures, and spans that become events.

Both are hooks of somebody else, called last before an event is queued or written to disk. Neither raises: some versions
of the SDK would then send the event as it was. What cannot be judged is withheld.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from genops_otel_posthog.adapter.compliance.compliance import Compliance
from genops_otel_posthog.adapter.compliance.consent_gate import Withheld
from genops_otel_posthog.adapter.compliance.passing import is_admitted
from genops_otel_posthog.adapter.compliance.recording import warn_once

if TYPE_CHECKING:
    from genops_otel_posthog.export.event import Event

_BESIDE_PROPERTIES: Final = ("$set", "$set_once", "$group_set")


def before_send(compliance: Compliance) -> Callable[[dict[str, Any]], dict[str, Any] | None]:
    """A ``before_send`` for PostHog's SDK, so that ``posthog.capture()`` and the others are governed too.

    Events of an adapter pass it as they are: they have been admitted. Flag requests do not pass it: read flags of
    people by the adapter.

    Args:
        compliance: What is asked.

    Returns:
        A function that takes the SDK's message and returns what is left of it, or ``None`` to drop it.

    Example:
        >>> posthog.before_send = before_send(adapter.compliance)  # doctest: +SKIP
    """

    def hook(message: dict[str, Any]) -> dict[str, Any] | None:
        if is_admitted():
            return message
        try:
            return _judged(compliance, message)
        except Exception as error:
            _say(compliance, error)
            return None

    return hook


def redact(compliance: Compliance) -> Callable[[Event], Event | None]:
    """A ``redact`` for :class:`~genops_otel_posthog.export.privacy.Privacy`, for events that spans become.

    Args:
        compliance: What is asked.

    Returns:
        A function that takes an event and returns what is left of it, or ``None`` to drop it.
    """

    def hook(event: Event) -> Event | None:
        try:
            answer = compliance.admit("capture", event.name, event.distinct_id, event.properties)
            if isinstance(answer, Withheld):
                return None
            compliance.record(
                "capture", "written", distinct_id=answer.distinct_id, event=event.name, event_uuid=event.uuid
            )
            return replace(event, distinct_id=answer.distinct_id or event.distinct_id, properties=answer.properties)
        except Exception as error:
            _say(compliance, error)
            return None

    return hook


def _judged(compliance: Compliance, message: dict[str, Any]) -> dict[str, Any] | None:
    name, person = str(message["event"]), message.get("distinct_id")
    answer = compliance.admit("capture", name, None if person is None else str(person), message.get("properties") or {})
    if isinstance(answer, Withheld):
        return None
    left = {**message, "properties": answer.properties}
    if answer.distinct_id is not None:
        left["distinct_id"] = answer.distinct_id
    for part in _BESIDE_PROPERTIES:
        if isinstance(left.get(part), Mapping):
            left[part] = compliance.cleaned(left[part])
    compliance.record(
        "capture", "sent", distinct_id=answer.distinct_id, event=name, event_uuid=_text(message.get("uuid"))
    )
    return left


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _say(compliance: Compliance, error: Exception) -> None:
    compliance.count("withheld.error")
    warn_once("hooks", f"An event could not be judged, and is not sent: {type(error).__name__}.")
