"""From what arrived at the receiver, and from nothing else, to the figures that the demonstration shows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from genops_otel_posthog import semconv
from genops_otel_posthog.demo.exported import ExportedEvent, nano_of
from genops_otel_posthog.demo.figures import BudgetLine, Call, CostLine, Figures, FlagLine, MeterLine, Spans
from genops_otel_posthog.pricing.billing import UNBILLED_EVENTS
from genops_otel_posthog.pricing.book import PriceBook
from genops_otel_posthog.pricing.meters import EVENTS, IDENTIFIED_EVENTS, METERS
from genops_otel_posthog.receiver.client import ReceiverClient
from genops_otel_posthog.receiver.records import Bill, MetricSeries, ReceivedEvent, ReceivedSpan, SpanNode


def read_figures(
    receiver: ReceiverClient,
    usage_to_date: Mapping[str, int],
    price_book: str,
    *,
    requests: int,
    telemetry: bool,
    events: bool,
    exported: Sequence[ExportedEvent] = (),
) -> Figures:
    """Asks the receiver for everything and computes the figures.

    Args:
        receiver: Where things arrived.
        usage_to_date: Units by meter that the organisation had used before, which decide what further units cost.
        price_book: Name or path of the book that the bill is computed with.
        requests: How many requests were sent to the shop.
        telemetry: Whether traces and metrics went to the receiver.
        events: Whether events and flag requests went to the receiver.
        exported: The events that spans became, which cost what they say themselves.
    """
    book = PriceBook.load(price_book)
    spans = receiver.spans() if telemetry else []
    governed = [span for span in spans if span.attributes.get(semconv.GENOPS_PROVIDER) == "posthog"]
    arrived = receiver.events() if events else None
    bill = receiver.bill() if events else None
    lost, unseen = _compare_events(governed, exported, arrived) if telemetry and arrived is not None else (0, 0)
    return Figures(
        spans=_spans(receiver, spans, governed, exported, book) if governed else None,
        flags=_flags(governed, bill),
        budgets=_budgets(receiver, governed, exported) if telemetry else (),
        meters=_meters(
            units_of_spans(governed) + units_of_events(exported) if telemetry else None,
            _by_meter(receiver.metrics(semconv.METRIC_GENOPS_USAGE)) if telemetry else None,
            _by_meter(receiver.metrics(semconv.METRIC_GENOPS_COST_USAGE)) if telemetry else None,
            None if bill is None else bill.meters,
            usage_to_date,
            book,
        ),
        events=None if arrived is None else len(arrived),
        lost_events=lost,
        unseen_events=unseen,
        requests=requests,
        telemetry=telemetry,
    )


def meters_of(span: ReceivedSpan) -> tuple[str, ...]:
    """The meters that bill a call, the primary one first; empty when it is not billed."""
    meter = span.attributes.get(semconv.GENOPS_COST_METER)
    if meter is None:
        return ()
    if meter == EVENTS and span.attributes.get(semconv.POSTHOG_EVENT_IDENTIFIED):
        return (EVENTS, IDENTIFIED_EVENTS)
    return (meter,)


def units_of_spans(governed: Iterable[ReceivedSpan]) -> Counter[str]:
    """Units by meter as the spans tell them: an identified event is one unit of a second meter, too."""
    units: Counter[str] = Counter()
    for span in governed:
        for number, meter in enumerate(meters_of(span)):
            units[meter] += span.attributes[semconv.GENOPS_COST_UNITS] if number == 0 else 1
    return units


def units_of_events(exported: Iterable[ExportedEvent]) -> Counter[str]:
    """Units by meter of the events that spans became."""
    units: Counter[str] = Counter()
    for event in exported:
        for charge in event.charges:
            units[charge.meter] += charge.units
    return units


def _amount(span: ReceivedSpan) -> int:
    return nano_of(span.attributes[semconv.GENOPS_COST_AMOUNT])


def _amount_of(governed: Iterable[ReceivedSpan], exported: Iterable[ExportedEvent]) -> int:
    return sum(map(_amount, governed)) + sum(event.amount_nano for event in exported)


def _spans(
    receiver: ReceiverClient,
    spans: Sequence[ReceivedSpan],
    governed: Sequence[ReceivedSpan],
    exported: Sequence[ExportedEvent],
    book: PriceBook,
) -> Spans:
    charged = [*map(_charged_span, governed), *(_charged_event(event, book) for event in exported)]
    trace_id = _most_telling_trace(governed)
    refused_in = next((span.trace_id for span in governed if _refused_by(span)), None)
    return Spans(
        trace=_call(receiver.trace(trace_id).roots[0]),
        trace_id=trace_id,
        refused=None if refused_in is None else _call(receiver.trace(refused_in).roots[0]),
        requests=sum(span.kind == "server" for span in spans),
        calls=len(governed),
        costs=_cost_lines(charged),
        customers=_customers(charged),
        amount_nano=_amount_of(governed, exported),
        price_book=governed[0].attributes[semconv.GENOPS_COST_PRICE_BOOK],
    )


def _most_telling_trace(governed: Iterable[ReceivedSpan]) -> str:
    """The trace with the most different calls in it; among those the costliest, and then the quickest."""
    names: dict[str, set[str]] = defaultdict(set)
    amounts: Counter[str] = Counter()
    durations: Counter[str] = Counter()
    for span in governed:
        names[span.trace_id].add(span.name)
        amounts[span.trace_id] += _amount(span)
        durations[span.trace_id] += span.end_ns - span.start_ns
    return max(names, key=lambda trace_id: (len(names[trace_id]), amounts[trace_id], -durations[trace_id]))


def _call(node: SpanNode) -> Call:
    span = node.span
    governed = semconv.GENOPS_COST_AMOUNT in span.attributes
    return Call(
        name=span.name,
        kind=span.kind,
        duration_ns=span.end_ns - span.start_ns,
        team=span.attributes.get(semconv.GENOPS_TEAM, ""),
        customer=span.attributes.get(semconv.GENOPS_CUSTOMER_ID, ""),
        meters=meters_of(span),
        amount_nano=_amount(span) if governed else None,
        refused_by=_refused_by(span),
        calls=tuple(map(_call, node.children)),
    )


def _refused_by(span: ReceivedSpan) -> str:
    if span.attributes.get(semconv.GENOPS_POLICY_RESULT) != semconv.POLICY_RESULT_BLOCKED:
        return ""
    return str(span.attributes.get(semconv.GENOPS_BUDGET_ID, ""))


def _budgets(
    receiver: ReceiverClient, governed: Sequence[ReceivedSpan], exported: Sequence[ExportedEvent]
) -> tuple[BudgetLine, ...]:
    """The budgets by the metrics, each beside what the spans of its calls say, and the events that spans became."""
    cost = _amount_of(governed, exported) + sum(event.model_cost_nano for event in exported)
    limits = {
        series.attributes[semconv.GENOPS_BUDGET_ID]: series
        for series in receiver.metrics(semconv.METRIC_GENOPS_BUDGET_LIMIT)
    }
    spent = {
        series.attributes[semconv.GENOPS_BUDGET_ID]: series.value or 0.0
        for series in receiver.metrics(semconv.METRIC_GENOPS_BUDGET_CONSUMED)
    }
    refused: Counter[str] = Counter()
    for series in receiver.metrics(semconv.METRIC_GENOPS_POLICY_DECISIONS):
        if series.attributes[semconv.GENOPS_POLICY_RESULT] == semconv.POLICY_RESULT_BLOCKED:
            refused[series.attributes[semconv.GENOPS_BUDGET_ID]] += int(series.value or 0)
    refused_spans = Counter(map(_refused_by, governed))
    return tuple(
        BudgetLine(
            budget=budget,
            period=series.attributes[semconv.GENOPS_BUDGET_PERIOD],
            team=series.attributes.get(semconv.GENOPS_TEAM, ""),
            limit_nano=nano_of(series.value or 0.0),
            spent_nano=nano_of(spent.get(budget, 0.0)),
            cost_nano=None if semconv.GENOPS_TEAM in series.attributes else cost,
            refused=refused[budget],
            refused_spans=refused_spans[budget],
        )
        for budget, series in sorted(limits.items())
    )


class _Charged(NamedTuple):
    """What was billed for a call, or for an event that a span became."""

    customer: str | None
    line: CostLine


def _charged_span(span: ReceivedSpan) -> _Charged:
    attributes, amount = span.attributes, _amount(span)
    owner = attributes.get(semconv.GENOPS_TEAM, ""), attributes.get(semconv.GENOPS_PROJECT, "")
    at_list = nano_of(attributes[semconv.GENOPS_COST_LIST_AMOUNT])
    units = attributes[semconv.GENOPS_COST_UNITS]
    line = CostLine(*owner, meters_of(span), 1, units, int(amount == 0), amount, at_list)
    return _Charged(attributes.get(semconv.GENOPS_CUSTOMER_ID), line)


def _charged_event(event: ExportedEvent, book: PriceBook) -> _Charged:
    told, amount, charges = event.properties, event.amount_nano, event.charges
    owner = told.get(semconv.PROPERTY_GENOPS_TEAM, ""), told.get(semconv.PROPERTY_GENOPS_PROJECT, "")
    at_list = sum(book.list_price_nano(charge.meter) * charge.units for charge in charges)
    meters = tuple(charge.meter for charge in charges)
    line = CostLine(*owner, meters, 1, charges[0].units if charges else 0, int(amount == 0), amount, at_list)
    return _Charged(told.get(semconv.PROPERTY_GENOPS_CUSTOMER_ID), line)


def _cost_lines(charged: Iterable[_Charged]) -> tuple[CostLine, ...]:
    lines: dict[tuple[object, ...], CostLine] = {}
    for _, one in charged:
        if one.meters:
            before = lines.get(one[:3])
            lines[one[:3]] = one if before is None else before.plus(one)
    return tuple(sorted(lines.values()))


def _customers(charged: Iterable[_Charged]) -> tuple[tuple[str, int, int], ...]:
    amounts: Counter[str] = Counter()
    at_list: Counter[str] = Counter()
    for customer, line in charged:
        if customer is not None:
            amounts[customer] += line.amount_nano
            at_list[customer] += line.list_nano
    lines = ((customer, amounts[customer], nano) for customer, nano in at_list.items())
    return tuple(sorted(lines, key=lambda line: line[1:], reverse=True))


def _flags(governed: Iterable[ReceivedSpan], bill: Bill | None) -> tuple[FlagLine, ...]:
    """Local evaluations are known to the spans alone; requests are counted where they arrived."""
    local = sum(bool(span.attributes.get(semconv.POSTHOG_FLAGS_LOCALLY_EVALUATED)) for span in governed)
    lines = [FlagLine("local", local, 0)] if local else []
    kinds = {"remote": "flags 200", "definitions": "definitions 200", "not_modified": "definitions 304"}
    for kind, key in kinds.items():
        answered = bill.flag_requests.get(key) if bill is not None else None
        if answered is not None:
            lines.append(FlagLine(kind, answered["requests"], answered["units"]))
    return tuple(lines)


def _by_meter(series: Iterable[MetricSeries]) -> dict[str, float]:
    """The sum of a cumulative metric's series, by meter."""
    sums: dict[str, float] = defaultdict(float)
    for one in series:
        sums[one.attributes[semconv.GENOPS_COST_METER]] += one.value or 0.0
    return sums


def _meters(
    span_units: Mapping[str, int] | None,
    metric_units: Mapping[str, float] | None,
    metric_usd: Mapping[str, float] | None,
    billed_units: Mapping[str, int] | None,
    usage_to_date: Mapping[str, int],
    book: PriceBook,
) -> tuple[MeterLine, ...]:
    lines = []
    for meter in METERS:
        if not any(witness and witness.get(meter) for witness in (span_units, metric_units, billed_units)):
            continue
        billed = None if billed_units is None else billed_units.get(meter, 0)
        lines.append(
            MeterLine(
                meter=meter,
                span_units=None if span_units is None else span_units.get(meter, 0),
                metric_units=None if metric_units is None else int(metric_units.get(meter, 0)),
                billed_units=billed,
                metric_nano=None if metric_usd is None else nano_of(metric_usd.get(meter, 0)),
                billed_nano=None if billed is None else book.marginal_nano(meter, usage_to_date.get(meter, 0), billed),
            )
        )
    return tuple(lines)


def _compare_events(
    governed: Iterable[ReceivedSpan], exported: Iterable[ExportedEvent], arrived: Iterable[ReceivedEvent]
) -> tuple[int, int]:
    """Events that were sent and did not arrive, and billable events that arrived and that nobody tells of."""
    sent = {event.uuid for event in exported}
    sent |= {uuid for span in governed if (uuid := span.attributes.get(semconv.POSTHOG_EVENT_UUID)) is not None}
    received = {event.uuid: event.event for event in arrived}
    # The SDK tells PostHog of flag reads by free events of its own, which belong to the span of the read.
    unseen = {uuid for uuid, name in received.items() if name not in UNBILLED_EVENTS} - sent
    return len(sent - received.keys()), len(unseen)
