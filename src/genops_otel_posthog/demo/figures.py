"""What the demonstration shows: the figures, and whether those who report them agree.

Three witnesses tell of the same calls: the spans (with the events that were made of some), the OTLP metrics, and the
requests that PostHog's endpoints received.
The first two are this package's estimate, the third is what PostHog would bill. They must agree to the unit and to the
nano-USD.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class CostLine(NamedTuple):
    """Calls of one team and project that are billed alike.

    Attributes:
        team: ``genops.team``; empty when the span has none.
        project: ``genops.project``.
        meters: The meters that bill the calls, the primary one first.
        calls: Number of calls.
        units: Units of the primary meter.
        free: Calls that fell into the free tier.
        amount_nano: Marginal cost, nano-USD.
        list_nano: Cost at the first paid tier, nano-USD.
    """

    team: str
    project: str
    meters: tuple[str, ...]
    calls: int
    units: int
    free: int
    amount_nano: int
    list_nano: int

    def plus(self, other: CostLine) -> CostLine:
        """This line with the figures of another one of the same owner and the same meters."""
        return CostLine(*self[:3], *(mine + its for mine, its in zip(self[3:], other[3:], strict=True)))


class MeterLine(NamedTuple):
    """One meter as each witness saw it; ``None`` where a witness was not heard.

    Attributes:
        meter: Name of the meter.
        span_units: Units by the spans, and by the events that they became.
        metric_units: Units by the metric ``genops.usage``.
        billed_units: Units by PostHog's rules, from the requests it received.
        metric_nano: Cost by the metric ``genops.cost.usage``, nano-USD.
        billed_nano: Cost of ``billed_units`` by the price book, nano-USD.
    """

    meter: str
    span_units: int | None
    metric_units: int | None
    billed_units: int | None
    metric_nano: int | None
    billed_nano: int | None

    @property
    def agrees(self) -> bool:
        """Whether all witnesses that were heard say the same."""
        units = {self.span_units, self.metric_units, self.billed_units} - {None}
        return len(units) <= 1 and len({self.metric_nano, self.billed_nano} - {None}) <= 1


class FlagLine(NamedTuple):
    """Flag reads or requests of one kind.

    Attributes:
        kind: ``local``, ``remote``, ``definitions`` or ``not_modified`` (definitions that had not changed).
        times: How many.
        units: Flag requests that PostHog bills for them together.
    """

    kind: str
    times: int
    units: int


class BudgetLine(NamedTuple):
    """A budget, as the shop reported it last.

    Attributes:
        budget: Its id.
        period: ``day`` or ``month``.
        team: Whose it is; empty for everybody's.
        limit_nano: Limit, nano-USD.
        spent_nano: Spent, nano-USD.
        cost_nano: What everybody's calls, exported events and calls of models cost by what each says itself, nano-USD;
            ``None`` for a team's budget, whose part of the free tier the ledger settles once a second and the spans at
            each call.
        refused: Calls that it refused, by the metric.
        refused_spans: Calls that it refused, by their spans.
    """

    budget: str
    period: str
    team: str
    limit_nano: int
    spent_nano: int
    cost_nano: int | None
    refused: int
    refused_spans: int

    @property
    def problems(self) -> tuple[str, ...]:
        """What does not add up."""
        found = []
        if self.spent_nano > self.limit_nano:
            found.append(f"budget {self.budget} has spent {self.spent_nano} of {self.limit_nano} nano-USD")
        if self.cost_nano not in (None, self.spent_nano):
            found.append(f"budget {self.budget} has spent {self.spent_nano} nano-USD, its spans {self.cost_nano}")
        if self.refused != self.refused_spans:
            found.append(f"budget {self.budget} refused {self.refused} calls, and {self.refused_spans} spans say so")
        return tuple(found)


class Call(NamedTuple):
    """A span of the trace that is shown, with the calls inside it.

    Attributes:
        name: The span's name.
        kind: ``server``, ``producer``, ``client`` or ``internal``.
        duration_ns: Nanoseconds.
        team: ``genops.team``, empty for spans that are not governed.
        customer: ``genops.customer_id``, likewise.
        meters: The meters that bill the call, empty when it is not billed.
        amount_nano: Marginal cost, nano-USD; ``None`` for spans that are not governed.
        calls: Child spans by start.
        refused_by: The budget that refused the call; empty when it was made.
    """

    name: str
    kind: str
    duration_ns: int
    team: str
    customer: str
    meters: tuple[str, ...]
    amount_nano: int | None
    calls: tuple[Call, ...]
    refused_by: str = ""


@dataclass(frozen=True)
class Spans:
    """What the spans say.

    Attributes:
        trace: The most telling request.
        trace_id: Its trace id.
        requests: Requests to the shop that arrived as a trace.
        calls: Calls to PostHog among them.
        costs: Cost by team, project and meters.
        customers: Marginal and list cost by customer, the largest first.
        amount_nano: Marginal cost of everything, also of the events that spans became, nano-USD.
        price_book: The book the amounts were computed with.
        refused: A request in which a budget refused a call; ``None`` when there was none.
    """

    trace: Call
    trace_id: str
    requests: int
    calls: int
    costs: tuple[CostLine, ...]
    customers: tuple[tuple[str, int, int], ...]
    amount_nano: int
    price_book: str
    refused: Call | None = None


@dataclass(frozen=True)
class Figures:
    """Everything that is shown.

    Attributes:
        spans: ``None`` when none arrived.
        flags: Flag reads and requests.
        meters: The witnesses side by side, in the order of PostHog's price list.
        events: Events that PostHog's endpoints accepted; ``None`` when they went to the real PostHog.
        lost_events: Events that a span says were sent and that did not arrive.
        unseen_events: Billable events that arrived and that no span tells of.
        requests: Requests that were sent to the shop.
        telemetry: Whether traces and metrics were to arrive at the receiver.
        budgets: The budgets, by id.
    """

    spans: Spans | None
    flags: tuple[FlagLine, ...]
    meters: tuple[MeterLine, ...]
    events: int | None
    lost_events: int
    unseen_events: int
    requests: int
    telemetry: bool
    budgets: tuple[BudgetLine, ...] = ()

    @property
    def metric_nano(self) -> int:
        """Cost of everything by the metrics, nano-USD."""
        return sum(line.metric_nano or 0 for line in self.meters)

    @property
    def billed_nano(self) -> int:
        """What PostHog would bill, nano-USD."""
        return sum(line.billed_nano or 0 for line in self.meters)

    @property
    def problems(self) -> tuple[str, ...]:
        """Where the witnesses differ; empty when the estimate is right."""
        found = [f"{line.meter} differs: {_describe(line)}" for line in self.meters if not line.agrees]
        for budget in self.budgets:
            found.extend(budget.problems)
        if self.telemetry and self.spans is None:
            found.append("no call to PostHog arrived as a span")
        if self.spans is not None:
            if self.spans.requests != self.requests:
                found.append(f"{self.spans.requests} of {self.requests} requests arrived as a trace")
            if self.spans.amount_nano != self.metric_nano:
                found.append(
                    f"the spans sum up to {self.spans.amount_nano} nano-USD and the metrics to {self.metric_nano}"
                )
        if self.events == 0:
            found.append("no event arrived")
        if self.lost_events:
            found.append(f"{self.lost_events} events were sent and did not arrive")
        if self.unseen_events:
            found.append(f"{self.unseen_events} billable events arrived that no span tells of")
        return tuple(found)


def _describe(line: MeterLine) -> str:
    return (
        f"spans {line.span_units}, metrics {line.metric_units}, PostHog {line.billed_units} units; "
        f"estimate {line.metric_nano}, bill {line.billed_nano} nano-USD"
    )
