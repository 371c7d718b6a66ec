"""From the conditions of rules to an index: what a span has decides which few rules are asked at all.

Most spans meet no rule. They cost one look-up of the scope, one of the name, and one pass over the keys of their
attributes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from fnmatch import translate
from typing import TYPE_CHECKING, Any

from genops_otel_posthog.export.rules.rule import OneOf, Prefix, Present, SpanRule

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from genops_otel_posthog.export.rules.view import SpanView

_WILD = re.compile(r"[*?\[]")


class Candidate:
    """A rule with its conditions made ready.

    Args:
        rule: The rule.
        position: Its place among the rules.
    """

    __slots__ = (
        "_attributes",
        "_kinds",
        "_name",
        "_scope",
        "_statuses",
        "ask_any_attribute",
        "ask_span_event",
        "names_own_spans",
        "position",
        "rule",
    )

    def __init__(self, rule: SpanRule, position: int) -> None:
        self.rule = rule
        self.position = position
        self._scope = _name_test(rule.scope)
        self._name = _name_test(rule.span_name)
        self._kinds = frozenset(rule.kind)
        self._statuses = frozenset(rule.status)
        self._attributes = tuple((name, _test(condition)) for name, condition in rule.attributes.items())
        # False where the index has answered already.
        self.ask_any_attribute = bool(rule.any_attribute)
        self.ask_span_event = bool(rule.span_event)
        self.names_own_spans = rule.scope is not None and not _WILD.match(rule.scope)

    def meets(self, span: SpanView) -> bool:
        """Whether the span meets every condition."""
        rule = self.rule
        if self._kinds and span.kind not in self._kinds:
            return False
        if self._statuses and span.status not in self._statuses:
            return False
        if self._scope is not None and not self._scope(span.scope):
            return False
        if self._name is not None and not self._name(span.name):
            return False
        attributes = span.attributes
        for name, test in self._attributes:
            value = attributes.get(name)
            if value is None or not test(value):
                return False
        if self.ask_any_attribute and not any(attributes.get(name) is not None for name in rule.any_attribute):
            return False
        return not self.ask_span_event or any(event.name in rule.span_event for event in span.events)


class Index:
    """Finds the rules that a span may meet.

    Args:
        rules: All rules, in their order.
    """

    def __init__(self, rules: Iterable[SpanRule]) -> None:
        self._scopes: dict[str, list[Candidate]] = {}
        self._names: dict[str, list[Candidate]] = {}
        self._keys: dict[str, list[Candidate]] = {}
        self._events: dict[str, list[Candidate]] = {}
        self._always: list[Candidate] = []
        for position, rule in enumerate(rules):
            self._put(Candidate(rule, position))
        self._no_key = frozenset(self._keys).isdisjoint

    def _put(self, candidate: Candidate) -> None:
        rule = candidate.rule
        if rule.scope is not None and not _WILD.search(rule.scope):
            self._scopes.setdefault(rule.scope, []).append(candidate)
        elif rule.span_name is not None and not _WILD.search(rule.span_name):
            self._names.setdefault(rule.span_name, []).append(candidate)
        elif rule.attributes:
            self._keys.setdefault(next(iter(rule.attributes)), []).append(candidate)
        elif rule.any_attribute:
            candidate.ask_any_attribute = False
            for name in dict.fromkeys(rule.any_attribute):
                self._keys.setdefault(name, []).append(candidate)
        elif rule.span_event:
            candidate.ask_span_event = False
            for name in rule.span_event:
                self._events.setdefault(name, []).append(candidate)
        else:
            self._always.append(candidate)

    def candidates(self, span: ReadableSpan) -> list[Candidate]:
        """The rules that a span may meet, in their order."""
        found = list(self._always)
        scope = span.instrumentation_scope
        if scope is not None and scope.name in self._scopes:
            found += self._scopes[scope.name]
        if span.name in self._names:
            found += self._names[span.name]
        attributes = span.attributes
        if attributes and not self._no_key(attributes):
            for key in self._keys.keys() & attributes.keys():
                found += self._keys[key]
        if self._events and (events := span.events):
            for event in {event.name for event in events}:
                found += self._events.get(event, ())
        if len(found) > 1:
            ordered = {candidate.position: candidate for candidate in found}
            return [ordered[position] for position in sorted(ordered)]
        return found


def _name_test(pattern: str | None) -> Callable[[str], object] | None:
    if pattern is None or pattern == "*":
        return None
    if not _WILD.search(pattern):
        return pattern.__eq__
    return re.compile(translate(pattern)).match


def _test(condition: object) -> Callable[[Any], bool]:
    if isinstance(condition, Present):
        return lambda value: True
    if isinstance(condition, Prefix):
        begin = condition.text
        return lambda value: isinstance(value, str) and value.startswith(begin)
    if isinstance(condition, OneOf):
        return lambda value: any(_equal(value, wanted) for wanted in condition.values)
    return lambda value: _equal(value, condition)


def _equal(value: object, wanted: object) -> bool:
    # True is not 1 here: `http.ok = true` must not be met by a count.
    return value == wanted and isinstance(value, bool) == isinstance(wanted, bool)
