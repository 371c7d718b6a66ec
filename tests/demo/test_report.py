"""The report on paper and as data."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from genops_otel_posthog.demo.backends import Backends
from genops_otel_posthog.demo.figures import BudgetLine, Call, CostLine, Figures, FlagLine, MeterLine, Spans
from genops_otel_posthog.demo.one_trace import OneTrace
from genops_otel_posthog.demo.report import as_document, print_report
from genops_otel_posthog.demo.run import Demonstration
from genops_otel_posthog.demo.traffic import Traffic

BOTH = ("events", "identified_events")
CHILDREN = (
    Call("evaluate_flags", "client", 2_100_000, "growth", "acme", ("feature_flag_requests",), 100_000, ()),
    Call("capture user_signed_up", "producer", 300_000, "growth", "acme", BOTH, 248_000, ()),
    Call("evaluate_flag new-navigation", "internal", 40_000, "growth", "acme", (), 0, ()),
)
SPANS = Spans(
    trace=Call("POST /signup", "server", 8_200_000, "", "", (), None, CHILDREN),
    trace_id="0af7651916cd43dd8448eb211c80319c",
    requests=2,
    calls=3,
    costs=(
        CostLine("checkout", "payments", BOTH, 1, 1, 1, 0, 248_000),
        CostLine("growth", "onboarding", BOTH, 1, 1, 0, 248_000, 248_000),
        CostLine("growth", "onboarding", ("feature_flag_requests",), 1, 10, 0, 100_000, 1_000_000),
    ),
    customers=(("acme", 348_000, 1_248_000), ("globex", 0, 248_000)),
    amount_nano=348_000,
    price_book="posthog-2026-07-22",
)
FIGURES = Figures(
    spans=SPANS,
    flags=(FlagLine("local", 1, 0), FlagLine("remote", 10, 10), FlagLine("not_modified", 3, 0)),
    meters=(
        MeterLine("events", 2, 2, 2, 50_000, 50_000),
        MeterLine("identified_events", 2, 2, 2, 198_000, 198_000),
        MeterLine("feature_flag_requests", 10, 10, 10, 100_000, 100_000),
    ),
    events=2,
    lost_events=0,
    unseen_events=0,
    requests=2,
    telemetry=True,
)
ONE_TRACE = OneTrace(
    trace_id="0af7651916cd43dd8448eb211c80319c",
    request="POST /questions",
    spans=8,
    failed_spans=2,
    events=Counter({"tool_used": 2, "$exception": 1}),
    posthog=3,
    sdk_events=1,
    rudderstack=3,
    database=Counter({"event_logs": 3, "agent_trace_history": 1}),
    models=("gpt-5-mini",),
    model_cost_nano=124_000,
    trace_url="http://127.0.0.1:8123/api/traces/0af7651916cd43dd8448eb211c80319c",
    problems=(),
)
DEMONSTRATION = Demonstration(
    Backends(), Traffic(2, Counter({200: 1, 201: 1}), 0.5), FIGURES, ONE_TRACE, seconds=6.25, log=""
)


def printed(demonstration: Demonstration = DEMONSTRATION, width: int = 80) -> list[str]:
    paper = StringIO()
    print_report(demonstration, Console(file=paper, width=width, highlight=False))
    return paper.getvalue().splitlines()


def with_figures(figures: Figures) -> Demonstration:
    return replace(DEMONSTRATION, figures=figures)


def line_with(text: str, lines: list[str]) -> str:
    found = [line for line in lines if text in line]
    assert len(found) == 1, lines
    return found[0]


def test_tables_fit_a_terminal_of_80_columns() -> None:
    assert not [line for line in printed() if "…" in line.replace("trace 0af76519…", "")]


def test_calls_stand_inside_their_request_with_duration_meter_and_cost() -> None:
    lines = printed()

    assert line_with("POST /signup", lines).split() == ["POST", "/signup", "server", "8.2"]
    assert line_with("├─ evaluate_flags", lines).split()[2:] == ["client", "feature_flag_requests", "2.1", "0.000100"]
    assert "events + identified" in line_with("├─ capture user_signed_up", lines)
    assert "not billed" in line_with("└─ evaluate_flag new-navigation", lines)


def test_the_trace_is_headed_by_its_owner() -> None:
    assert "team growth, customer acme" in line_with("One request as a trace", printed())


def test_costs_stand_beside_their_owner_with_the_list_price() -> None:
    assert line_with("checkout / payments", printed()).split()[-4:] == ["1", "1", "0.000000", "0.000248"]


def test_an_owner_is_named_once() -> None:
    assert line_with("growth / onboarding", printed())


def test_costs_that_nobody_owns_are_said_to_be_nobody_s() -> None:
    costs = (CostLine("", "", ("events",), 1, 1, 0, 50_000, 50_000),)

    assert line_with("nobody", printed(with_figures(replace(FIGURES, spans=replace(SPANS, costs=costs)))))


def test_flags_that_cost_nothing_stand_beside_those_that_do() -> None:
    lines = printed()

    assert line_with("answered in the process", lines).split()[-2:] == ["1", "0"]
    assert line_with("asked PostHog", lines).split()[-2:] == ["10", "10"]
    assert line_with("definitions unchanged (304)", lines).split()[-2:] == ["3", "0"]


def test_witnesses_that_agree_are_marked_equal_and_the_verdict_says_so() -> None:
    lines = printed()

    assert line_with("identified_events", lines).split()[1:] == ["2", "2", "2", "0.000198", "0.000198", "="]
    assert line_with("The estimate is the bill", lines)


def test_witnesses_that_differ_are_marked_and_the_problem_replaces_the_verdict() -> None:
    lines = printed(with_figures(replace(FIGURES, meters=(FIGURES.meters[0]._replace(billed_units=3),), lost_events=2)))

    assert line_with("≠", lines)
    assert line_with("✗ 2 events were sent and did not arrive", lines)
    assert not [line for line in lines if "The estimate is the bill" in line]


def test_names_that_look_like_markup_are_printed_as_they_are() -> None:
    root = SPANS.trace._replace(name="[red]GET[/] /")

    assert line_with("[red]GET[/] /", printed(with_figures(replace(FIGURES, spans=replace(SPANS, trace=root)))))


def test_what_could_not_be_delivered_is_a_problem() -> None:
    refusal = "Failed to export span batch code: 401, reason: Unauthorized"
    demonstration = replace(DEMONSTRATION, log=f"shop\n{refusal}\n{refusal}")

    assert demonstration.problems == (refusal,)
    assert line_with("✗ Failed to export span batch", printed(demonstration))


def test_where_telemetry_went_is_said_when_it_went_elsewhere() -> None:
    elsewhere = replace(
        DEMONSTRATION,
        backends=Backends(otlp_endpoint="http://localhost:4318"),
        figures=replace(FIGURES, spans=None, telemetry=False),
    )

    assert "service shop in the backend behind http://localhost:4318" in line_with(
        "traces and metrics", printed(elsewhere)
    )


def test_where_events_went_is_said_when_they_went_elsewhere() -> None:
    elsewhere = replace(DEMONSTRATION, backends=Backends(posthog_key="phc_mine"), figures=replace(FIGURES, events=None))

    assert "https://us.posthog.com" in line_with("Activity in the project", printed(elsewhere))


def test_commands_to_copy_work_where_the_command_is_not_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts = tmp_path / "venv" / "bin"
    scripts.mkdir(parents=True)
    (scripts / "genops-posthog").touch(mode=0o755)
    monkeypatch.setattr("sys.executable", str(scripts / "python"))
    monkeypatch.setenv("PATH", "")
    monkeypatch.chdir(tmp_path)

    assert "venv/bin/genops-posthog dev" in line_with("a local PostHog", printed())


def test_commands_to_copy_are_short_where_the_command_is_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "genops-posthog").touch(mode=0o755)
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))

    assert line_with("a local PostHog", printed()).endswith(" genops-posthog dev")


def test_the_key_of_the_user_is_printed_nowhere() -> None:
    elsewhere = replace(DEMONSTRATION, backends=Backends("phc_mine", personal_key="phx_mine"), figures=None)

    assert "phc_mine" not in "\n".join([*printed(elsewhere), json.dumps(as_document(elsewhere), default=str)])


def test_the_document_has_exact_amounts_in_dollars() -> None:
    document = as_document(DEMONSTRATION)

    assert (document["ok"], document["estimate_usd"], document["bill_usd"]) == (
        True,
        Decimal("0.000348"),
        Decimal("0.000348"),
    )
    assert document["costs"][1]["cost_usd"] == Decimal("0.000248")
    assert document["meters"]["identified_events"]["agrees"] is True


def test_the_document_says_what_is_wrong() -> None:
    document = as_document(with_figures(replace(FIGURES, lost_events=2)))

    assert (document["ok"], document["problems"]) == (False, ["2 events were sent and did not arrive"])


@pytest.mark.parametrize("figures", [FIGURES, None])
def test_the_document_says_where_things_went(figures: Figures | None) -> None:
    document = as_document(replace(DEMONSTRATION, figures=figures))

    assert (document["events_to"], document["telemetry_to"]) == ("local receiver", "local receiver")


REFUSED = Call(
    "GET /",
    "server",
    1_000_000,
    "",
    "",
    (),
    None,
    (Call("capture $pageview", "producer", 200_000, "growth", "acme", (), 0, (), "growth-daily"),),
)
WITH_BUDGETS = replace(
    DEMONSTRATION,
    figures=replace(
        FIGURES,
        spans=replace(SPANS, refused=REFUSED),
        budgets=(
            BudgetLine("everybody", "month", "", 1_000_000_000, 348_000, 348_000, 0, 0),
            BudgetLine("growth-daily", "day", "growth", 350_000, 348_000, None, 7, 7),
        ),
    ),
)


def test_budgets_stand_beside_what_was_spent_and_refused() -> None:
    lines = printed(WITH_BUDGETS)

    assert any(line.split() == ["everybody", "everybody", "1.000000", "0.000348", "0.0", "%", "0"] for line in lines)
    assert any(
        line.split() == ["growth-daily", "team", "growth", "0.000350", "0.000348", "99.4", "%", "7"] for line in lines
    )


def test_a_refused_call_stands_in_its_request_with_the_budget_that_refused_it() -> None:
    assert any("capture $pageview" in line and "refused by growth-daily" in line for line in printed(WITH_BUDGETS))


def test_the_verdict_says_how_many_calls_were_refused() -> None:
    assert any(line.endswith("7 calls were refused by a budget and never sent.") for line in printed(WITH_BUDGETS, 200))


def test_the_document_says_who_refused_what() -> None:
    document = as_document(WITH_BUDGETS)

    assert document["budgets"]["growth-daily"]["refused_calls"] == 7
    assert document["refused"]["calls"][0]["refused_by"] == "growth-daily"


def row(system: str, lines: list[str]) -> str:
    """The line of a system in the table of one trace."""
    start = next(number for number, line in enumerate(lines) if line.startswith("One trace everywhere"))
    return " ".join(next(line for line in lines[start:] if line.startswith(f"{system}  ")).split())


def test_each_system_has_a_line_with_what_it_has_of_the_one_trace() -> None:
    lines = printed()

    assert f"trace {ONE_TRACE.trace_id}" in line_with("One trace everywhere", lines)
    assert row("traces", lines) == "traces POST /questions: 8 spans, 2 of them failed trace id"
    assert row("PostHog", lines).startswith("PostHog 3 events: tool_used ×2, $exception, and 1 event of")
    assert row("RudderStack", lines) == "RudderStack the same 3 events context.traceId"
    assert row("database", lines).startswith("database event_logs 3, agent_trace_history 1,")
    assert any(line.endswith(ONE_TRACE.trace_url) for line in lines)
    assert line_with("gpt-5-mini 0.000124", lines)
    assert line_with("One trace id is found in traces, PostHog, RudderStack and the database", lines)


def test_systems_that_are_elsewhere_have_no_line() -> None:
    elsewhere = replace(ONE_TRACE, spans=None, posthog=None)
    lines = printed(replace(DEMONSTRATION, figures=None, one_trace=elsewhere))

    assert not [line for line in lines if line.startswith(("traces ", "PostHog "))]
    assert line_with("One trace id is found in RudderStack and the database", lines)


def test_what_is_missing_of_the_one_trace_is_a_problem() -> None:
    demonstration = replace(DEMONSTRATION, one_trace=replace(ONE_TRACE, problems=("RudderStack has 0 of tool_used",)))

    assert line_with("✗ RudderStack has 0 of tool_used", printed(demonstration))
    assert (as_document(demonstration)["ok"], as_document(demonstration)["one_trace"]["ok"]) == (False, False)


def test_a_model_whose_price_is_not_known_costs_no_zero() -> None:
    lines = printed(replace(DEMONSTRATION, one_trace=replace(ONE_TRACE, model_cost_nano=0)))

    assert line_with("cost of the model", lines).endswith("not known")


def test_the_document_has_the_one_trace_by_system() -> None:
    one = as_document(DEMONSTRATION)["one_trace"]

    assert (one["traces"]["spans"], one["posthog"], one["rudderstack"], one["database"]["event_logs"]) == (8, 3, 3, 3)
    assert (one["model_cost_usd"], one["events"]) == (Decimal("0.000124"), {"tool_used": 2, "$exception": 1})
