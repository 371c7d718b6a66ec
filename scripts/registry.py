"""Read ``registry/*.yaml`` and refuse it when it contradicts itself or breaks the naming rules.

The files are in the YAML format of OpenTelemetry's semantic conventions
(https://github.com/open-telemetry/weaver/blob/main/schemas/semconv-syntax.md). A group whose id begins with
``properties.`` holds properties of PostHog events; one that begins with ``imported.`` lists attributes that
OpenTelemetry defines.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

# The naming rules of https://opentelemetry.io/docs/specs/semconv/general/naming/: lowercase, namespaces joined by dots,
# words of a name joined by single underscores, no name that begins or ends with a delimiter.
OTEL_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*(\.[a-z][a-z0-9]*(_[a-z0-9]+)*)*")
# PostHog keeps the prefix `$` for properties that it defines itself; ours are plain words.
PROPERTY_NAME = re.compile(r"\$?[a-z][a-z0-9]*(_[a-z0-9]+)*")

PROPERTY_GROUPS = "properties."
IMPORTED_GROUPS = "imported."

ATTRIBUTE_TYPES = {"string", "int", "double", "boolean", "string[]", "int[]", "double[]", "boolean[]"}
TEMPLATE_TYPE = re.compile(r"template\[(string|int|double|boolean)(\[\])?\]")
INSTRUMENTS = {"counter", "updowncounter", "gauge", "histogram"}
SPAN_KINDS = {"client", "server", "producer", "consumer", "internal"}
STABILITIES = {"development", "alpha", "beta", "release_candidate", "stable"}
REQUIREMENT_LEVELS = {"required", "recommended", "opt_in"}
REQUIREMENT_LEVELS_WITH_CONDITION = {"conditionally_required", "recommended"}

GROUP_KEYS = {"id", "type", "display_name", "brief", "note", "stability", "attributes"}
KEYS_OF_GROUP = {
    "attribute_group": GROUP_KEYS,
    "span": GROUP_KEYS | {"span_kind"},
    "metric": GROUP_KEYS | {"metric_name", "instrument", "unit"},
    "event": GROUP_KEYS | {"name"},
}
DEFINITION_KEYS = {"id", "type", "stability", "brief", "note", "examples"}
REFERENCE_KEYS = {"ref", "requirement_level", "brief", "note"}
MEMBER_KEYS = {"id", "value", "brief", "stability"}


class RegistryError(Exception):
    """The registry contradicts itself or breaks a rule; the message lists every problem found."""


@dataclass(frozen=True)
class Member:
    """One value of an attribute whose values are enumerated."""

    value: str
    brief: str


@dataclass(frozen=True)
class Attribute:
    """An attribute, or an event property, as the registry defines it."""

    name: str
    type: str
    stability: str
    brief: str
    note: str = ""
    examples: tuple[Any, ...] = ()
    members: tuple[Member, ...] = ()

    @property
    def is_template(self) -> bool:
        """True when the name is a prefix that a key follows."""
        return TEMPLATE_TYPE.fullmatch(self.type) is not None


@dataclass(frozen=True)
class Reference:
    """An attribute used by a span or a metric, and when it is there."""

    name: str
    requirement: str = ""
    brief: str = ""


@dataclass
class Group:
    """One group of the registry: attributes, a span, a metric or an event on a span."""

    id: str
    type: str
    title: str
    brief: str
    note: str
    stability: str
    source: str
    metric_name: str = ""
    event_name: str = ""
    instrument: str = ""
    unit: str = ""
    span_kind: str = ""
    attributes: list[Attribute] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)


@dataclass(frozen=True)
class Registry:
    """The whole registry, checked."""

    schema_url: str
    groups: list[Group]

    def of_type(self, group_type: str) -> list[Group]:
        """The groups of one type, in the order of the files' names."""
        return [group for group in self.groups if group.type == group_type]

    @property
    def attribute_groups(self) -> list[Group]:
        """The groups that define our own attributes."""
        return [g for g in self.of_type("attribute_group") if not g.id.startswith((PROPERTY_GROUPS, IMPORTED_GROUPS))]

    @property
    def property_groups(self) -> list[Group]:
        """The groups that define properties of PostHog events."""
        return [g for g in self.of_type("attribute_group") if g.id.startswith(PROPERTY_GROUPS)]

    @property
    def imported_groups(self) -> list[Group]:
        """The groups that list attributes defined by OpenTelemetry."""
        return [g for g in self.of_type("attribute_group") if g.id.startswith(IMPORTED_GROUPS)]


class _StrictLoader(yaml.SafeLoader):
    """YAML as usual, except that a key given twice in one mapping is an error instead of a silent overwrite."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise RegistryError(f"{node.start_mark.name}:{key_node.start_mark.line + 1}: key {key!r} stands twice")
            seen.add(key)
        return super().construct_mapping(node, deep)


def _read(path: Path) -> dict[str, Any]:
    with path.open(encoding="utf-8") as stream:
        content = yaml.load(stream, Loader=_StrictLoader)
    if not isinstance(content, dict):
        raise RegistryError(f"{path}: the file must hold a mapping, not {type(content).__name__}")
    return content


def load(directory: Path) -> Registry:
    """Read and check the registry.

    Args:
        directory: The folder with ``manifest.yaml`` and the group files.

    Returns:
        The registry, groups in the order of file name and position.

    Raises:
        RegistryError: One or more rules are broken; the message lists them all.
    """
    manifest = _read(directory / "manifest.yaml")
    problems: list[str] = []
    schema_url = str(manifest.get("schema_url", ""))
    if not schema_url.startswith("https://"):
        problems.append("manifest.yaml: schema_url must be an https URL")
    groups: list[Group] = []
    for path in sorted(directory.glob("*.yaml")):
        if path.name == "manifest.yaml":
            continue
        content = _read(path)
        problems += [f"{path.name}: unknown key {key!r}" for key in content.keys() - {"groups"}]
        for raw in content.get("groups") or ():
            groups.append(_group(raw, path.name, problems))
    problems += _contradictions(groups)
    if problems:
        raise RegistryError("the registry is not usable:\n" + "\n".join(f"  - {problem}" for problem in problems))
    return Registry(schema_url, groups)


def _group(raw: dict[str, Any], source: str, problems: list[str]) -> Group:
    where = f"{source}: group {raw.get('id', '(no id)')}"
    group_type = str(raw.get("type", ""))
    allowed = KEYS_OF_GROUP.get(group_type)
    if allowed is None:
        problems.append(f"{where}: type {group_type!r} is none of {', '.join(sorted(KEYS_OF_GROUP))}")
        allowed = set(raw)
    problems += [f"{where}: unknown key {key!r}" for key in sorted(raw.keys() - allowed)]
    problems += [f"{where}: {key} is missing" for key in ("id", "brief") if not raw.get(key)]
    group = Group(
        id=str(raw.get("id", "")),
        type=group_type,
        title=str(raw.get("display_name", raw.get("metric_name", raw.get("name", raw.get("id", ""))))),
        brief=str(raw.get("brief", "")).strip(),
        note=str(raw.get("note", "")).strip(),
        stability=str(raw.get("stability", "")),
        source=source,
        metric_name=str(raw.get("metric_name", "")),
        event_name=str(raw.get("name", "")),
        instrument=str(raw.get("instrument", "")),
        unit=str(raw.get("unit", "")),
        span_kind=str(raw.get("span_kind", "")),
    )
    if group_type in {"span", "metric", "event"} and group.stability not in STABILITIES:
        problems.append(f"{where}: stability {group.stability!r} is none of {', '.join(sorted(STABILITIES))}")
    if group_type == "span" and group.span_kind not in SPAN_KINDS:
        problems.append(f"{where}: span_kind {group.span_kind!r} is none of {', '.join(sorted(SPAN_KINDS))}")
    if group_type == "metric":
        problems += _metric_problems(group, where)
    if group_type == "event" and not OTEL_NAME.fullmatch(group.event_name):
        problems.append(f"{where}: name {group.event_name!r} breaks OpenTelemetry's naming rules")
    for item in raw.get("attributes") or ():
        if "ref" in item:
            group.references.append(_reference(item, where, problems))
        else:
            group.attributes.append(_attribute(item, where, problems, is_property=group.id.startswith(PROPERTY_GROUPS)))
    return group


def _metric_problems(group: Group, where: str) -> Iterator[str]:
    if not OTEL_NAME.fullmatch(group.metric_name):
        yield f"{where}: metric_name {group.metric_name!r} breaks OpenTelemetry's naming rules"
    if group.metric_name.endswith("_total"):
        yield f"{where}: metric_name {group.metric_name!r} ends in _total, which exporters add by themselves"
    if group.instrument not in INSTRUMENTS:
        yield f"{where}: instrument {group.instrument!r} is none of {', '.join(sorted(INSTRUMENTS))}"
    if not group.unit:
        yield f"{where}: unit is missing (UCUM, or an annotation such as '{{event}}'; '1' for a ratio)"


def _attribute(raw: dict[str, Any], where: str, problems: list[str], *, is_property: bool) -> Attribute:
    name = str(raw.get("id", ""))
    where = f"{where}: {name or '(no id)'}"
    problems += [f"{where}: unknown key {key!r}" for key in sorted(raw.keys() - DEFINITION_KEYS)]
    problems += [f"{where}: {key} is missing" for key in ("type", "brief", "examples") if not raw.get(key)]
    if not (PROPERTY_NAME if is_property else OTEL_NAME).fullmatch(name):
        problems.append(f"{where}: the name breaks the naming rules of {'PostHog' if is_property else 'OpenTelemetry'}")
    elif not is_property and "." not in name:
        problems.append(f"{where}: the name has no namespace")
    stability = str(raw.get("stability", ""))
    if stability not in STABILITIES:
        problems.append(f"{where}: stability {stability!r} is none of {', '.join(sorted(STABILITIES))}")
    raw_type = raw.get("type")
    members: list[Member] = []
    if isinstance(raw_type, dict):
        for member in raw_type.get("members") or ():
            problems += [f"{where}: member: unknown key {key!r}" for key in sorted(member.keys() - MEMBER_KEYS)]
            if not isinstance(member.get("value"), str) or not member.get("brief"):
                problems.append(f"{where}: member {member.get('id')!r} needs a brief and a value that is a string")
            members.append(Member(str(member.get("value")), str(member.get("brief", "")).strip()))
        if not members:
            problems.append(f"{where}: the type lists no members")
        raw_type = "enum"
    elif raw_type not in ATTRIBUTE_TYPES and not TEMPLATE_TYPE.fullmatch(str(raw_type)):
        problems.append(
            f"{where}: type {raw_type!r} is none of {', '.join(sorted(ATTRIBUTE_TYPES))}, template[…], members"
        )
    return Attribute(
        name=name,
        type=str(raw_type),
        stability=stability,
        brief=str(raw.get("brief", "")).strip(),
        note=str(raw.get("note", "")).strip(),
        examples=tuple(raw.get("examples") or ()),
        members=tuple(members),
    )


def _reference(raw: dict[str, Any], where: str, problems: list[str]) -> Reference:
    name = str(raw["ref"])
    problems += [f"{where}: ref {name}: unknown key {key!r}" for key in sorted(raw.keys() - REFERENCE_KEYS)]
    level = raw.get("requirement_level", "")
    if isinstance(level, dict):
        ((kind, condition),) = level.items() if len(level) == 1 else (("", ""),)
        if kind not in REQUIREMENT_LEVELS_WITH_CONDITION or not condition:
            problems.append(f"{where}: ref {name}: requirement_level {level!r} is not understood")
        return Reference(name, f"{str(kind).replace('_', ' ')}: {condition}", str(raw.get("brief", "")).strip())
    if level and level not in REQUIREMENT_LEVELS:
        problems.append(f"{where}: ref {name}: requirement_level {level!r} is not understood")
    return Reference(name, str(level).replace("_", "-"), str(raw.get("brief", "")).strip())


def _contradictions(groups: list[Group]) -> Iterator[str]:
    """Problems that only show when the whole registry is seen."""
    yield from _repeated("group id", ((group.id, group.source) for group in groups))
    yield from _repeated("metric", ((g.metric_name, g.source) for g in groups if g.metric_name))
    yield from _repeated("event", ((g.event_name, g.source) for g in groups if g.event_name))
    defined = [(attribute, group) for group in groups for attribute in group.attributes]
    imported = [
        (ref.name, group.source) for group in groups if group.id.startswith(IMPORTED_GROUPS) for ref in group.references
    ]
    yield from _repeated("attribute", [*((a.name, g.source) for a, g in defined), *imported])
    for group in groups:
        if group.id.startswith(IMPORTED_GROUPS):
            yield from (
                f"{group.source}: group {group.id}: ref {ref.name}: brief is missing"
                for ref in group.references
                if not ref.brief
            )
        else:
            yield from _unresolved(
                group, {a.name for a, g in defined if not g.id.startswith(PROPERTY_GROUPS)}, imported
            )
        yield from _repeated(f"ref of group {group.id}", ((ref.name, group.source) for ref in group.references))
    names = {a.name: a for a, g in defined if not g.id.startswith(PROPERTY_GROUPS)}
    for name in names:
        parent = name.rpartition(".")[0]
        while parent:
            if parent in names and not names[parent].is_template:
                yield f"attribute {parent} is also the namespace of {name}; backends that nest cannot keep both"
            parent = parent.rpartition(".")[0]


def _unresolved(group: Group, defined: set[str], imported: Iterable[tuple[str, str]]) -> Iterator[str]:
    known = defined | {name for name, _ in imported}
    for ref in group.references:
        if ref.name not in known:
            yield (
                f"{group.source}: group {group.id}: ref {ref.name} is undefined; define it in attributes.yaml, or "
                "list it in opentelemetry.yaml when OpenTelemetry defines it"
            )


def _repeated(what: str, names: Iterable[tuple[str, str]]) -> Iterator[str]:
    first: dict[str, str] = {}
    for name, source in names:
        if name in first:
            yield f"{source}: {what} {name} stands twice (first in {first[name]})"
        first.setdefault(name, source)
