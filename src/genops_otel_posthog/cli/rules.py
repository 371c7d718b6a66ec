"""``genops-posthog rules``: whether a file of rules can be used, and what the rules make of a span."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genops_otel_posthog.cli import PROBLEM_FOUND
from genops_otel_posthog.cli.output import console, json_option, print_json, table
from genops_otel_posthog.errors import GenOpsValidationError
from genops_otel_posthog.export.privacy import Privacy
from genops_otel_posthog.export.rules import Conversion, Rules, SpanRule, builtin_rules
from genops_otel_posthog.export.rules.span_json import spans_from_json
from genops_otel_posthog.export.rules.toml import load_rules

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group()
def rules() -> None:
    """Which spans become which events."""


@rules.command(short_help="Is a file of rules usable?")
@click.argument("file", type=_FILE)
@json_option
def check(file: Path, as_json: bool) -> None:
    """Read a file of rules and show what they are about. Exit code 2 with the mistake when it cannot be used.

    Example: genops-posthog rules check span-rules.toml
    """
    loaded = load_rules(file)
    built_in = {rule.id for rule in builtin_rules()}
    if as_json:
        print_json({"file": str(file), "rules": [_rule_document(rule, built_in) for rule in loaded]})
        return
    listed = table("rule", "spans", "makes", title=f"{file}: {len(loaded)} rules, all usable")
    for rule in loaded:
        listed.add_row(rule.id, _about(rule), _makes(rule, built_in))
    console().print(listed)


@rules.command(short_help="What do the rules make of a span?")
@click.argument("span", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path), default="-")
@click.option("--rules", "rule_file", type=_FILE, help="Your own rules, asked before the built-in ones.")
@click.option("--built-in/--no-built-in", default=True, show_default=True, help="Whether those are asked at all.")
@click.option("--content", is_flag=True, help="Let prompts, answers and the data of tools become properties.")
@json_option
def explain(span: Path, rule_file: Path | None, built_in: bool, content: bool, as_json: bool) -> None:
    """Show the events that the rules make of a span, and why there are none.

    SPAN is a file of JSON, or - for standard input: OTLP/JSON, or what ReadableSpan.to_json() prints. Several spans are
    taken in the order in which they ended. Exit code 1 when none becomes an event.

    Example: genops-posthog rules explain span.json --rules span-rules.toml
    """
    own = load_rules(rule_file) if rule_file is not None else ()
    shipped = builtin_rules(content=content) if built_in else ()
    engine = Rules([*own, *shipped], privacy=Privacy(content=content))
    found = spans_from_json(_read(span))
    told = [(each, engine.events_for(each)) for each in found]
    if as_json:
        print_json({"spans": [_conversion_document(each, conversion) for each, conversion in told]})
    else:
        for each, conversion in told:
            _print_conversion(each, conversion)
    if not any(conversion.made for _, conversion in told):
        raise SystemExit(PROBLEM_FOUND)


def _read(file: Path) -> Any:
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except OSError as error:
        raise GenOpsValidationError(f"{file} cannot be read: {error.strerror or error}; give a file, or -") from error
    try:
        return json.loads(text)
    except ValueError as error:
        raise GenOpsValidationError(f"{file} is not JSON: {error}; give a span as JSON") from error


def _about(rule: SpanRule) -> str:
    parts: list[str] = []
    for name in ("scope", "span_name"):
        value = getattr(rule, name)
        if value is not None:
            parts.append(f"{name} {value}")
    for name in ("kind", "status", "span_event", "any_attribute"):
        values: Sequence[str] = getattr(rule, name)
        if values:
            parts.append(f"{name} {' or '.join(values)}")
    parts += [f"{name} {_condition(value)}" for name, value in rule.attributes.items()]
    return ", ".join(parts) or "every span"


def _condition(value: object) -> str:
    kind = type(value).__name__
    if kind == "Present":
        return "present"
    if kind == "OneOf":
        return f"one of {', '.join(map(repr, getattr(value, 'values', ())))}"
    if kind == "Prefix":
        return f"begins with {getattr(value, 'text', '')!r}"
    return f"= {value!r}"


def _makes(rule: SpanRule, built_in: set[str]) -> str:
    if not rule.enabled:
        return "nothing: turned off" + (", and with it the built-in rule" if rule.id in built_in else "")
    made = "nothing: dropped" if rule.drop else ", ".join(event.name for event in rule.events)
    return made + (" (instead of the built-in rule)" if rule.id in built_in else "")


def _rule_document(rule: SpanRule, built_in: set[str]) -> dict[str, Any]:
    return {
        "id": rule.id,
        "spans": _about(rule),
        "events": [event.name for event in rule.events],
        "drop": rule.drop,
        "enabled": rule.enabled,
        "replaces_built_in": rule.id in built_in,
    }


def _conversion_document(span: ReadableSpan, conversion: Conversion) -> dict[str, Any]:
    return {
        "span": span.name,
        "events": [
            {"rule": made.rule, "importance": made.event.importance, **made.event.body()} for made in conversion.made
        ],
        "left_out": [
            {"rule": left.rule, "event": left.event, "reason": left.reason.value, "detail": left.detail}
            for left in conversion.left_out
        ],
    }


def _print_conversion(span: ReadableSpan, conversion: Conversion) -> None:
    screen = console()
    screen.print(f"span {span.name}")
    for made in conversion.made:
        event = made.event
        screen.print(f"  event {event.name} by {made.rule}, of {event.distinct_id}, {event.timestamp}")
        listed = table("property", "value")
        listed.columns[1].justify = "left"
        for name, value in event.properties.items():
            listed.add_row(name, json.dumps(value, ensure_ascii=False))
        screen.print(listed)
    for left in conversion.left_out:
        event_name = f" {left.event}" if left.event else ""
        rule = f" by {left.rule}" if left.rule else ""
        screen.print(f"  no event{event_name}{rule}: {left.reason.value}: {left.detail}")
