"""When the witnesses agree, and how it is said when they do not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from genops_otel_posthog.demo.figures import BudgetLine, Call, Figures, MeterLine, Spans

AGREED = MeterLine("events", 3, 3, 3, 150_000, 150_000)
BUDGET = BudgetLine("everybody", "month", "", 1_000_000, 150_000, 150_000, 2, 2)
CALL = Call("GET /", "server", 1_000_000, "", "", (), None, ())
SPANS = Spans(CALL, "0" * 32, 3, 3, (), (), 150_000, "a-book")
FIGURES = Figures(SPANS, (), (AGREED,), 3, 0, 0, requests=3, telemetry=True)


def test_figures_that_agree_have_no_problem() -> None:
    assert FIGURES.problems == ()


@pytest.mark.parametrize("witness", ["span_units", "metric_units", "billed_units", "metric_nano", "billed_nano"])
def test_one_witness_that_differs_is_a_problem_of_the_meter(witness: str) -> None:
    line = AGREED._replace(**{witness: 4})

    assert not line.agrees
    assert replace(FIGURES, meters=(line,)).problems[0].startswith("events differs: ")


def test_a_witness_that_was_not_heard_contradicts_nobody() -> None:
    assert MeterLine("events", None, None, 3, None, 150_000).agrees


def test_spans_and_metrics_must_sum_up_to_the_same_amount() -> None:
    figures = replace(FIGURES, spans=replace(SPANS, amount_nano=100_000))

    assert figures.problems == ("the spans sum up to 100000 nano-USD and the metrics to 150000",)


def test_a_request_without_a_trace_is_a_problem() -> None:
    assert replace(FIGURES, requests=4).problems == ("3 of 4 requests arrived as a trace",)


def test_telemetry_that_did_not_arrive_is_a_problem() -> None:
    assert replace(FIGURES, spans=None).problems == ("no call to PostHog arrived as a span",)


def test_no_event_at_all_is_a_problem() -> None:
    assert replace(FIGURES, events=0).problems == ("no event arrived",)


def test_lost_and_unseen_events_are_problems() -> None:
    assert replace(FIGURES, lost_events=2, unseen_events=1).problems == (
        "2 events were sent and did not arrive",
        "1 billable events arrived that no span tells of",
    )


def test_a_budget_that_adds_up_has_no_problem() -> None:
    assert replace(FIGURES, budgets=(BUDGET,)).problems == ()


def test_a_budget_that_was_exceeded_is_a_problem() -> None:
    over = BUDGET._replace(limit_nano=100_000)

    assert replace(FIGURES, budgets=(over,)).problems == ("budget everybody has spent 150000 of 100000 nano-USD",)


def test_everybodys_budget_must_have_spent_what_the_spans_cost() -> None:
    assert BUDGET._replace(cost_nano=100_000).problems == (
        "budget everybody has spent 150000 nano-USD, its spans 100000",
    )


def test_every_refusal_must_have_its_span() -> None:
    assert BUDGET._replace(refused_spans=1).problems == ("budget everybody refused 2 calls, and 1 spans say so",)
