"""What may leave: which events, which of their properties, whether the content of prompts and answers.

Applied when an event is made, before anything is written to disk or sent. Content is off unless it is switched on;
properties whose name says that they are secrets are left out unless the list is replaced.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import translate
from typing import Any, Final

from genops_otel_posthog.errors import GenOpsValidationError
from genops_otel_posthog.export.event import Event
from genops_otel_posthog.export.text import text

#: Names of properties that are left out unless ``deny_properties`` is given.
SECRET_NAMES: Final = (
    "*api_key*",
    "*apikey*",
    "*api-key*",
    "*password*",
    "*passwd*",
    "*secret*",
    "*authorization*",
    "*cookie*",
    "*access_token*",
    "*refresh_token*",
    "*private_key*",
)

# Without them an anonymous event would create a person, and would be billed as one; the other keeps the exporter's
# own address from being taken for the person's place.
_KEPT: Final = frozenset({"$process_person_profile", "$geoip_disable"})

_MOST_KNOWN: Final = 4_096
_MOST_KNOWN_KINDS: Final = 1_024

Redact = Callable[[Event], "Event | None"]


@dataclass(frozen=True)
class Privacy:
    """What may leave. Patterns are as in file names (``*``, ``?``) and do not care for upper and lower case.

    Attributes:
        content: Whether prompts, answers, and the inputs and outputs of tools become properties.
        allow_events: Names of the events that may be made; empty for all.
        deny_events: Names of the events that are not made.
        allow_properties: Properties that may leave, beside those of PostHog's own (``$…``) and of this package
            (``genops_…``); empty for all.
        deny_properties: Properties that do not leave, whoever made them.
        redact: Sees every event last and returns it, a changed one, or ``None`` to drop it. An error in it drops the
            event: better none than one that should have been changed.
    """

    content: bool = False
    allow_events: Iterable[str] = ()
    deny_events: Iterable[str] = ()
    allow_properties: Iterable[str] = ()
    deny_properties: Iterable[str] = SECRET_NAMES
    redact: Redact | None = None
    _tests: dict[str, re.Pattern[str] | None] = field(init=False, repr=False, compare=False, default_factory=dict)
    _known: dict[Any, str | None] = field(init=False, repr=False, compare=False, default_factory=dict)
    _leaving: dict[tuple[Any, ...], tuple[tuple[Any, str], ...] | None] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        for name in ("allow_events", "deny_events", "allow_properties", "deny_properties"):
            given = getattr(self, name)
            patterns = (given,) if isinstance(given, str) else tuple(given)
            for pattern in patterns:
                if not isinstance(pattern, str):
                    raise GenOpsValidationError(f"{name}: {pattern!r} is not a text")
            object.__setattr__(self, name, patterns)
            self._tests[name] = _any_of(patterns)
        if self.redact is not None and not callable(self.redact):
            raise GenOpsValidationError(f"redact: {self.redact!r} is not a function of an event")

    def admits(self, event: str) -> bool:
        """Whether an event of this name may be made."""
        allow, deny = self._tests["allow_events"], self._tests["deny_events"]
        if deny is not None and deny.match(event.lower()):
            return False
        return allow is None or allow.match(event.lower()) is not None

    def name_of(self, name: Any) -> str | None:
        """The name under which a property leaves, ``None`` when it does not.

        The same names come again and again, so answers are kept.
        """
        try:
            return self._known[name]
        except KeyError:
            pass
        clean = text(name)
        leaves = clean if self._leaves(clean) else None
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[name] = leaves
        return leaves

    def without_secrets(self, properties: Mapping[Any, Any]) -> dict[str, Any]:
        """The properties that leave, by the names under which they do: a mapping that may be the given one.

        Events of one kind have the same names, so what becomes of these is kept.
        """
        names = tuple(properties)
        try:
            leaving = self._leaving[names]
        except KeyError:
            leaving = self._leaving_of(names)
        if leaving is None and isinstance(properties, dict):
            return properties
        return {name: properties[given] for given, name in leaving or ((given, given) for given in names)}

    def _leaving_of(self, names: tuple[Any, ...]) -> tuple[tuple[Any, str], ...] | None:
        found = [(given, self.name_of(given)) for given in names]
        leaving = tuple((given, name) for given, name in found if name is not None)
        answer = None if all(type(given) is str and given == name for given, name in found) else leaving
        if len(self._leaving) >= _MOST_KNOWN_KINDS:
            self._leaving.clear()
        self._leaving[names] = answer
        return answer

    def _leaves(self, name: str) -> bool:
        lower = name.lower()
        allow, deny = self._tests["allow_properties"], self._tests["deny_properties"]
        if name in _KEPT:
            return True
        if deny is not None and deny.match(lower):
            return False
        return allow is None or lower.startswith(("$", "genops_")) or allow.match(lower) is not None


def _any_of(patterns: Iterable[str]) -> re.Pattern[str] | None:
    made = [translate(pattern.lower()) for pattern in patterns]
    return re.compile("|".join(made)) if made else None
