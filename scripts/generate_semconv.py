"""Write ``semconv.py`` and ``docs/reference/telemetry.md`` from ``registry/*.yaml``.

Every attribute, metric, span and event property that this package emits is defined once, in the registry, in the YAML
format of OpenTelemetry's semantic conventions
(https://github.com/open-telemetry/weaver/blob/main/schemas/semconv-syntax.md). The names that code types and the page
that people read are derived from it here, so the three cannot disagree.

Constants are named after what they hold:

================================================  ======================================
registry                                          constant
================================================  ======================================
attribute ``genops.cost.amount``                  ``GENOPS_COST_AMOUNT``
template attribute ``genops.tag``                 ``GENOPS_TAG_PREFIX`` (``"genops.tag."``)
member ``capture`` of ``posthog.operation.name``  ``OPERATION_CAPTURE``
metric ``genops.cost.usage``                      ``METRIC_GENOPS_COST_USAGE``
span event ``genops.budget.exceeded``             ``EVENT_GENOPS_BUDGET_EXCEEDED``
event property ``genops_team``                    ``PROPERTY_GENOPS_TEAM``
event property ``$trace_id``                      ``PROPERTY_DOLLAR_TRACE_ID``
================================================  ======================================

Usage: ``python scripts/generate_semconv.py [--check]``. Needs PyYAML. ``--check`` writes nothing and exits 1 when a
file is stale.
"""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path

from registry import Attribute, Reference, Registry, RegistryError, load

ROOT = Path(__file__).resolve().parent.parent
REGISTRY = ROOT / "registry"
SEMCONV = Path("src/genops_otel_posthog/semconv.py")
REFERENCE = Path("docs/reference/telemetry.md")
LINE_LENGTH = 120


def _constant(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "_", name.replace("$", "dollar_")).upper()


def _member_prefix(attribute: str) -> str:
    """``posthog.operation.name`` → ``OPERATION``: the first namespace, and ``name``, would say nothing here."""
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
        '"""Names of the telemetry: attributes and their enumerated values, metrics, span events, event properties.',
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
            raise RegistryError(
                f"{value!r} and {taken[constant]!r} would both be called {constant}; rename one of them"
            )
        taken[constant] = value
        lines.extend([f'{constant}: Final = "{value}"', _docstring(brief)])

    def heading(title: str) -> None:
        lines.extend(["", f"# {title}", ""])

    add("SCHEMA_URL", registry.schema_url, "The version of OpenTelemetry's conventions that this telemetry follows.")
    for group in registry.attribute_groups:
        heading(f"Attributes in the group {group.title!r}")
        for attribute in group.attributes:
            if attribute.is_template:
                add(f"{_constant(attribute.name)}_PREFIX", f"{attribute.name}.", attribute.brief)
            else:
                add(_constant(attribute.name), attribute.name, attribute.brief)
    for group in registry.imported_groups:
        heading(f"Attributes in the group {group.title!r}")
        for ref in group.references:
            add(_constant(ref.name), ref.name, ref.brief)
    for attribute in (a for group in registry.attribute_groups for a in group.attributes if a.members):
        heading(f"Values of {attribute.name}")
        for member in attribute.members:
            add(f"{_member_prefix(attribute.name)}_{_constant(member.value)}", member.value, member.brief)
    heading("Metrics")
    for group in registry.of_type("metric"):
        add(f"METRIC_{_constant(group.metric_name)}", group.metric_name, f"{group.brief} Unit `{group.unit}`.")
    heading("Span events")
    for group in registry.of_type("event"):
        add(f"EVENT_{_constant(group.event_name)}", group.event_name, group.brief)
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
        "Every span, span event, metric, attribute and event property that this package emits. In Python the names are",
        f"constants of `genops_otel_posthog.semconv`. Schema URL: <{registry.schema_url}>.",
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
    lines += ["", "## Span events"]
    for group in registry.of_type("event"):
        lines += ["", f"### `{group.event_name}`", "", group.brief, ""]
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
    return [
        path
        for path, text in files.items()
        if not (root / path).exists() or (root / path).read_bytes() != text.encode()
    ]


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or with ``--check`` only compare. Returns the exit code."""
    parser = argparse.ArgumentParser(description="Write semconv.py and the telemetry reference from the registry.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file is stale")
    check = parser.parse_args(arguments).check
    try:
        files = rendered(load(REGISTRY))
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
