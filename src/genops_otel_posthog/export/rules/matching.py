"""From the conditions of rules to an index: what a span has decides which few rules are asked at all.

Most spans meet no rule. What a scope, a name and the names of attributes lead to is found once and kept with their
:class:`~..shapes.Shape`, so that such a span costs one look-up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from fnmatch import translate
from typing import TYPE_CHECKING, Any

from genops_otel_posthog.export.rules.ai.call import STEPS
from genops_otel_posthog.export.rules.rule import OneOf, Prefix, Present, SpanRule
from genops_otel_posthog.export.rules.template import ReadyTemplate

if TYPE_CHECKING:
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
        "is_met",
        "is_not_about",
        "names_own_spans",
        "position",
        "rule",
        "templates",
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
        self.templates = [ReadyTemplate(one, str(number) if number else "") for number, one in enumerate(rule.events)]
        steps = None if rule.final else getattr(rule.convert, "steps", None)
        self.is_not_about: Callable[[str], bool] = _nothing if steps is None else (STEPS - steps).__contains__
        self.is_met = False

    def settle(self) -> None:
        """Notes, once the index is through, whether every span that it leads here from meets the rule."""
        asks = self._kinds or self._statuses or self._attributes or self.ask_any_attribute or self.ask_span_event
        self.is_met = not asks

    def is_about(self, scope: str, name: str) -> bool:
        """Whether a span of this scope and name meets the conditions about these."""
        return (self._scope is None or bool(self._scope(scope))) and (self._name is None or bool(self._name(name)))

    def meets(self, span: SpanView) -> bool:
        """Whether a span that the rule :meth:`is_about` meets every other condition."""
        rule = self.rule
        if self._kinds and span.kind not in self._kinds:
            return False
        if self._statuses and span.status not in self._statuses:
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
        candidate.settle()

    def candidates(self, span: SpanView) -> list[Candidate]:
        """The rules that a span may meet, in their order; only :meth:`Candidate.meets` is left to be asked."""
        place = (span.scope, span.name)
        found: list[Candidate] | None = span.shape.found.get(place)
        if found is None:
            found = self._found(span)
            span.shape.remember_found(place, found)
        if self._events and span.has_events:
            return self._with_events(span, found)
        return found

    def _found(self, span: SpanView) -> list[Candidate]:
        scope, name = span.scope, span.name
        found = [*self._always, *self._scopes.get(scope, ()), *self._names.get(name, ())]
        for key in self._keys.keys() & set(span.shape.names):
            found += self._keys[key]
        return _in_order(candidate for candidate in found if candidate.is_about(scope, name))

    def _with_events(self, span: SpanView, found: list[Candidate]) -> list[Candidate]:
        more = [
            candidate for event in {event.name for event in span.events} for candidate in self._events.get(event, ())
        ]
        if not more:
            return found
        return _in_order([*found, *(candidate for candidate in more if candidate.is_about(span.scope, span.name))])


def _in_order(candidates: Iterable[Candidate]) -> list[Candidate]:
    ordered = {candidate.position: candidate for candidate in candidates}
    return [ordered[position] for position in sorted(ordered)]


def _nothing(_step: str) -> bool:
    return False


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
    is_flag = isinstance(condition, bool)
    return lambda value: value == condition and isinstance(value, bool) is is_flag  # as `_equal`, for what is common


def _equal(value: object, wanted: object) -> bool:
    # True is not 1 here: `http.ok = true` must not be met by a count.
    return value == wanted and isinstance(value, bool) == isinstance(wanted, bool)
