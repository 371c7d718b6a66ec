"""``validate_setup()`` as a whole, against the local receiver; what it prints; what it recommends."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from rich.console import Console

from genops_otel_posthog import print_validation_result, validate_setup
from genops_otel_posthog.adapter.validation import ValidationLevel, ValidationResult, get_setup_recommendations
from genops_otel_posthog.receiver.server import LocalReceiver

KEY = "phc_0123456789abcdefghijklmnopqrstuvwxyz"
PERSONAL_KEY = "phx_0123456789abcdefghijklmnopqrstuvwxyz"
OK, INFO, WARNING, ERROR = (
    ValidationLevel.SUCCESS,
    ValidationLevel.INFO,
    ValidationLevel.WARNING,
    ValidationLevel.ERROR,
)
BOOK = """\
name: negotiated
effective_from: {day}
currency: USD
sources: ["https://example.com/contract"]
rates:
  events:
    unit: event
    tiers:
      - {{up_to: null, price: "0.00004"}}
"""

pytestmark = pytest.mark.requirement("S4-60", "E-30")


@pytest.fixture
def good_setup(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], tmp_path: Path) -> None:
    """Everything as it should be, but for a tracer provider, which a process can set only once."""
    book = tmp_path / "recent.yaml"  # the shipped book grows old by itself
    book.write_text(BOOK.format(day=datetime.now(timezone.utc).date()), encoding="utf-8")
    for name, value in {**environ, "GENOPS_PRICE_BOOK": str(book)}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(InMemorySpanExporter()))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    yield
    provider.shutdown()


def printed(result: ValidationResult, *, show_successes: bool = True) -> str:
    stream = io.StringIO()
    print_validation_result(result, show_successes, console=Console(file=stream, width=80, highlight=False))
    return stream.getvalue()


@pytest.mark.usefixtures("good_setup", "traced")
def test_a_good_setup_is_valid() -> None:
    result = validate_setup()

    assert result.is_valid
    assert not result.has_warnings
    assert result.overall_status is OK
    assert [finding.component for finding in result.successes] == [
        "PostHog SDK",
        "OpenTelemetry",
        "Project key",
        "Attribution",
        "Price book",
        "Tracing",
        "Connection",
        "Key accepted",
        "Feature flags",
        "Clock",
        "Events",
    ]
    assert result.headline == "11 ok, 0 warnings, 0 errors"


@pytest.mark.usefixtures("good_setup")
def test_verbose_says_more() -> None:
    assert INFO in {finding.level for finding in validate_setup(verbose=True).findings}
    assert INFO not in {finding.level for finding in validate_setup().findings}


@pytest.mark.usefixtures("good_setup")
def test_offline_asks_nobody(receiver: LocalReceiver) -> None:
    result = validate_setup(verbose=True, offline=True)

    assert receiver.requests() == []
    assert [finding.issue for finding in result.findings if finding.component == "Connection"] == [
        "PostHog was not asked."
    ]


@pytest.mark.usefixtures("good_setup")
def test_progress_is_told_before_each_check() -> None:
    told: list[str] = []

    validate_setup(progress=told.append)

    assert told == [
        "installed packages",
        "environment variables",
        "price book, budgets and ledger",
        "tracing",
        "outbox and destinations",
        "compliance",
        "PostHog",
    ]


def test_another_environment_than_that_of_the_process_can_be_checked(environ: dict[str, str]) -> None:
    result = validate_setup(environ=environ, in_application=False)

    assert result.is_valid, result.issues


@pytest.mark.usefixtures("good_setup")
@pytest.mark.parametrize(
    "broken",
    [
        {"POSTHOG_API_KEY": PERSONAL_KEY},
        {"POSTHOG_API_KEY": ""},
        {"POSTHOG_HOST": "http://127.0.0.1:9"},
        {"POSTHOG_ENABLE": "false", "GENOPS_EXPORT_SPANS": "true"},
        {"GENOPS_PRICE_BOOK": "/nowhere.yaml"},
        {"GENOPS_BUDGETS_FILE": "/nowhere.toml"},
        {"GENOPS_LEDGER_URL": "redis://127.0.0.1:9"},
        {"OTEL_METRICS_EXPORTER": "nowhere"},
    ],
    ids=lambda broken: ",".join(broken),
)
def test_whatever_is_wrong_every_problem_has_something_to_copy(
    monkeypatch: pytest.MonkeyPatch, broken: dict[str, str]
) -> None:
    for name, value in broken.items():
        monkeypatch.setenv(name, value)

    result = validate_setup(verbose=True)

    assert result.has_errors
    assert [issue for issue in result.issues if not (issue.recommendation and issue.fix_command)] == []


# --- printing -----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("S4-61", "D-31")
@pytest.mark.usefixtures("good_setup")
@pytest.mark.parametrize("key", [KEY, PERSONAL_KEY, "ph_0123456789abcdefghijklmnopqrstuvwxyz"])
def test_what_is_printed_never_holds_the_key(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("POSTHOG_API_KEY", key)

    result = validate_setup(verbose=True)

    assert key[4:-4] not in printed(result) + str(result.as_document())


@pytest.mark.requirement("S4-61")
@pytest.mark.usefixtures("good_setup")
def test_what_is_printed_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GENOPS_TEAM")

    text = printed(validate_setup())

    assert "✓ PostHog SDK" in text
    assert "! Tracing: No OpenTelemetry tracer provider" in text
    assert "    opentelemetry-instrument python app.py\n" in text
    assert "! Attribution: GENOPS_TEAM is not set" in text
    assert "    export GENOPS_TEAM=my-team\n" in text
    assert text.splitlines()[-1] == "9 ok, 2 warnings, 0 errors"


@pytest.mark.usefixtures("good_setup")
def test_what_is_to_be_copied_is_not_broken_into_lines() -> None:
    assert "curl -sS -o /dev/null -w '%{http_code}\\n' http://127.0.0.1:9/flags/" in printed(
        validate_setup(environ={"POSTHOG_API_KEY": KEY, "POSTHOG_HOST": "http://127.0.0.1:9"})
    )


@pytest.mark.requirement("S4-61")
@pytest.mark.usefixtures("good_setup")
def test_what_is_right_can_be_left_out() -> None:
    assert "✓" not in printed(validate_setup(), show_successes=False)


# --- recommendations ----------------------------------------------------------------------------------------------


@pytest.mark.requirement("S4-64")
def test_recommendations_are_what_is_wrong_here_the_urgent_first(receiver: LocalReceiver) -> None:
    found: list[dict[str, Any]] = get_setup_recommendations(environ={"POSTHOG_HOST": receiver.url})

    assert receiver.requests() == []
    assert [entry["priority"] for entry in found] == sorted(
        (entry["priority"] for entry in found), key=["high", "medium", "low"].index
    )
    assert found[0] == {
        "category": "Project key",
        "recommendation": "POSTHOG_API_KEY is not set. Copy the project key from PostHog: Settings, Project, General.",
        "command": "export POSTHOG_API_KEY=phc_…",
        "priority": "high",
    }


@pytest.mark.requirement("S4-64")
def test_recommendations_of_a_result_ask_nothing_again() -> None:
    assert get_setup_recommendations(ValidationResult(())) == []
