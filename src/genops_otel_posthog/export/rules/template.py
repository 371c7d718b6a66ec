"""A template made ready: what it takes from spans of one shape is worked out once."""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from string import Formatter
from typing import Any, NamedTuple

from genops_otel_posthog.export.rules.rule import EventDraft, EventTemplate, Skip
from genops_otel_posthog.export.rules.view import SpanView, source_of, value_of
from genops_otel_posthog.export.shapes import Shape
from genops_otel_posthog.export.text import text


class _Taken(NamedTuple):
    """What a template takes from spans of one shape.

    Attributes:
        sources: Property, the name of its source and, where that is no attribute, what gives the value.
        copied: Attributes that become properties of the same names.
        values: Gives their values at once; ``None`` where a source may have given one of them already.
    """

    sources: tuple[tuple[str, str, Callable[[SpanView], Any] | None], ...]
    copied: tuple[str, ...]
    values: Callable[[Any], tuple[Any, ...]] | None


class ReadyTemplate:
    """A template of a rule.

    Args:
        template: The template.
        key: See :attr:`~.rule.EventDraft.key`.
    """

    __slots__ = ("_begins", "_constants", "_fixed_name", "_key", "template")

    def __init__(self, template: EventTemplate, key: str) -> None:
        self.template = template
        self._key = key
        self._begins = tuple(template.copy)
        self._constants = dict(template.constants)
        self._fixed_name = "{" not in template.name and "}" not in template.name

    def draft(self, span: SpanView) -> EventDraft | Skip:
        """The event of a span, or why there is none."""
        template = self.template
        name: str | Skip = template.name if self._fixed_name else _filled(template.name, span)
        if isinstance(name, Skip):
            return name
        taken: _Taken | None = span.shape.plans.get(self)
        if taken is None:
            taken = span.shape.plans[self] = self._taken(span.shape)
        return EventDraft(
            name,
            self._properties(span, taken),
            distinct_id_sources=template.distinct_id,
            person_profile=template.person_profile,
            groups=_groups(template, span) if template.groups else template.groups,
            time=span.start if template.timestamp == "start" else span.end,
            sample_rate=template.sample_rate,
            importance=template.importance,
            key=self._key,
        )

    def _properties(self, span: SpanView, taken: _Taken) -> dict[str, Any]:
        properties, attributes = self._constants.copy(), span.attributes
        for target, source, fact in taken.sources:
            value = attributes[source] if fact is None else fact(span)
            if value is None:
                value = value_of(span, source)
                if value is None:
                    continue
            properties[target] = value
        if taken.values is not None:
            properties.update(zip(taken.copied, taken.values(attributes)))  # noqa: B905 - as many as are asked for
        else:
            for attribute in taken.copied:
                if attribute not in properties:
                    properties[attribute] = attributes[attribute]
        return properties

    def _taken(self, shape: Shape) -> _Taken:
        sources = []
        for target, source in self.template.properties.items():
            fact = None if source in shape.names else source_of(source)
            if fact is not None or source in shape.names:
                sources.append((target, source, fact))
        copied = tuple(name for name in shape.names if name.startswith(self._begins)) if self._begins else ()
        given = {*self._constants, *self.template.properties}
        at_once = len(copied) > 1 and given.isdisjoint(copied)
        return _Taken(tuple(sources), copied, itemgetter(*copied) if at_once else None)


def _groups(template: EventTemplate, span: SpanView) -> dict[str, str]:
    groups: dict[str, str] = {}
    for kind, source in template.groups.items():
        value = value_of(span, source)
        if value is not None and value != "":
            groups[kind] = text(value)
    return groups


def _filled(template: str, span: SpanView) -> str | Skip:
    parts: list[str] = []
    for literal, source, _, _ in Formatter().parse(template):
        parts.append(literal)
        if source is not None:
            value = value_of(span, source)
            if value is None or value == "":
                return Skip(f"the span has no {source}, which is part of the event's name")
            parts.append(text(value))
    return "".join(parts)
