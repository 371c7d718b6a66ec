"""``genops-posthog demo`` as a newcomer runs it: real processes, a real shop, a real receiver."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from genops_otel_posthog.demo.run import FLAGS
from genops_otel_posthog.receiver.server import LocalReceiver

pytestmark = pytest.mark.newest  # the shop is written for today's SDK

COMMAND = [sys.executable, "-c", "from genops_otel_posthog.cli import main; main()", "demo"]
TIMEOUT = 180  # seconds; it takes a tenth of that


def environment(**variables: str) -> dict[str, str]:
    shell = {name: value for name, value in os.environ.items() if not name.startswith(("GENOPS_", "OTEL_", "POSTHOG_"))}
    return shell | variables


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


def document_of(finished: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert finished.returncode == 0, finished.stderr
    document: dict[str, Any] = json.loads(finished.stdout)
    return document


@pytest.fixture(scope="module")
def shown() -> dict[str, Any]:
    return document_of(run("--json"))


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[LocalReceiver]:
    """Stands for the user's own PostHog and tracing backend."""
    with LocalReceiver(flags=FLAGS) as receiver:
        yield receiver


def names_in(call: dict[str, Any]) -> set[str]:
    return {call["name"]}.union(*map(names_in, call["calls"]))


def test_the_estimate_is_the_bill(shown: dict[str, Any]) -> None:
    assert (shown["ok"], shown["problems"]) == (True, [])
    assert Decimal(shown["estimate_usd"]) == Decimal(shown["bill_usd"]) == Decimal(shown["span_cost_usd"]) > 0


def test_every_meter_is_the_same_for_spans_metrics_and_bill(shown: dict[str, Any]) -> None:
    meters = {"events", "identified_events", "feature_flag_requests", "exceptions", "llm_events"}
    assert shown["meters"].keys() == meters
    for line in shown["meters"].values():
        assert line["units_by_spans"] == line["units_by_metrics"] == line["units_billed"] > 0


def test_every_meter_passes_from_free_to_paid(shown: dict[str, Any]) -> None:
    for meter in ("events", "feature_flag_requests", "exceptions", "llm_events"):
        lines = [line for line in shown["costs"] if line["meters"][0] == meter]
        assert 0 < sum(line["free_calls"] for line in lines) < sum(line["calls"] for line in lines)


def test_four_teams_and_the_platform_own_all_of_the_cost(shown: dict[str, Any]) -> None:
    owners = {(line["team"], line["project"]) for line in shown["costs"]}

    assert owners == {
        ("storefront", "web-shop"),
        ("growth", "onboarding"),
        ("checkout", "payments"),
        ("support", "assistant"),
        ("platform", "shop"),
    }
    assert sum(Decimal(line["cost_usd"]) for line in shown["costs"]) == Decimal(shown["estimate_usd"])


def test_every_customer_has_a_cost(shown: dict[str, Any]) -> None:
    assert shown["customers"].keys() == {"acme", "globex", "initech", "umbrella"}


def test_every_request_is_a_trace_and_the_one_shown_has_the_calls_to_posthog_in_it(shown: dict[str, Any]) -> None:
    assert shown["traces"] == shown["traffic"]["requests"] == 360
    trace = shown["trace"]
    assert (trace["name"], trace["kind"]) == ("POST /signup", "server")
    assert names_in(trace) >= {"alias", "set", "capture user_signed_up", "group_identify", "evaluate_flags"}
    kinds = {call["name"]: call["kind"] for call in trace["calls"]}
    assert (kinds["evaluate_flags"], kinds["alias"]) == ("client", "producer")


def test_billable_and_free_flag_reads_are_told_apart(shown: dict[str, Any]) -> None:
    flags = shown["flags"]

    assert flags["local"]["times"] > 0
    assert flags["local"]["billable_units"] == flags["not_modified"]["billable_units"] == 0
    assert flags["remote"]["billable_units"] == flags["remote"]["times"] > 0
    assert flags["definitions"] == {"times": 1, "billable_units": 10}


def test_one_team_runs_out_of_its_budget_while_the_others_go_on(shown: dict[str, Any]) -> None:
    spent, everybody = shown["budgets"]["storefront-daily"], shown["budgets"]["shop-monthly"]

    assert Decimal("0.95") < Decimal(spent["spent_usd"]) / Decimal(spent["limit_usd"]) <= 1
    assert spent["refused_calls"] > 0 == everybody["refused_calls"]
    model = Decimal(shown["one_trace"]["model_cost_usd"] or 0)
    assert Decimal(everybody["spent_usd"]) == Decimal(shown["estimate_usd"]) + model
    assert "storefront-daily" in {call["refused_by"] for call in shown["refused"]["calls"]}


def test_all_events_arrive(shown: dict[str, Any]) -> None:
    assert shown["events"]["accepted"] > 500
    assert (shown["events"]["lost"], shown["events"]["without_span"]) == (0, 0)


def test_one_trace_id_is_found_in_traces_posthog_rudderstack_and_the_database(shown: dict[str, Any]) -> None:
    one = shown["one_trace"]

    assert (one["ok"], len(one["trace_id"])) == (True, 32)
    assert one["traces"]["request"] == "POST /questions"
    assert one["events"].keys() >= {"$ai_generation", "agent_execution", "tool_used", "rag_query_triggered"}
    assert one["events"]["$exception"] == 1
    assert one["posthog"] == one["rudderstack"] == one["database"]["event_logs"] == sum(one["events"].values())
    assert one["database"].keys() == {"event_logs", "agent_trace_history", "model_cost_logs"}
    # The call of PostHog's own SDK in the request stands in the same trace.
    assert one["sdk_events"] == 1


def test_settings_of_the_user_s_shell_change_nothing() -> None:
    finished = run(
        "--json", "--requests", "50", OTEL_SDK_DISABLED="true", GENOPS_PRICING_MODE="list", GENOPS_TEAM="other"
    )

    assert document_of(finished)["ok"] is True


def test_for_people_it_is_one_screen_or_two() -> None:
    finished = run("--requests", "50")

    assert finished.returncode == 0, finished.stderr
    assert "The estimate is the bill" in finished.stdout
    assert "One trace id is found in traces, PostHog, RudderStack and the database" in finished.stdout
    assert len(finished.stdout.splitlines()) <= 90


def test_events_and_telemetry_go_where_the_user_s_environment_says(elsewhere: LocalReceiver) -> None:
    elsewhere.clear()

    document = document_of(
        run(
            "--json",
            "--requests",
            "50",
            POSTHOG_API_KEY="phc_mine",
            POSTHOG_HOST=elsewhere.url,
            OTEL_EXPORTER_OTLP_ENDPOINT=elsewhere.url,
        )
    )

    assert (document["ok"], document["events_to"], document["telemetry_to"]) == (True, elsewhere.url, elsewhere.url)
    assert "estimate_usd" not in document
    # RudderStack and the database are here, whoever else has the events.
    assert document["one_trace"]["rudderstack"] == document["one_trace"]["database"]["event_logs"] > 0
    trace_id = document["one_trace"]["trace_id"]
    assert len(elsewhere.spans(trace_id=trace_id)) > 0
    # Spans of no other request became events.
    exported = [event for event in elsewhere.events() if event.properties.get("$lib") == "genops-otel-posthog"]
    assert {event.properties["$trace_id"] for event in exported} == {trace_id}
    assert {event.token for event in elsewhere.events()} == {"phc_mine"}
    assert sum(span.kind == "server" for span in elsewhere.spans()) == 50
    # There is no personal key, so that every flag read is a request.
    assert elsewhere.flag_requests("definitions") == []


@pytest.mark.slow
def test_what_the_user_s_backend_refuses_is_a_problem(elsewhere: LocalReceiver) -> None:
    with elsewhere.fail("/v1/traces", status=401):
        finished = run(
            "--requests",
            "50",
            POSTHOG_API_KEY="phc_mine",
            POSTHOG_HOST=elsewhere.url,
            OTEL_EXPORTER_OTLP_ENDPOINT=elsewhere.url,
        )

    assert finished.returncode == 1
    assert "✗ Failed to export spans batch code: 401" in finished.stdout


def test_an_otlp_endpoint_that_does_not_answer_is_wrong_use() -> None:
    finished = run("--json", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1")

    assert finished.returncode == 2
    assert "nothing answers at OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1" in finished.stderr


@pytest.mark.slow
def test_with_a_project_key_alone_spans_and_metrics_are_still_compared(elsewhere: LocalReceiver) -> None:
    finished = run("--json", "--requests", "50", POSTHOG_API_KEY="phc_mine", POSTHOG_HOST=elsewhere.url)

    document = document_of(finished)
    assert (document["ok"], document["bill_usd"]) == (True, None)
    assert Decimal(document["estimate_usd"]) == Decimal(document["span_cost_usd"])
    assert f"events go to that project at {elsewhere.url}" in finished.stderr


@pytest.mark.slow
def test_with_an_otlp_endpoint_alone_the_bill_is_still_shown(elsewhere: LocalReceiver) -> None:
    document = document_of(run("--json", "--requests", "50", OTEL_EXPORTER_OTLP_ENDPOINT=elsewhere.url))

    assert (document["ok"], document["estimate_usd"]) == (True, None)
    assert document["meters"]["events"]["units_billed"] > 0


@pytest.mark.slow
def test_local_ignores_the_user_s_backends(elsewhere: LocalReceiver) -> None:
    elsewhere.clear()

    document = document_of(
        run("--json", "--requests", "50", "--local", POSTHOG_API_KEY="phc_mine", POSTHOG_HOST=elsewhere.url)
    )

    assert (document["ok"], document["events_to"]) == (True, "local receiver")
    assert elsewhere.requests() == []


def test_ctrl_c_ends_it(elsewhere: LocalReceiver) -> None:
    elsewhere.clear()
    demo = subprocess.Popen(
        [*COMMAND, "--requests", "100000"],
        env=environment(POSTHOG_API_KEY="phc_mine", POSTHOG_HOST=elsewhere.url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that starts this run in the background has SIGINT ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    with demo:
        try:
            elsewhere.wait_for_flag_requests(1, timeout=60)
            demo.send_signal(signal.SIGINT)
            _, errors = demo.communicate(timeout=60)
        finally:
            demo.kill()

    assert demo.returncode == 1
    assert "Aborted" in errors


def test_a_shop_that_cannot_start_is_an_error_with_its_log(tmp_path: Path) -> None:
    (tmp_path / "flask.py").write_text("raise RuntimeError('this is not the Flask you know')")

    finished = run("--json", PYTHONPATH=os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")])))

    assert finished.returncode == 1
    assert "the shop ended with exit code 1 before it answered" in finished.stderr
    assert "this is not the Flask you know" in finished.stderr


@pytest.mark.wheel
def test_the_installed_wheel_runs_it_too(wheel_python: Path) -> None:
    finished = subprocess.run(
        [wheel_python.with_name("genops-posthog"), "demo", "--json", "--requests", "50"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )

    assert document_of(finished)["ok"] is True
