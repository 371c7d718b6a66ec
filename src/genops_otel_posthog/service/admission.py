"""May this be told of this person: the lists of event names, and the application's word about consent."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from genops_otel_posthog.acceptance import distinct_id_problem, event_name_problem
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
        if self.consent is None:
            return None
        try:
            agreed = self.consent(distinct_id, event)
        except Exception as error:  # nobody is tracked on the strength of a question that failed
            _warn("consent", f"The consent hook failed with {type(error).__name__}: such events are not sent")
            return "consent"
        return None if agreed is True else "consent"

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


def event_name(name: object) -> str:
    """The name of an event; what PostHog will change about it is one warning.

    Raises:
        GenOpsValidationError: PostHog would refuse it.
    """
    if name is None:
        raise GenOpsValidationError("the event has no name; give it one")
    problem = event_name_problem(name)
    if not isinstance(name, str) or not name.strip():
        raise GenOpsValidationError(problem or "the event name is blank; give the event a name")
    if problem is not None:
        _warn("event names", problem)
    return name


def person(distinct_id: object, *, required: bool) -> str | None:
    """A distinct id; what PostHog will change about it is one warning. Numbers are taken for their digits.

    Raises:
        GenOpsValidationError: It is missing though it is required, or PostHog would refuse it.
    """
    if distinct_id is None and not required:
        return None
    if isinstance(distinct_id, int) and not isinstance(distinct_id, bool):
        distinct_id = str(distinct_id)
    problem = distinct_id_problem(distinct_id)
    if not isinstance(distinct_id, str) or not distinct_id.strip():
        raise GenOpsValidationError(problem or "the distinct id is missing")
    if problem is not None:
        _warn("distinct ids", problem)
    return distinct_id
