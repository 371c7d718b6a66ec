"""The registry is refused when it contradicts itself, with the file, the group and the name in the message."""

from __future__ import annotations

from pathlib import Path

import pytest

from generate_semconv import render_reference, render_semconv, stale_files
from registry import RegistryError, load

MANIFEST = "name: test\nschema_url: https://opentelemetry.io/schemas/1.44.0\n"
ATTRIBUTE = "      - {id: genops.team, type: string, stability: development, brief: The team., examples: [checkout]}\n"


def attributes(lines: str, group_id: str = "registry.test") -> str:
    return f"groups:\n  - id: {group_id}\n    type: attribute_group\n    brief: Test.\n    attributes:\n{lines}"


def span(lines: str) -> str:
    head = "{id: span.test, type: span, span_kind: client, stability: stable, brief: Test., attributes:"
    return f"groups:\n  - {head} [{lines}]}}\n"


def metric(keys: str) -> str:
    return (
        f"groups:\n  - {{id: metric.test, type: metric, unit: '{{unit}}', stability: stable, brief: Test., {keys}}}\n"
    )


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "manifest.yaml").write_text(MANIFEST, encoding="utf-8")
    (tmp_path / "attributes.yaml").write_text(attributes(ATTRIBUTE), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (span("{ref: genops.taem}"), "more.yaml: group span.test: ref genops.taem is undefined"),
        (
            span("{ref: genops.team}, {ref: genops.team}"),
            "ref of group span.test genops.team stands twice",
        ),
        (span("{ref: genops.team, requirement_level: always}"), "requirement_level 'always'"),
        (
            span("{ref: genops.team, requirement_level: {opt_in: sometimes}}"),
            "requirement_level {'opt_in': 'sometimes'}",
        ),
        (attributes(ATTRIBUTE), "attribute genops.team stands twice (first in attributes.yaml)"),
        (attributes(ATTRIBUTE.replace("genops.team", "genops.Team")), "genops.Team: the name breaks the naming rules"),
        (
            attributes(ATTRIBUTE.replace("genops.team", "genops.team_")),
            "genops.team_: the name breaks the naming rules",
        ),
        (attributes(ATTRIBUTE.replace("genops.team", "team")), "team: the name has no namespace"),
        (attributes(ATTRIBUTE.replace("genops.team", "genops.team.name")), "genops.team is also the namespace of"),
        (attributes(ATTRIBUTE.replace("team, type: string", "tag, type: text")), "genops.tag: type 'text' is none of"),
        (attributes(ATTRIBUTE.replace("team, type", "tag, tpye")), "genops.tag: unknown key 'tpye'"),
        (
            attributes(ATTRIBUTE.replace("team", "tag").replace("examples: [checkout]", "examples: []")),
            "examples is missing",
        ),
        (attributes("      - {ref: error.type}\n", "imported.test"), "ref error.type: brief is missing"),
        (
            attributes(ATTRIBUTE, "properties.test"),
            "genops.team: the name breaks the naming rules of PostHog",
        ),
        (
            metric("metric_name: genops.cost_total, instrument: counter"),
            "metric_name 'genops.cost_total' ends in _total",
        ),
        (
            metric("metric_name: genops.cost, instrument: sum"),
            "instrument 'sum' is none of counter",
        ),
        ("groups:\n  - {id: e, type: entity, brief: An entity.}", "type 'entity' is none of"),
        (
            "groups:\n  - {id: e, type: event, name: Genops.Exceeded, stability: stable, brief: An event.}",
            "e: name 'Genops.Exceeded' breaks OpenTelemetry's naming rules",
        ),
        ("gruops: []", "more.yaml: unknown key 'gruops'"),
    ],
)
def test_a_registry_that_breaks_a_rule_is_refused(directory: Path, content: str, problem: str):
    (directory / "more.yaml").write_text(content, encoding="utf-8")
    with pytest.raises(RegistryError) as refusal:
        load(directory)
    assert problem in str(refusal.value)


def test_every_problem_is_reported_at_once(directory: Path):
    (directory / "more.yaml").write_text(span("{ref: genops.a}, {ref: genops.b}"), encoding="utf-8")
    with pytest.raises(RegistryError, match=r"(?s)genops\.a is undefined.*genops\.b is undefined"):
        load(directory)


def test_a_key_given_twice_is_refused_with_its_line(directory: Path):
    (directory / "more.yaml").write_text("groups: []\ngroups: []\n", encoding="utf-8")
    with pytest.raises(RegistryError, match=r"more\.yaml:2: key 'groups' stands twice"):
        load(directory)


def test_two_names_that_would_be_one_constant_are_refused(directory: Path):
    both = ATTRIBUTE.replace("genops.team", "genops.cost_center") + ATTRIBUTE.replace(
        "genops.team", "genops.cost.center"
    )
    (directory / "more.yaml").write_text(attributes(both, "registry.more"), encoding="utf-8")
    with pytest.raises(RegistryError, match="would both be called GENOPS_COST_CENTER"):
        render_semconv(load(directory))


def test_constants_are_named_after_what_they_hold(directory: Path):
    (directory / "attributes.yaml").write_text(
        attributes(
            ATTRIBUTE
            + ATTRIBUTE.replace("genops.team, type: string", "genops.tag, type: 'template[string]'")
            + "      - {id: posthog.operation.name, stability: stable, brief: What., examples: [set], "
            + "type: {members: [{id: set, value: set, brief: Sets.}]}}\n"
        ),
        encoding="utf-8",
    )
    (directory / "events.yaml").write_text(
        attributes(ATTRIBUTE.replace("genops.team", "$trace_id"), "properties.test"), encoding="utf-8"
    )
    (directory / "metrics.yaml").write_text(metric("metric_name: genops.usage, instrument: counter"), encoding="utf-8")
    (directory / "span_events.yaml").write_text(
        "groups:\n  - {id: e, type: event, name: genops.budget.exceeded, stability: stable, brief: Refused.}\n",
        encoding="utf-8",
    )
    text = render_semconv(load(directory))
    for line in (
        'GENOPS_TEAM: Final = "genops.team"',
        'GENOPS_TAG_PREFIX: Final = "genops.tag."',
        'OPERATION_SET: Final = "set"',
        'PROPERTY_DOLLAR_TRACE_ID: Final = "$trace_id"',
        'METRIC_GENOPS_USAGE: Final = "genops.usage"',
        'EVENT_GENOPS_BUDGET_EXCEEDED: Final = "genops.budget.exceeded"',
    ):
        assert line in text.splitlines()


def test_a_template_attribute_may_be_a_namespace(directory: Path):
    template = ATTRIBUTE.replace("genops.team, type: string", "genops.tag, type: 'template[string]'")
    more = template + ATTRIBUTE.replace("genops.team", "genops.tag.count")
    (directory / "more.yaml").write_text(attributes(more, "registry.more"), encoding="utf-8")
    assert "`genops.tag.<key>`" in render_reference(load(directory))


def test_a_file_that_differs_by_one_byte_is_stale(tmp_path: Path):
    path = Path("a.py")
    (tmp_path / path).write_bytes(b"x = 1\r\n")
    assert stale_files(tmp_path, {path: "x = 1\n"}) == [path]
    (tmp_path / path).write_bytes(b"x = 1\n")
    assert stale_files(tmp_path, {path: "x = 1\n"}) == []
