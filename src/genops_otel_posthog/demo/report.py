"""The demonstration on paper: tables for people, one document for programs."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from genops_otel_posthog.demo.backends import SERVICE
from genops_otel_posthog.demo.figures import BudgetLine, Call, CostLine, Figures, FlagLine, MeterLine, Spans
from genops_otel_posthog.demo.paper import new_table, print_title
from genops_otel_posthog.demo.report_of_trace import one_trace_document, one_trace_verdict, print_one_trace
from genops_otel_posthog.demo.run import SHOP, Demonstration
from genops_otel_posthog.money import usd_from_nano

_COMMAND = "genops-posthog"
_FLAG_KINDS = {
    "local": "answered in the process",
    "remote": "asked PostHog",
    "definitions": "definitions downloaded",
    "not_modified": "definitions unchanged (304)",
}


def print_report(demonstration: Demonstration, console: Console) -> None:
    """Prints what came of it, and where to look next."""
    figures = demonstration.figures
    if figures is not None:
        if figures.spans is not None:
            _print_trace(figures.spans, console)
            _print_costs(figures.spans, console)
        if figures.budgets:
            _print_budgets(figures, console)
        if figures.flags:
            _print_flags(figures.flags, console)
        if figures.meters:
            _print_agreement(figures, console)
    print_one_trace(demonstration.one_trace, console)
    _print_verdict(demonstration, console)
    _print_next(demonstration, console)


def as_document(demonstration: Demonstration) -> dict[str, Any]:
    """The same as data; amounts are exact decimals in US dollars."""
    traffic, figures, backends = demonstration.traffic, demonstration.figures, demonstration.backends
    return {
        "ok": not demonstration.problems,
        "problems": list(demonstration.problems),
        "seconds": round(demonstration.seconds, 2),
        "events_to": backends.posthog_host if not backends.events_are_local else "local receiver",
        "telemetry_to": backends.otlp_endpoint or "local receiver",
        "traffic": {
            "requests": traffic.requests,
            "seconds": round(traffic.seconds, 2),
            "statuses": {str(status): count for status, count in sorted(traffic.statuses.items())},
        },
        **({} if figures is None else _figures_document(figures)),
        "one_trace": one_trace_document(demonstration.one_trace),
    }


# --- for people ------------------------------------------------------------------------------------------------------


def _usd(nano: int | None) -> str:
    """Six decimals, so that columns align and a single event, 0.00005, can be seen."""
    return "" if nano is None else f"{usd_from_nano(nano):.6f}"


def _billed_as(meters: Sequence[str]) -> str:
    return " + ".join(meter.removesuffix("_events") if number else meter for number, meter in enumerate(meters))


def _print_trace(spans: Spans, console: Console) -> None:
    team, customer = _owner_within(spans.trace)
    print_title(console, "One request as a trace", f"team {team}, customer {customer}, trace {spans.trace_id[:8]}…")
    console.print(_tree(spans.trace))


def _tree(trace: Call) -> Table:
    table = new_table("span", "kind", "billed as", "ms", "cost USD", texts=3)
    for guide, call in _rows_of_tree(trace):
        table.add_row(
            f"[dim]{guide}[/]{escape(call.name)}",
            call.kind,
            _what_became_of(call),
            f"{call.duration_ns / 1e6:.1f}",
            _usd(call.amount_nano),
        )
    return table


def _what_became_of(call: Call) -> str:
    if call.refused_by:
        return f"[red]refused[/] by {escape(call.refused_by)}"
    return _billed_as(call.meters) or ("[dim]not billed[/]" if call.amount_nano is not None else "")


def _owner_within(call: Call) -> tuple[str, str]:
    """Team and customer of the first governed call."""
    owners = ((one.team, one.customer) for _, one in _rows_of_tree(call) if one.amount_nano is not None)
    return next(owners, ("", ""))


def _rows_of_tree(call: Call, guide: str = "", below: str = "") -> Iterator[tuple[str, Call]]:
    yield guide, call
    for child in call.calls:
        last = child is call.calls[-1]
        yield from _rows_of_tree(child, below + ("└─ " if last else "├─ "), below + ("   " if last else "│  "))


def _print_costs(spans: Spans, console: Console) -> None:
    total = _total(spans.costs)
    remark = f"{total.free:,} of {total.calls:,} billed calls were still in the free tier"
    print_title(console, "Cost by team, project and meter", remark)
    table = new_table("team / project", "billed as", "calls", "free", "cost USD", "at list", texts=2)
    for (team, project), lines in groupby(spans.costs, key=lambda line: line[:2]):
        for number, line in enumerate(lines):
            owner = " / ".join(filter(None, (team, project))) or "nobody"
            table.add_row(escape(owner) if number == 0 else "", _billed_as(line.meters), *_cost_cells(line))
    table.add_section()
    table.add_row("all", "", *_cost_cells(total), style="bold")
    console.print(table)
    customers = "   ".join(f"{escape(name)} {_usd(nano)}" for name, nano, _ in spans.customers)
    console.print(f"by customer   {customers}", soft_wrap=True)


def _print_budgets(figures: Figures, console: Console) -> None:
    print_title(console, "Budgets", "one team runs out, the others go on; what is refused is not sent")
    table = new_table("budget", "whose", "limit USD", "spent USD", "", "calls refused", texts=2)
    for line in figures.budgets:
        table.add_row(
            escape(line.budget),
            f"team {escape(line.team)}" if line.team else "everybody",
            _usd(line.limit_nano),
            _usd(line.spent_nano),
            f"{100 * line.spent_nano / line.limit_nano:.1f} %" if line.limit_nano else "",
            f"{line.refused:,}" if line.refused else "[green]0[/]",
        )
    console.print(table)
    if figures.spans is not None and figures.spans.refused is not None:
        console.print()
        console.print(_tree(figures.spans.refused))


def _cost_cells(line: CostLine) -> tuple[str, ...]:
    return f"{line.calls:,}", f"{line.free:,}", _usd(line.amount_nano), _usd(line.list_nano)


def _total(lines: Sequence[CostLine]) -> CostLine:
    calls, units, free, amount, at_list = (sum(column) for column in zip(*(line[3:] for line in lines), strict=True))
    return CostLine("", "", (), calls, units, free, amount, at_list)


def _print_flags(flags: Sequence[FlagLine], console: Console) -> None:
    print_title(console, "Feature flags", "a request is billed, an answer from downloaded definitions is not")
    table = new_table("how", "times", "billable requests", texts=1)
    for line in flags:
        table.add_row(_FLAG_KINDS[line.kind], f"{line.times:,}", f"{line.units:,}" if line.units else "[green]0[/]")
    console.print(table)


def _print_agreement(figures: Figures, console: Console) -> None:
    print_title(
        console, "Three witnesses", "units and USD by spans and their events, by OTLP metrics, by PostHog's rules"
    )
    table = new_table("meter", "spans", "metrics", "PostHog", "estimate", "bill", "", texts=1)
    for line in figures.meters:
        table.add_row(line.meter, *_agreement_cells(line), "[green]=[/]" if line.agrees else "[red]≠[/]")
    table.add_section()
    estimate = figures.metric_nano if figures.telemetry else None
    bill = figures.billed_nano if figures.events is not None else None
    table.add_row("all", "", "", "", _usd(estimate), _usd(bill), style="bold")
    console.print(table)


def _agreement_cells(line: MeterLine) -> tuple[str, ...]:
    units = (line.span_units, line.metric_units, line.billed_units)
    return (*("" if one is None else f"{one:,}" for one in units), _usd(line.metric_nano), _usd(line.billed_nano))


def _print_verdict(demonstration: Demonstration, console: Console) -> None:
    console.print()
    for problem in demonstration.problems:
        console.print(f"[red]✗[/] {escape(problem)}", soft_wrap=True)
    if not demonstration.problems:
        for verdict in (_verdict(demonstration.figures), one_trace_verdict(demonstration.one_trace)):
            console.print(f"[green]✓[/] {verdict}", soft_wrap=True)


def _verdict(figures: Figures | None) -> str:
    if figures is None:
        return "Everything was sent to your own backends, and nothing was refused."
    if figures.events is None:
        return "Spans and metrics agree. What PostHog counts is on its billing page some hours later."
    if not figures.telemetry:
        return f"{figures.events:,} events arrived, and this is what PostHog would bill."
    refused = sum(line.refused for line in figures.budgets)
    kept = f" {refused:,} calls were refused by a budget and never sent." if refused else ""
    return f"The estimate is the bill, to the nano-dollar, and all {figures.events:,} events arrived.{kept}"


def _print_next(demonstration: Demonstration, console: Console) -> None:
    backends = demonstration.backends
    lines = []
    if not backends.telemetry_is_local:
        where = f"service {SERVICE} in the backend behind {backends.otlp_endpoint}; look for genops.team=checkout"
        lines.append(("traces and metrics", where))
    if not backends.events_are_local:
        lines.append(("events", f"Activity in the project at {_app_host(backends.posthog_host)}, property genops_team"))
    command = _our_command()
    lines += [
        ("the shop's code", _short(SHOP)),
        ("your own app", "GENOPS_TEAM=my-team opentelemetry-instrument python app.py"),
        ("a local PostHog for it", f"{command} dev"),
        ("this in Jaeger, SigNoz", f"OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 {command} demo"),
        ("what a month costs", f"{command} cost estimate --events 3M --identified 1M --flags 2M"),
    ]
    print_title(console, "Where to look next")
    for what, where in lines:
        console.print(f"  {what:<23} [cyan]{escape(where)}[/]", soft_wrap=True)


def _our_command() -> str:
    """``genops-posthog``, or its path where the shell would not find it."""
    script = Path(sys.executable).with_name(_COMMAND)
    found = shutil.which(_COMMAND)
    if not script.exists() or (found is not None and Path(found).resolve() == script.resolve()):
        return _COMMAND
    return _short(script)


def _short(path: Path) -> str:
    """The path as it is typed from here."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _app_host(ingestion_host: str) -> str:
    """PostHog's web page beside an ingestion host: ``us.posthog.com`` beside ``us.i.posthog.com``."""
    return ingestion_host.replace(".i.posthog.com", ".posthog.com")


# --- for programs ----------------------------------------------------------------------------------------------------


def _figures_document(figures: Figures) -> dict[str, Any]:
    spans = figures.spans
    return {
        **({} if spans is None else _spans_document(spans)),
        "flags": {line.kind: {"times": line.times, "billable_units": line.units} for line in figures.flags},
        "budgets": {line.budget: _budget_document(line) for line in figures.budgets},
        "meters": {line.meter: _meter_document(line) for line in figures.meters},
        "estimate_usd": usd_from_nano(figures.metric_nano) if figures.telemetry else None,
        "bill_usd": usd_from_nano(figures.billed_nano) if figures.events is not None else None,
        "events": {"accepted": figures.events, "lost": figures.lost_events, "without_span": figures.unseen_events},
    }


def _spans_document(spans: Spans) -> dict[str, Any]:
    return {
        "price_book": spans.price_book,
        "traces": spans.requests,
        "calls": spans.calls,
        "trace": {"trace_id": spans.trace_id, **_call_document(spans.trace)},
        "refused": None if spans.refused is None else _call_document(spans.refused),
        "costs": [
            {
                "team": line.team,
                "project": line.project,
                "meters": list(line.meters),
                "calls": line.calls,
                "units": line.units,
                "free_calls": line.free,
                "cost_usd": usd_from_nano(line.amount_nano),
                "list_price_usd": usd_from_nano(line.list_nano),
            }
            for line in spans.costs
        ],
        "customers": {
            name: {"cost_usd": usd_from_nano(amount), "list_price_usd": usd_from_nano(at_list)}
            for name, amount, at_list in spans.customers
        },
        "span_cost_usd": usd_from_nano(spans.amount_nano),
    }


def _call_document(call: Call) -> dict[str, Any]:
    return {
        "name": call.name,
        "kind": call.kind,
        "duration_ms": round(call.duration_ns / 1e6, 3),
        "team": call.team,
        "customer": call.customer,
        "meters": list(call.meters),
        "cost_usd": None if call.amount_nano is None else usd_from_nano(call.amount_nano),
        "refused_by": call.refused_by or None,
        "calls": [_call_document(child) for child in call.calls],
    }


def _budget_document(line: BudgetLine) -> dict[str, Any]:
    return {
        "period": line.period,
        "team": line.team or None,
        "limit_usd": usd_from_nano(line.limit_nano),
        "spent_usd": usd_from_nano(line.spent_nano),
        "refused_calls": line.refused,
    }


def _meter_document(line: MeterLine) -> dict[str, Any]:
    return {
        "units_by_spans": line.span_units,
        "units_by_metrics": line.metric_units,
        "units_billed": line.billed_units,
        "estimate_usd": None if line.metric_nano is None else usd_from_nano(line.metric_nano),
        "bill_usd": None if line.billed_nano is None else usd_from_nano(line.billed_nano),
        "agrees": line.agrees,
    }
