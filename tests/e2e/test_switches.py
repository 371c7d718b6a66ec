"""OpenTelemetry's own switches: the application works and its events arrive, whatever of telemetry is off or away."""

from __future__ import annotations

import socket
from typing import Any

import pytest

pytestmark = pytest.mark.wheel

SCRIPT = """
import os

from posthog import Posthog

client = Posthog(os.environ["POSTHOG_API_KEY"], host=os.environ["POSTHOG_HOST"])
client.capture("order_completed", distinct_id="ann", properties={"value": 40})
client.shutdown()
print("done")
"""

TEAM = {"GENOPS_TEAM": "checkout"}


@pytest.fixture(scope="module")
def nobody_listens() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    return f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def applications(launch: Any, nobody_listens: str) -> dict[str, Any]:
    started = {
        "sdk disabled": launch(SCRIPT, **TEAM, OTEL_SDK_DISABLED="true"),
        "instrumentation disabled": launch(SCRIPT, **TEAM, OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="flask, posthog"),
        "no traces": launch(SCRIPT, **TEAM, OTEL_TRACES_EXPORTER="none"),
        "no metrics": launch(SCRIPT, **TEAM, OTEL_METRICS_EXPORTER="none"),
        "backend away": launch(
            SCRIPT, **TEAM, OTEL_EXPORTER_OTLP_ENDPOINT=nobody_listens, OTEL_EXPORTER_OTLP_TIMEOUT="1"
        ),
        "nothing sampled": launch(SCRIPT, **TEAM, OTEL_TRACES_SAMPLER="always_off"),
        "exporter missing": launch(SCRIPT, **TEAM, OTEL_EXPORTER_OTLP_PROTOCOL="grpc"),
        "owner in resource": launch(SCRIPT, OTEL_RESOURCE_ATTRIBUTES="genops.team=platform,genops.project=shop"),
        "posthog away": launch(SCRIPT, **TEAM, POSTHOG_HOST=nobody_listens),
    }
    return {name: application.succeed() for name, application in started.items()}


def test_the_application_works_in_each_case(applications: dict[str, Any]) -> None:
    assert {application.out for application in applications.values()} == {"done\n"}


def test_nothing_of_ours_is_logged_in_any_case(applications: dict[str, Any]) -> None:
    assert [line for application in applications.values() for line in application.lines_about("genops")] == []


def test_its_events_arrive_in_each_case(applications: dict[str, Any]) -> None:
    arrived = {name for name, application in applications.items() if application.event_names == ["order_completed"]}

    assert arrived == applications.keys() - {"posthog away"}


def test_with_the_sdk_disabled_there_is_no_telemetry_but_events_still_carry_their_owner(
    applications: dict[str, Any],
) -> None:
    application = applications["sdk disabled"]

    assert (application.all_spans(), application.series("genops.usage")) == ([], [])
    assert application.events()[0].properties["genops_team"] == "checkout"


def test_with_the_instrumentation_disabled_the_event_is_the_application_s_own(applications: dict[str, Any]) -> None:
    application = applications["instrumentation disabled"]

    assert (application.spans(), application.series("genops.usage")) == ([], [])
    assert not [name for name in application.events()[0].properties if name.startswith("genops_")]


@pytest.mark.parametrize("case", ["no traces", "nothing sampled"])
def test_without_spans_cost_is_counted_all_the_same(applications: dict[str, Any], case: str) -> None:
    application = applications[case]

    assert application.spans() == []
    assert application.usage() == application.bill() == {"events": 1, "identified_events": 1}


def test_without_metrics_spans_say_the_cost(applications: dict[str, Any]) -> None:
    application = applications["no metrics"]

    assert application.series("genops.usage") == []
    assert application.span("capture order_completed").attributes["genops.cost.list_amount"] > 0


def test_without_the_exporter_that_is_asked_for_opentelemetry_gives_up_and_says_so(
    applications: dict[str, Any],
) -> None:
    application = applications["exporter missing"]

    assert application.lines_about("Failed to auto initialize OpenTelemetry") != []
    assert application.all_spans() == []
    assert "genops_team" not in application.events()[0].properties


def test_the_resource_can_name_the_owner(applications: dict[str, Any]) -> None:
    attributes = applications["owner in resource"].span("capture order_completed").attributes

    assert (attributes["genops.team"], attributes["genops.project"]) == ("platform", "shop")


def test_a_backend_that_does_not_answer_is_opentelemetry_s_to_report(applications: dict[str, Any]) -> None:
    application = applications["backend away"]

    assert application.all_spans() == []
    assert any("export" in line for line in application.log)


def test_what_posthog_never_got_is_still_in_the_estimate(applications: dict[str, Any]) -> None:
    application = applications["posthog away"]

    assert application.usage() == {"events": 1, "identified_events": 1}
    assert application.bill() == {}
