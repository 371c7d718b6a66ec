"""Read ``registry/dashboards/panels.yaml`` and refuse what the registry of telemetry does not bear out.

One list of panels is drawn for Grafana and for SigNoz; what is checked here can be wrong in neither.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from registry import Group, Registry, RegistryError

INSTRUMENTS_OF: Mapping[str, tuple[str, ...]] = {
    "increase": ("counter",),
    "last": ("gauge", "updowncounter"),
    "least": ("gauge",),
    "sum": ("updowncounter",),
    "p95": ("histogram",),
    "count": ("histogram",),
}
"""Aggregation → the instruments that have it."""

SHAPES = ("stat", "lines", "bars", "gauge", "table")
UNITS = ("usd", "count", "ratio", "seconds", "bytes", "switch")
COLUMNS = 24
"""Width of a dashboard, in Grafana's units."""

_UNIT_OF_METRIC = {"seconds": ("s",), "bytes": ("By",), "usd": ("{USD}",)}
_KEYS = {"title", "description", "of", "how", "by", "as", "unit", "width", "only", "not"}


@dataclass(frozen=True)
class Panel:
    """One panel.

    Attributes:
        title: Its title.
        description: What to know about it.
        metric: What is shown.
        divided_by: What it is divided by, if it is a part of something.
        how: Aggregation, a key of :data:`INSTRUMENTS_OF`.
        by: Attributes that tell its series apart.
        shape: One of :data:`SHAPES`.
        unit: One of :data:`UNITS`.
        width: Of :data:`COLUMNS`.
        only: Attribute → values that are shown.
        without: Attribute → values that are not.
    """

    title: str
    description: str
    metric: Group
    divided_by: Group | None
    how: str
    by: tuple[str, ...]
    shape: str
    unit: str
    width: int
    only: Mapping[str, tuple[str, ...]]
    without: Mapping[str, tuple[str, ...]]

    @property
    def metrics(self) -> tuple[Group, ...]:
        """The one or two metrics that it asks for."""
        return (self.metric,) if self.divided_by is None else (self.metric, self.divided_by)


@dataclass(frozen=True)
class Section:
    """Panels that belong together."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Dashboard:
    """Everything that is shown."""

    title: str
    description: str
    sections: tuple[Section, ...]

    @property
    def panels(self) -> Iterator[Panel]:
        """All panels, in order."""
        return (panel for section in self.sections for panel in section.panels)


def load_dashboard(path: Path, registry: Registry) -> Dashboard:
    """Read and check the panels.

    Raises:
        RegistryError: A panel asks for what the registry does not have; the message lists all that is wrong.
    """
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    metrics = {group.metric_name: group for group in registry.of_type("metric")}
    values = {
        attribute.name: {member.value for member in attribute.members}
        for group in registry.attribute_groups
        for attribute in group.attributes
        if attribute.members
    }
    problems: list[str] = []
    sections = []
    for raw_section in content["sections"]:
        panels = []
        for raw in raw_section["panels"]:
            found = _problems(raw, metrics, values)
            problems += [f"{path.name}: {raw.get('title', '(no title)')}: {problem}" for problem in found]
            if not found:
                panels.append(_panel(raw, metrics))
        sections.append(Section(raw_section["title"], tuple(panels)))
    titles = [raw["title"] for raw_section in content["sections"] for raw in raw_section["panels"]]
    problems += [f"{path.name}: {title} stands twice" for title in sorted({t for t in titles if titles.count(t) > 1})]
    if problems:
        raise RegistryError("the panels cannot be drawn:\n" + "\n".join(f"  - {problem}" for problem in problems))
    return Dashboard(content["title"], content["description"], tuple(sections))


def _problems(raw: Mapping[str, Any], metrics: Mapping[str, Group], values: Mapping[str, set[str]]) -> list[str]:
    problems = [f"unknown key {key!r}" for key in sorted(raw.keys() - _KEYS)]
    how, unit = str(raw.get("how")), raw.get("unit")
    if how not in INSTRUMENTS_OF:
        return [*problems, f"how {how!r} is none of {', '.join(INSTRUMENTS_OF)}"]
    if raw.get("as") not in SHAPES or unit not in UNITS:
        return [*problems, f"as {raw.get('as')!r} or unit {unit!r} is not known"]
    for name in _names(raw["of"]):
        metric = metrics.get(name)
        if metric is None:
            problems.append(f"there is no metric {name}")
            continue
        if metric.instrument not in INSTRUMENTS_OF[how]:
            problems.append(f"{name} is a {metric.instrument}, of which there is no {how}")
        if unit in _UNIT_OF_METRIC and metric.unit not in _UNIT_OF_METRIC[unit] and how != "count":
            problems.append(f"{name} is counted in {metric.unit}, and not in {unit}")
        has = {reference.name for reference in metric.references}
        asked = {*raw.get("by", ()), *raw.get("only", ()), *raw.get("not", ())}
        problems += [f"{name} has no attribute {attribute}" for attribute in sorted(asked - has)]
    for attribute, given in {**raw.get("only", {}), **raw.get("not", {})}.items():
        unknown = set(_names(given)) - values.get(attribute, set(_names(given)))
        problems += [f"{attribute} is never {value}" for value in sorted(unknown)]
    return problems


def _panel(raw: Mapping[str, Any], metrics: Mapping[str, Group]) -> Panel:
    names = _names(raw["of"])
    return Panel(
        title=raw["title"],
        description=raw.get("description", ""),
        metric=metrics[names[0]],
        divided_by=metrics[names[1]] if len(names) > 1 else None,
        how=raw["how"],
        by=tuple(raw.get("by", ())),
        shape=raw["as"],
        unit=raw["unit"],
        width=raw.get("width", COLUMNS // 2),
        only={name: _names(given) for name, given in raw.get("only", {}).items()},
        without={name: _names(given) for name, given in raw.get("not", {}).items()},
    )


def _names(given: str | list[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)
