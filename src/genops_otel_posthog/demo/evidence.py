"""From what arrived at the receiver, and from nothing else, to the figures that the demonstration shows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from genops_otel_posthog import semconv
from genops_otel_posthog.demo.figures import BudgetLine, Call, CostLine, Figures, FlagLine, MeterLine, Spans
from genops_otel_posthog.money import NANO_PER_USD
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
) -> Figures:
    """Asks the receiver for everything and computes the figures.

    Args:
        receiver: Where things arrived.
        usage_to_date: Units by meter that the organisation had used before, which decide what further units cost.
        price_book: Name or path of the book that the bill is computed with.
        requests: How many requests were sent to the shop.
        telemetry: Whether traces and metrics went to the receiver.
        events: Whether events and flag requests went to the receiver.
    """
    spans = receiver.spans() if telemetry else []
    governed = [span for span in spans if span.attributes.get(semconv.GENOPS_PROVIDER) == "posthog"]
    arrived = receiver.events() if events else None
    bill = receiver.bill() if events else None
    lost, unseen = _compare_events(governed, arrived) if telemetry and arrived is not None else (0, 0)
    return Figures(
        spans=_spans(receiver, spans, governed) if governed else None,
        flags=_flags(governed, bill),
        budgets=_budgets(receiver, governed) if telemetry else (),
        meters=_meters(
            units_of_spans(governed) if telemetry else None,
            _by_meter(receiver.metrics(semconv.METRIC_GENOPS_USAGE)) if telemetry else None,
            _by_meter(receiver.metrics(semconv.METRIC_GENOPS_COST_USAGE)) if telemetry else None,
            None if bill is None else bill.meters,
            usage_to_date,
            PriceBook.load(price_book),
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


def _nano(usd: float) -> int:
    """The exact amount behind a double of telemetry: amounts are whole nano-USD."""
    return round(usd * NANO_PER_USD)


def _amount(span: ReceivedSpan) -> int:
    return _nano(span.attributes[semconv.GENOPS_COST_AMOUNT])


def _spans(receiver: ReceiverClient, spans: Sequence[ReceivedSpan], governed: Sequence[ReceivedSpan]) -> Spans:
    trace_id = _most_telling_trace(governed)
    refused_in = next((span.trace_id for span in governed if _refused_by(span)), None)
    return Spans(
        trace=_call(receiver.trace(trace_id).roots[0]),
        trace_id=trace_id,
        refused=None if refused_in is None else _call(receiver.trace(refused_in).roots[0]),
        requests=sum(span.kind == "server" for span in spans),
        calls=len(governed),
        costs=_cost_lines(governed),
        customers=_customers(governed),
        amount_nano=sum(map(_amount, governed)),
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


def _budgets(receiver: ReceiverClient, governed: Sequence[ReceivedSpan]) -> tuple[BudgetLine, ...]:
    """The budgets by the metrics, each beside what the spans of its calls say."""
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
            limit_nano=_nano(series.value or 0.0),
            spent_nano=_nano(spent.get(budget, 0.0)),
            cost_nano=None if semconv.GENOPS_TEAM in series.attributes else sum(map(_amount, governed)),
            refused=refused[budget],
            refused_spans=refused_spans[budget],
        )
        for budget, series in sorted(limits.items())
    )


def _cost_lines(governed: Iterable[ReceivedSpan]) -> tuple[CostLine, ...]:
    lines: dict[tuple[str, str, tuple[str, ...]], CostLine] = {}
    for span in governed:
        meters = meters_of(span)
        if not meters:
            continue
        attributes, amount = span.attributes, _amount(span)
        key = (attributes.get(semconv.GENOPS_TEAM, ""), attributes.get(semconv.GENOPS_PROJECT, ""), meters)
        line = lines.get(key, CostLine(*key, 0, 0, 0, 0, 0))
        lines[key] = line._replace(
            calls=line.calls + 1,
            units=line.units + attributes[semconv.GENOPS_COST_UNITS],
            free=line.free + (amount == 0),
            amount_nano=line.amount_nano + amount,
            list_nano=line.list_nano + _nano(attributes[semconv.GENOPS_COST_LIST_AMOUNT]),
        )
    return tuple(sorted(lines.values()))


def _customers(governed: Iterable[ReceivedSpan]) -> tuple[tuple[str, int, int], ...]:
    amounts: Counter[str] = Counter()
    at_list: Counter[str] = Counter()
    for span in governed:
        customer = span.attributes.get(semconv.GENOPS_CUSTOMER_ID)
        if customer is not None:
            amounts[customer] += _amount(span)
            at_list[customer] += _nano(span.attributes[semconv.GENOPS_COST_LIST_AMOUNT])
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
                metric_nano=None if metric_usd is None else _nano(metric_usd.get(meter, 0)),
                billed_nano=None if billed is None else book.marginal_nano(meter, usage_to_date.get(meter, 0), billed),
            )
        )
    return tuple(lines)


def _compare_events(governed: Iterable[ReceivedSpan], arrived: Iterable[ReceivedEvent]) -> tuple[int, int]:
    """Events that were sent and did not arrive, and billable events that arrived and that no span tells of."""
    sent = {uuid for span in governed if (uuid := span.attributes.get(semconv.POSTHOG_EVENT_UUID)) is not None}
    received = {event.uuid: event.event for event in arrived}
    # The SDK tells PostHog of flag reads by free events of its own, which belong to the span of the read.
    unseen = {uuid for uuid, name in received.items() if name not in UNBILLED_EVENTS} - sent
    return len(sent - received.keys()), len(unseen)
