"""The tracer provider and its processors, the instrumentation, and what would be sent twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

from genops_otel_posthog import GovernanceSpanProcessor, PostHogSpanExporter, auto_instrument
from genops_otel_posthog.adapter.validation import ValidationLevel, validate_genops_posthog_integration

OK, INFO, WARNING, ERROR = (
    ValidationLevel.SUCCESS,
    ValidationLevel.INFO,
    ValidationLevel.WARNING,
    ValidationLevel.ERROR,
)
KEY = "phc_0123456789abcdefghijklmnopqrstuvwxyz"

pytestmark = pytest.mark.requirement("S4-64")


@pytest.fixture
def provider() -> Iterator[TracerProvider]:
    provider = TracerProvider(shutdown_on_exit=False)
    yield provider
    provider.shutdown()


@pytest.fixture
def check(findings: Any, provider: TracerProvider) -> Any:
    """The findings with the test's provider."""

    def check(**environ: str) -> Any:
        return findings(validate_genops_posthog_integration(environ, tracer_provider=provider))

    return check


def test_without_a_provider_spans_go_nowhere(findings: Any) -> None:
    found = findings(validate_genops_posthog_integration({})).one("Tracing")

    assert (found.level, found.fix_command) == (WARNING, "opentelemetry-instrument python app.py")


def test_a_command_that_is_not_the_application_misses_nothing(findings: Any) -> None:
    found = findings(validate_genops_posthog_integration({}, in_application=False))

    assert [(finding.component, finding.level) for finding in found] == [("Tracing", INFO)]
    assert found[0].fix_command == "opentelemetry-instrument genops-posthog doctor"


def test_a_provider_without_a_processor_is_a_warning(check: Any) -> None:
    assert check().one("Tracing").level is WARNING


def test_processors_are_named_with_their_exporters(check: Any, provider: TracerProvider) -> None:
    provider.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter()))
    provider.add_span_processor(GovernanceSpanProcessor(PostHogSpanExporter(KEY)))

    found = check().one("Tracing")

    assert found.level is OK
    assert found.issue == (
        "TracerProvider with BatchSpanProcessor → ConsoleSpanExporter, GovernanceSpanProcessor → PostHogSpanExporter."
    )


def test_an_exporter_that_is_missing_though_it_is_switched_on_is_a_warning(
    check: Any, provider: TracerProvider
) -> None:
    provider.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter()))

    works, missing = check(GENOPS_EXPORT_SPANS="true").about("Tracing")

    assert (works.level, missing.level) == (OK, WARNING)
    assert "no PostHogSpanExporter" in missing.issue


@pytest.mark.newest
def test_posthog_s_own_processor_beside_ours_counts_twice(check: Any, provider: TracerProvider) -> None:
    otel = pytest.importorskip("posthog.ai.otel")
    provider.add_span_processor(GovernanceSpanProcessor(PostHogSpanExporter(KEY)))
    provider.add_span_processor(otel.PostHogSpanProcessor(api_key=KEY, host="http://127.0.0.1:9"))

    found = check().one("Double export")

    assert (found.level, found.fix_command) == (WARNING, "PostHogSpanExporter(built_in=[])")
    assert "bills each of them twice" in found.issue


# --- the instrumentation ------------------------------------------------------------------------------------------


def test_that_nothing_is_instrumented_is_for_information(check: Any) -> None:
    assert check().one("Instrumentation").level is INFO


def test_instrumented_it_is_in_order(check: Any, providers: dict[str, object]) -> None:
    auto_instrument(**providers)

    assert check().one("Instrumentation").level is OK


@pytest.mark.parametrize("disabled", ["posthog", "flask, posthog", "*"])
def test_an_instrumentation_that_is_switched_off_is_a_warning(check: Any, disabled: str) -> None:
    off, _ = check(OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=disabled).about("Instrumentation")

    assert (off.level, off.fix_command) == (WARNING, "unset OTEL_PYTHON_DISABLED_INSTRUMENTATIONS")


def test_opentelemetry_that_is_switched_off_is_a_warning(check: Any) -> None:
    assert check(OTEL_SDK_DISABLED="true").about("Tracing")[0].fix_command == "unset OTEL_SDK_DISABLED"


# --- exporters that are not there ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "fix"),
    [
        ({"OTEL_METRICS_EXPORTER": "otlp"}, "pip install opentelemetry-exporter-otlp-proto-grpc"),
        ({"OTEL_TRACES_EXPORTER": "posthog,nowhere"}, "export OTEL_TRACES_EXPORTER=otlp"),
        (
            {"OTEL_LOGS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "grpc"},
            "pip install opentelemetry-exporter-otlp-proto-grpc",
        ),
    ],
    ids=["default protocol", "unknown", "protocol of the signal"],
)
def test_an_exporter_that_no_package_has_is_an_error(check: Any, environ: dict[str, str], fix: str) -> None:
    found = check(**environ).about("Tracing")[0]

    assert (found.level, found.fix_command) == (ERROR, fix)


@pytest.mark.parametrize(
    "environ",
    [
        {"OTEL_TRACES_EXPORTER": "console,posthog"},
        {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
        {"OTEL_METRICS_EXPORTER": "none"},
    ],
)
def test_exporters_that_are_there_are_in_order(check: Any, environ: dict[str, str]) -> None:
    assert ERROR not in {finding.level for finding in check(**environ)}
