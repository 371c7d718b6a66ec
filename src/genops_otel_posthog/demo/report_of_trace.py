"""One trace in every system, on paper and as data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape

from genops_otel_posthog.demo.exported import TABLES
from genops_otel_posthog.demo.one_trace import OneTrace
from genops_otel_posthog.demo.paper import new_table, print_title
from genops_otel_posthog.money import usd_from_nano


def print_one_trace(one: OneTrace, console: Console) -> None:
    """Prints what each system on this machine has of it, and by which id it is found there."""
    print_title(console, "One trace everywhere", f"a customer asks the assistant, trace {one.trace_id}")
    table = new_table("system", "what was found", "by", texts=3)
    table.columns[1].no_wrap = False
    if one.spans is not None:
        failed = f", {one.failed_spans} of them failed" if one.failed_spans else ""
        table.add_row("traces", f"{escape(one.request)}: {one.spans} spans{failed}", "trace id")
    total = sum(one.events.values())
    if one.posthog is not None:
        own = f", and {_events(one.sdk_events)} of its SDK" if one.sdk_events else ""
        table.add_row("PostHog", f"{_events(one.posthog)}: {_names(one.events)}{own}", "$trace_id")
    same = "the same " if one.posthog == one.rudderstack == total else ""
    table.add_row("RudderStack", f"{same}{_events(one.rudderstack)}", "context.traceId")
    table.add_row("database", ", ".join(f"{name} {one.database[name]}" for name in TABLES), "trace_id")
    console.print(table)
    models = f"{', '.join(one.models)} {usd_from_nano(one.model_cost_nano):.6f}" if one.model_cost_nano else "not known"
    console.print(f"cost of the model           {escape(models)}", soft_wrap=True)
    if one.trace_url:
        console.print(f"on every event, trace_url   {escape(one.trace_url)}", soft_wrap=True)


def one_trace_verdict(one: OneTrace) -> str:
    """In one sentence, when there is no problem."""
    here = (("traces, ", one.spans is not None), ("PostHog, ", one.posthog is not None))
    systems = "".join(name for name, is_here in here if is_here) + "RudderStack"
    return f"One trace id is found in {systems} and the database, every event of it once."


def _events(count: int) -> str:
    return "1 event" if count == 1 else f"{count} events"


def _names(events: Mapping[str, int]) -> str:
    return ", ".join(f"{escape(name)} ×{count}" if count > 1 else escape(name) for name, count in events.items())


def one_trace_document(one: OneTrace) -> dict[str, Any]:
    """The same as data."""
    return {
        "trace_id": one.trace_id,
        "ok": not one.problems,
        "traces": None
        if one.spans is None
        else {"request": one.request, "spans": one.spans, "failed": one.failed_spans},
        "events": dict(one.events),
        "posthog": one.posthog,
        "sdk_events": one.sdk_events,
        "rudderstack": one.rudderstack,
        "database": dict(one.database),
        "model_cost_usd": usd_from_nano(one.model_cost_nano) if one.model_cost_nano else None,
        "trace_url": one.trace_url or None,
    }
