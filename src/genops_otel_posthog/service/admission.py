"""May this be told of this person: the lists of event names, and the application's word about consent."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from genops_otel_posthog.acceptance import distinct_id_problem, event_name_problem
from genops_otel_posthog.adapter import arguments
from genops_otel_posthog.errors import GenOpsValidationError
from genops_otel_posthog.export.privacy import SECRET_NAMES, Privacy
from genops_otel_posthog.export.rules.plain import Plain
from genops_otel_posthog.settings import Settings
from genops_otel_posthog.settings.once import WarnOnce

_warn = WarnOnce(logging.getLogger(__name__))

Consent = Callable[["str | None", str], bool]
"""Whether a person (distinct id, ``None`` for nobody in particular) has agreed to an event of this name."""

_READ: Final = (
    "GENOPS_EXPORT_ALLOW_EVENTS",
    "GENOPS_EXPORT_DENY_EVENTS",
    "GENOPS_EXPORT_ALLOW_PROPERTIES",
    "GENOPS_EXPORT_DENY_PROPERTIES",
)


def privacy_from_environment(environ: Mapping[str, str]) -> Privacy:
    """The lists of events and properties, the same as for events that spans become.

    Raises:
        GenOpsConfigurationError: One cannot be used.
    """
    settings = Settings.from_environ({name: value for name in _READ if (value := environ.get(name, "").strip())})
    return Privacy(
        allow_events=settings.allow_events or (),
        deny_events=settings.deny_events,
        allow_properties=settings.allow_properties or (),
        deny_properties=SECRET_NAMES if settings.deny_properties is None else settings.deny_properties,
    )


class Admission:
    """What stands between a call and the SDK.

    Args:
        privacy: The lists.
        consent: The application's word; ``None`` where nobody needs to be asked.
    """

    def __init__(self, privacy: Privacy, consent: Consent | None) -> None:
        self._privacy = privacy
        self.consent = consent

    def withheld(self, event: str, distinct_id: str | None) -> str | None:
        """Why an event is not sent: ``event_list`` or ``consent``; ``None`` when it is."""
        if not self._privacy.admits(event):
            return "event_list"
        return None if has_agreed(self.consent, distinct_id, event) else "consent"

    def properties(self, given: Mapping[str, Any] | None) -> dict[str, Any]:
        """The properties that may leave, as JSON that PostHog takes: repaired, and cut to what an event may weigh.

        Raises:
            GenOpsValidationError: They are no mapping.
        """
        if given is None:
            return {}
        if not isinstance(given, Mapping):
            raise GenOpsValidationError(f"properties are a dictionary, not {type(given).__name__}")
        properties, cut = Plain().properties(given, self._privacy.name_of)
        if cut:
            _warn("sizes", f"Properties were cut, because an event holds at most 900,000 bytes: {', '.join(cut)[:200]}")
        return properties


def has_agreed(consent: Consent | None, distinct_id: str | None, event: str) -> bool:
    """Whether a person has agreed to an event; everybody has where nobody needs to be asked."""
    if consent is None:
        return True
    try:
        return consent(distinct_id, event) is True
    except Exception as error:  # nobody is tracked on the strength of a question that failed
        _warn("consent", f"The consent hook failed with {type(error).__name__}: such events are not sent")
        return False


def event_name(given: object) -> str:
    """The name of an event; what PostHog will change about it is one warning.

    Raises:
        GenOpsValidationError: It is no text, or blank.
    """
    name = arguments.event_name(given)
    problem = event_name_problem(name)
    if problem is not None:
        _warn("event names", problem)
    return name


def person(given: object, *, required: bool) -> str | None:
    """A distinct id; what PostHog will change about it is one warning.

    Raises:
        GenOpsValidationError: It is blank, of another type, or missing though it is required.
    """
    distinct_id = arguments.distinct_id(given)
    is_blank = given is not None if distinct_id is None else not distinct_id.strip()
    if is_blank or (required and distinct_id is None):
        raise GenOpsValidationError("the distinct id is missing or blank; pass the id of the user")
    problem = None if distinct_id is None else distinct_id_problem(distinct_id)
    if problem is not None:
        _warn("distinct ids", problem)
    return distinct_id
