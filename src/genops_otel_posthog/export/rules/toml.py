"""Rules from a TOML file. A mistake is refused with the file, the rule, the key and the value it stands in."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from genops_otel_posthog.errors import GenOpsConfigurationError, GenOpsValidationError
from genops_otel_posthog.export.rules.rule import (
    PRESENT,
    Condition,
    EventTemplate,
    OneOf,
    Prefix,
    SpanRule,
    nearest,
)

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_RULE_KEYS: Final = ("id", "match", "event", "drop", "final", "enabled", "gate")
_MATCH_KEYS: Final = ("scope", "span_name", "kind", "status", "attributes", "any_attribute", "span_event")
_EVENT_KEYS: Final = (
    "name",
    "distinct_id",
    "person_profile",
    "groups",
    "properties",
    "constants",
    "copy",
    "sample_rate",
    "importance",
    "timestamp",
)
_CONDITIONS: Final = ("present", "one_of", "prefix")
_SWITCHES: Final = ("drop", "final", "enabled", "person_profile")
_TEXTS: Final = ("id", "name", "scope", "span_name", "gate", "importance", "timestamp")
_TABLES: Final = ("match", "attributes", "groups", "properties", "constants")
_TEXTS_OR_LISTS: Final = ("kind", "status", "any_attribute", "span_event", "distinct_id", "copy")


def load_rules(path: str | Path) -> tuple[SpanRule, ...]:
    """The rules of a file, in its order.

    Args:
        path: A TOML file with tables ``[[rule]]``; their keys are the attributes of :class:`SpanRule`, those that a
            span is matched by below ``match``, and one table ``[[rule.event]]`` per event.

    Raises:
        GenOpsConfigurationError: The file cannot be read, or says something that is not a rule.
    """
    file = Path(path)
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise GenOpsConfigurationError(
            f"the rules in {file} cannot be read: {error.strerror or error}; check the path in GENOPS_SPAN_RULES"
        ) from error
    except UnicodeDecodeError as error:
        raise GenOpsConfigurationError(
            f"the rules in {file} cannot be read: the file is not UTF-8 ({error})"
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise GenOpsConfigurationError(f"the rules in {file} are not TOML: {error}") from error
    return _Reader(file).rules(document)


class _Reader:
    def __init__(self, file: Path) -> None:
        self._file = file

    def rules(self, document: Mapping[str, Any]) -> tuple[SpanRule, ...]:
        self._known("the file", document, ("rule",))
        given = document.get("rule", [])
        if not isinstance(given, list):
            raise self._error("the file", "rule", given, "write [[rule]], with two brackets, for each rule")
        rules = [self._rule(number, item) for number, item in enumerate(given, 1)]
        seen: set[str] = set()
        for rule in rules:
            if rule.id in seen:
                raise self._error(
                    f"rule {rule.id!r}", "id", rule.id, "an earlier rule of this file has it; choose another"
                )
            seen.add(rule.id)
        return tuple(rules)

    def _rule(self, number: int, given: object) -> SpanRule:
        place = f"rule {number}"
        if not isinstance(given, Mapping):
            raise self._error(place, "rule", given, "write [[rule]] for each rule")
        if isinstance(given.get("id"), str):
            place = f"rule {given['id']!r}"
        self._known(place, given, _RULE_KEYS)
        self._types(place, given)
        if "id" not in given:
            raise GenOpsConfigurationError(f"{self._file}: {place} has no id; give it a name of its own")
        match = given.get("match", {})
        self._known(f"{place}, match", match, _MATCH_KEYS)
        self._types(f"{place}, match", match)
        matched = {name: value for name, value in match.items() if name != "attributes"}
        attributes = {
            name: self._condition(f"{place}, match.attributes", name, value)
            for name, value in _flat(match.get("attributes", {}))
        }
        events = given.get("event", [])
        if not isinstance(events, list):
            raise self._error(place, "event", events, "write [[rule.event]], with two brackets, for each event")
        templates = [self._event(f"{place}, event {position}", event) for position, event in enumerate(events, 1)]
        rest = {name: given[name] for name in ("drop", "final", "enabled", "gate") if name in given}
        try:
            return SpanRule(given["id"], **matched, attributes=attributes, events=templates, **rest)
        except GenOpsValidationError as error:
            raise GenOpsConfigurationError(f"{self._file}: {place}: {error}") from error

    def _event(self, place: str, given: object) -> EventTemplate:
        if not isinstance(given, Mapping):
            raise self._error(place, "event", given, "write [[rule.event]] for each event")
        self._known(place, given, _EVENT_KEYS)
        self._types(place, given)
        if "name" not in given:
            raise GenOpsConfigurationError(f"{self._file}: {place} has no name; give the name of the event")
        values = dict(given)
        for table in ("groups", "properties"):
            if table in values:
                values[table] = dict(_flat(values[table]))
        try:
            return EventTemplate(**values)
        except GenOpsValidationError as error:
            raise GenOpsConfigurationError(f"{self._file}: {place}: {error}") from error

    def _condition(self, place: str, name: str, value: object) -> Condition:
        if isinstance(value, (str, int, float, bool)):
            return value
        if isinstance(value, list):
            return OneOf(tuple(value))
        if isinstance(value, Mapping) and len(value) == 1:
            ((kind, wanted),) = value.items()
            if kind == "present" and wanted is True:
                return PRESENT
            if kind == "one_of" and isinstance(wanted, list):
                return OneOf(tuple(wanted))
            if kind == "prefix" and isinstance(wanted, str):
                return Prefix(wanted)
        raise self._error(
            place,
            name,
            value,
            "a condition is a value, a list, { present = true }, { one_of = [...] } or { prefix = '...' }",
        )

    def _known(self, place: str, given: Mapping[str, Any], keys: Iterable[str]) -> None:
        for key in given:
            if key not in keys:
                raise GenOpsConfigurationError(
                    f"{self._file}: {place} has the key {key!r}, which does not exist{nearest(key, keys)} "
                    f"The keys are {', '.join(keys)}."
                )

    def _types(self, place: str, given: Mapping[str, Any]) -> None:
        for key, value in given.items():
            if key in _SWITCHES and not isinstance(value, bool):
                raise self._error(place, key, value, "write true or false, without quotes")
            if key in _TEXTS and not isinstance(value, str):
                raise self._error(place, key, value, "write a text in quotes")
            if key in _TABLES and not isinstance(value, Mapping):
                raise self._error(place, key, value, f"write a table, for example {key} = {{ … }}")
            if key in _TEXTS_OR_LISTS and not isinstance(value, (str, list)):
                raise self._error(place, key, value, "write a text, or a list of texts")

    def _error(self, place: str, key: str, value: object, what_to_do: str) -> GenOpsConfigurationError:
        return GenOpsConfigurationError(f"{self._file}: {place}: {key} = {value!r} cannot be used; {what_to_do}")


def _flat(table: Mapping[str, Any], before: str = "") -> Iterable[tuple[str, Any]]:
    """Names with points as they were meant: TOML reads ``http.route = "/x"`` as a table in a table."""
    for key, value in table.items():
        if isinstance(value, Mapping) and not (before + key and len(value) == 1 and next(iter(value)) in _CONDITIONS):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield before + key, value
