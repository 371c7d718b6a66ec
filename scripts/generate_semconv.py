"""Write ``semconv.py`` and ``docs/reference/telemetry.md`` from ``registry/*.yaml``.

Every attribute, metric, span and event property that this package emits is defined once, in the registry, in the YAML format of
OpenTelemetry's semantic conventions (https://github.com/open-telemetry/weaver/blob/main/schemas/semconv-syntax.md). The names that
code types and the page that people read are derived from it here, so the three cannot disagree.

Constants are named after what they hold:

================================================  ======================================
registry                                          constant
================================================  ======================================
attribute ``genops.cost.amount``                  ``GENOPS_COST_AMOUNT``
template attribute ``genops.tag``                 ``GENOPS_TAG_PREFIX`` (``"genops.tag."``)
member ``capture`` of ``posthog.operation.name``  ``OPERATION_CAPTURE``
metric ``genops.cost.usage``                      ``METRIC_GENOPS_COST_USAGE``
event property ``genops_team``                    ``PROPERTY_GENOPS_TEAM``
event property ``$trace_id``                      ``PROPERTY_DOLLAR_TRACE_ID``
================================================  ======================================

Usage: ``python scripts/generate_semconv.py [--check]``. Needs PyYAML. ``--check`` writes nothing and exits 1 when a file is stale.
"""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
REGISTRY = ROOT / "registry"
SEMCONV = Path("src/genops_otel_posthog/semconv.py")
REFERENCE = Path("docs/reference/telemetry.md")
LINE_LENGTH = 120

# The naming rules of https://opentelemetry.io/docs/specs/semconv/general/naming/: lowercase, namespaces joined by dots, words of
# a name joined by single underscores, no name that begins or ends with a delimiter.
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
    """One group of the registry: attributes, a span or a metric."""

    id: str
    type: str
    title: str
    brief: str
    note: str
    stability: str
    source: str
    metric_name: str = ""
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
        content = yaml.load(stream, Loader=_StrictLoader)  # noqa: S506 - a SafeLoader, made stricter
    if not isinstance(content, dict):
        raise RegistryError(f"{path}: the file must hold a mapping, not {type(content).__name__}")
    return content


def load(directory: Path = REGISTRY) -> Registry:
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
        title=str(raw.get("display_name", raw.get("metric_name", raw.get("id", "")))),
        brief=str(raw.get("brief", "")).strip(),
        note=str(raw.get("note", "")).strip(),
        stability=str(raw.get("stability", "")),
        source=source,
        metric_name=str(raw.get("metric_name", "")),
        instrument=str(raw.get("instrument", "")),
        unit=str(raw.get("unit", "")),
        span_kind=str(raw.get("span_kind", "")),
    )
    if group_type in {"span", "metric"} and group.stability not in STABILITIES:
        problems.append(f"{where}: stability {group.stability!r} is none of {', '.join(sorted(STABILITIES))}")
    if group_type == "span" and group.span_kind not in SPAN_KINDS:
        problems.append(f"{where}: span_kind {group.span_kind!r} is none of {', '.join(sorted(SPAN_KINDS))}")
    if group_type == "metric":
        problems += _metric_problems(group, where)
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
        problems.append(f"{where}: type {raw_type!r} is none of {', '.join(sorted(ATTRIBUTE_TYPES))}, template[…], members")
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
    defined = [(attribute, group) for group in groups for attribute in group.attributes]
    imported = [(ref.name, group.source) for group in groups if group.id.startswith(IMPORTED_GROUPS) for ref in group.references]
    yield from _repeated("attribute", [*((a.name, g.source) for a, g in defined), *imported])
    for group in groups:
        if group.id.startswith(IMPORTED_GROUPS):
            yield from (
                f"{group.source}: group {group.id}: ref {ref.name}: brief is missing" for ref in group.references if not ref.brief
            )
        else:
            yield from _unresolved(group, {a.name for a, g in defined if not g.id.startswith(PROPERTY_GROUPS)}, imported)
        yield from _repeated(f"ref of group {group.id}", ((ref.name, group.source) for ref in group.references))
    names = {a.name: a for a, g in defined if not g.id.startswith(PROPERTY_GROUPS)}
    for name in names:
        parent = name.rpartition(".")[0]
        while parent:
            if parent in names and not names[parent].is_template:
                yield f"attribute {parent} is also the namespace of {name}; backends that nest attributes cannot keep both"
            parent = parent.rpartition(".")[0]


def _unresolved(group: Group, defined: set[str], imported: Iterable[tuple[str, str]]) -> Iterator[str]:
    known = defined | {name for name, _ in imported}
    for ref in group.references:
        if ref.name not in known:
            yield (
                f"{group.source}: group {group.id}: ref {ref.name} is defined nowhere; define it in attributes.yaml, or list it in "
                "opentelemetry.yaml when OpenTelemetry defines it"
            )


def _repeated(what: str, names: Iterable[tuple[str, str]]) -> Iterator[str]:
    first: dict[str, str] = {}
    for name, source in names:
        if name in first:
            yield f"{source}: {what} {name} stands twice (first in {first[name]})"
        first.setdefault(name, source)


def _constant(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "_", name.replace("$", "dollar_")).upper()


def _member_prefix(attribute: str) -> str:
    """``posthog.operation.name`` → ``OPERATION``: without the first namespace, and without ``name``, which says nothing here."""
    return _constant(attribute.partition(".")[2].removesuffix(".name"))


def _docstring(text: str) -> str:
    """A docstring of ``text``, on one line where it fits."""
    words = " ".join(text.split()).replace("\\", "\\\\").replace('"""', "'''")
    if len(words) + 6 <= LINE_LENGTH and not words.endswith('"'):
        return f'"""{words}"""'
    return '"""' + textwrap.fill(words, LINE_LENGTH - 3, break_long_words=False, break_on_hyphens=False) + '\n"""'


def render_semconv(registry: Registry) -> str:
    """The text of ``semconv.py``.

    Raises:
        RegistryError: Two names of the registry would become the same constant.
    """
    lines = [
        '"""Names of the telemetry: attributes, metrics, event properties and the values of enumerated attributes.',
        "",
        "They stand here so that code never spells a name by hand. Written by ``scripts/generate_semconv.py`` from",
        "``registry/*.yaml``; edit those and run ``make format``, never this file.",
        '"""',
        "",
        "from __future__ import annotations",
        "",
        "from typing import Final",
        "",
    ]
    taken: dict[str, str] = {}

    def add(constant: str, value: str, brief: str) -> None:
        if constant in taken:
            raise RegistryError(f"{value!r} and {taken[constant]!r} would both be called {constant}; rename one of them")
        taken[constant] = value
        lines.extend([f'{constant}: Final = "{value}"', _docstring(brief)])

    def heading(title: str) -> None:
        lines.extend(["", f"# {title}", ""])

    add("SCHEMA_URL", registry.schema_url, "The version of OpenTelemetry's conventions that this telemetry follows.")
    for group in registry.attribute_groups:
        heading(f"Attributes: {group.title}")
        for attribute in group.attributes:
            if attribute.is_template:
                add(f"{_constant(attribute.name)}_PREFIX", f"{attribute.name}.", attribute.brief)
            else:
                add(_constant(attribute.name), attribute.name, attribute.brief)
    for group in registry.imported_groups:
        heading(f"Attributes: {group.title}")
        for ref in group.references:
            add(_constant(ref.name), ref.name, ref.brief)
    for attribute in (a for group in registry.attribute_groups for a in group.attributes if a.members):
        heading(f"Values of {attribute.name}")
        for member in attribute.members:
            add(f"{_member_prefix(attribute.name)}_{_constant(member.value)}", member.value, member.brief)
    heading("Metrics")
    for group in registry.of_type("metric"):
        add(f"METRIC_{_constant(group.metric_name)}", group.metric_name, f"{group.brief} Unit `{group.unit}`.")
    for group in registry.property_groups:
        heading(group.title)
        for attribute in group.attributes:
            add(f"PROPERTY_{_constant(attribute.name)}", attribute.name, attribute.brief)
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield "| " + " | ".join(header) + " |"
    yield "|" + "---|" * len(header)
    for row in rows:
        yield "| " + " | ".join(_cell(cell) for cell in row) + " |"


def _shown(attribute: Attribute) -> str:
    return f"`{attribute.name}.<key>`" if attribute.is_template else f"`{attribute.name}`"


def _definition_row(attribute: Attribute) -> tuple[str, ...]:
    meaning = f"{attribute.brief} {attribute.note}".strip()
    examples = ", ".join(f"`{str(e).lower() if isinstance(e, bool) else e}`" for e in attribute.examples)
    return _shown(attribute), attribute.type, meaning, examples


def render_reference(registry: Registry) -> str:
    """The text of ``docs/reference/telemetry.md``."""
    attributes = {a.name: a for group in registry.attribute_groups for a in group.attributes}
    imported = {ref.name: ref for group in registry.imported_groups for ref in group.references}

    def use_row(ref: Reference) -> tuple[str, ...]:
        name = _shown(attributes[ref.name]) if ref.name in attributes else f"`{ref.name}`"
        brief = ref.brief or (attributes[ref.name].brief if ref.name in attributes else imported[ref.name].brief)
        return name, ref.requirement, brief

    lines = [
        "# Telemetry reference",
        "",
        "<!-- Written by scripts/generate_semconv.py from registry/*.yaml. Edit those and run `make format`. -->",
        "",
        "Every span, metric, attribute and event property that this package emits. In Python the names are constants of",
        f"`genops_otel_posthog.semconv`. Schema URL: <{registry.schema_url}>.",
        "",
        "## Spans",
    ]
    for group in registry.of_type("span"):
        lines += ["", f"### `{group.id.removeprefix('span.')}`", "", group.brief, ""]
        lines += [f"Kind: `{group.span_kind.upper()}`. {group.note}".strip()]
        lines += ["", *_table(("attribute", "when", "meaning"), map(use_row, group.references))]
    lines += ["", "## Metrics"]
    for group in registry.of_type("metric"):
        lines += ["", f"### `{group.metric_name}`", "", group.brief, ""]
        lines += [group.note, ""] if group.note else []
        lines += [f"Instrument: {group.instrument}. Unit: `{group.unit}`.", ""]
        lines += _table(("attribute", "when", "meaning"), map(use_row, group.references))
    lines += ["", "## Attributes"]
    for group in registry.attribute_groups:
        lines += ["", f"### {group.title}", "", group.brief, ""]
        lines += _table(("attribute", "type", "meaning", "examples"), map(_definition_row, group.attributes))
        for attribute in (a for a in group.attributes if a.members):
            lines += ["", f"Values of `{attribute.name}`:", ""]
            lines += _table(("value", "meaning"), ((f"`{m.value}`", m.brief) for m in attribute.members))
    for group in registry.imported_groups:
        lines += ["", f"### {group.title}", "", group.brief, ""]
        lines += _table(("attribute", "meaning here"), ((f"`{ref.name}`", ref.brief) for ref in group.references))
    for group in registry.property_groups:
        lines += ["", f"## {group.title}", "", group.brief, ""]
        lines += _table(("property", "type", "meaning", "examples"), map(_definition_row, group.attributes))
    return "\n".join(lines) + "\n"


def rendered(registry: Registry) -> dict[Path, str]:
    """Every generated file, by its path relative to the root of the repository."""
    return {SEMCONV: render_semconv(registry), REFERENCE: render_reference(registry)}


def stale_files(root: Path, files: dict[Path, str]) -> list[Path]:
    """The files whose content on disk is not, byte for byte, what the registry says."""
    return [path for path, text in files.items() if not (root / path).exists() or (root / path).read_bytes() != text.encode()]


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or with ``--check`` only compare. Returns the exit code."""
    parser = argparse.ArgumentParser(description="Write semconv.py and the telemetry reference from the registry.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file is stale")
    check = parser.parse_args(arguments).check
    try:
        files = rendered(load())
    except RegistryError as error:
        print(error, file=sys.stderr)
        return 1
    stale = stale_files(ROOT, files)
    for path in stale:
        if not check:
            (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / path).write_bytes(files[path].encode())
        print(f"{'stale, run `make format`' if check else 'written'}: {path}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
