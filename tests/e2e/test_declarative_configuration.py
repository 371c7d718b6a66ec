"""OpenTelemetry's declarative configuration (``OTEL_CONFIG_FILE``) sets this instrumentation's options."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.wheel

PAGE = Path(__file__).parents[2] / "docs" / "zero-code.md"

SCRIPT = """
import os

from posthog import Posthog

client = Posthog(os.environ["POSTHOG_API_KEY"], host=os.environ["POSTHOG_HOST"])
client.capture("order_completed", distinct_id="ann")
client.get_feature_flag("new-checkout", "ann")
client.shutdown()
"""

FILE = """
file_format: "1.0"
resource:
  attributes:
    - {name: service.name, value: "${OTEL_SERVICE_NAME}"}
tracer_provider:
  processors:
    - batch: {exporter: {otlp_http: {endpoint: "${OTEL_EXPORTER_OTLP_ENDPOINT}/v1/traces"}}}
meter_provider:
  readers:
    - periodic: {exporter: {otlp_http: {endpoint: "${OTEL_EXPORTER_OTLP_ENDPOINT}/v1/metrics"}}}
instrumentation/development:
  python:
    posthog: POSTHOG
"""


def example_of_the_page() -> str:
    (block,) = re.findall(r"^```yaml file=otel\.yaml\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return str(block)


@pytest.fixture(scope="module")
def applications(launch: Any, beside_the_wheel: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    beside_the_wheel("opentelemetry-configuration")
    files = {
        "options": FILE.replace("POSTHOG", "{team: checkout, spans: [capture], tags: {tier: gold}}"),
        "bad value": FILE.replace("POSTHOG", "{team: checkout, spans: [captures]}"),
        "unknown option": FILE.replace("POSTHOG", "{team: checkout, taem: checkout}"),
        "not enabled": FILE.replace("POSTHOG", "{enabled: false, team: checkout}"),
        "example of the page": example_of_the_page(),
    }
    directory = tmp_path_factory.mktemp("declarative")
    started = {}
    for name, text in files.items():
        path = directory / f"{name}.yaml"
        path.write_text(text, encoding="utf-8")
        started[name] = launch(SCRIPT, OTEL_CONFIG_FILE=str(path), GENOPS_TEAM="platform", GENOPS_PROJECT="shop")
    return {name: application.succeed() for name, application in started.items()}


def test_an_option_of_the_file_wins_over_the_environment(applications: dict[str, Any]) -> None:
    attributes = applications["options"].span("capture order_completed").attributes

    assert (attributes["genops.team"], attributes["genops.tag.tier"]) == ("checkout", "gold")


def test_what_the_file_does_not_say_the_environment_does(applications: dict[str, Any]) -> None:
    assert applications["options"].span("capture order_completed").attributes["genops.project"] == "shop"


def test_a_list_of_the_file_is_a_list(applications: dict[str, Any]) -> None:
    assert applications["options"].span_names == ["capture order_completed"]


@pytest.mark.parametrize("case", ["bad value", "unknown option", "not enabled", "example of the page", "options"])
def test_application_and_telemetry_go_on_in_each_case(applications: dict[str, Any], case: str) -> None:
    application = applications[case]

    assert set(application.event_names) == {"order_completed", "$feature_flag_called"}
    assert "capture order_completed" in application.span_names
    assert application.usage() == application.bill()


def test_a_value_that_cannot_be_used_is_named_with_what_would_do(applications: dict[str, Any]) -> None:
    (line,) = applications["bad value"].lines_about("spans=")

    assert "is not among capture, flags, local_flags, definitions, config" in line


@pytest.mark.parametrize("case", ["bad value", "unknown option"])
def test_an_option_that_cannot_be_used_costs_only_itself(applications: dict[str, Any], case: str) -> None:
    application = applications[case]

    assert {span.attributes["genops.team"] for span in application.spans()} == {"checkout"}
    assert application.lines_about("Traceback") == []


def test_the_second_coming_of_opentelemetry_instrument_is_one_line(applications: dict[str, Any]) -> None:
    assert len(applications["options"].lines_about("already instrumented")) == 1


def test_an_option_that_does_not_exist_is_named(applications: dict[str, Any]) -> None:
    assert any("taem" in line for line in applications["unknown option"].log)


def test_enabled_false_does_not_keep_opentelemetry_instrument_from_instrumenting(
    applications: dict[str, Any],
) -> None:
    application = applications["not enabled"]

    # The file's options are passed over, and then every installed instrumentation is loaded as without the file.
    assert {span.attributes["genops.team"] for span in application.spans()} == {"platform"}
