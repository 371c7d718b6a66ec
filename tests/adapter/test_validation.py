"""``validate_setup()`` against the local receiver: what is right, what is not, and what to do about it."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from rich.console import Console

from genops_otel_posthog.adapter import validation
from genops_otel_posthog.adapter.validation import (
    ValidationIssue,
    ValidationLevel,
    ValidationResult,
    print_validation_result,
    validate_environment_config,
    validate_posthog_connection,
    validate_sdk,
    validate_setup,
)
from genops_otel_posthog.receiver.server import LocalReceiver

KEY = "phc_0123456789abcdefghijklmnopqrstuvwxyz"
PERSONAL_KEY = "phx_0123456789abcdefghijklmnopqrstuvwxyz"

OK, INFO, WARNING, ERROR = (
    ValidationLevel.SUCCESS,
    ValidationLevel.INFO,
    ValidationLevel.WARNING,
    ValidationLevel.ERROR,
)

OLD_BOOK = """\
name: negotiated
effective_from: 2024-01-01
currency: USD
sources: ["https://example.com/contract"]
rates:
  events:
    unit: event
    tiers:
      - {up_to: null, price: "0.00004"}
"""


@pytest.fixture
def good_setup(monkeypatch: pytest.MonkeyPatch, receiver: LocalReceiver) -> None:
    """Everything as it should be, but for a tracer provider, which a process can set only once."""
    monkeypatch.setenv("POSTHOG_API_KEY", KEY)
    monkeypatch.setenv("POSTHOG_HOST", receiver.url)
    monkeypatch.setenv("GENOPS_TEAM", "checkout")


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    provider = TracerProvider(shutdown_on_exit=False)
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    yield
    provider.shutdown()


def one(findings: tuple[ValidationIssue, ...] | list[ValidationIssue], component: str) -> ValidationIssue:
    (found,) = [finding for finding in findings if finding.component == component]
    return found


def printed(result: ValidationResult, *, show_successes: bool = True) -> str:
    stream = io.StringIO()
    print_validation_result(result, show_successes, console=Console(file=stream, width=200, highlight=False))
    return stream.getvalue()


# --- all in order -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("good_setup", "traced")
def test_a_good_setup_is_valid(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # The shipped book grows old by itself.
    book = tmp_path / "recent.yaml"
    book.write_text(OLD_BOOK.replace("2024-01-01", str(datetime.now(timezone.utc).date())), encoding="utf-8")
    monkeypatch.setenv("GENOPS_PRICE_BOOK", str(book))

    result = validate_setup()

    assert result.is_valid
    assert not result.has_warnings
    assert result.overall_status is OK
    assert [finding.component for finding in result.successes] == [
        "PostHog SDK",
        "Project key",
        "Attribution",
        "Price book",
        "Tracing",
        "Connection",
    ]
    assert result.summary == "6 ok, 0 warnings, 0 errors"


@pytest.mark.usefixtures("good_setup")
def test_the_check_of_the_connection_is_one_real_flag_request(receiver: LocalReceiver) -> None:
    validate_setup()

    (asked,) = receiver.flag_requests()
    assert (asked.kind, asked.token, asked.status) == ("flags", KEY, 200)


@pytest.mark.usefixtures("good_setup")
def test_verbose_says_more() -> None:
    assert one(validate_setup(verbose=True).findings, "Host").level is INFO
    assert not [finding for finding in validate_setup().findings if finding.level is INFO]


@pytest.mark.usefixtures("good_setup")
@pytest.mark.parametrize("host", ["https://us.i.posthog.com", "https://eu.posthog.com", "app.posthog.com"])
def test_posthog_s_own_hosts_are_known(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("POSTHOG_HOST", host)

    assert one(validate_environment_config(), "Host").level is OK


# --- the SDK ------------------------------------------------------------------------------------------------------


def test_without_the_sdk_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(_: str) -> str:
        raise PackageNotFoundError("posthog")

    monkeypatch.setattr(validation, "version", version)

    (finding,) = validate_sdk()

    assert finding.level is ERROR
    assert finding.fix_command == 'pip install "genops-otel-posthog[instruments]"'


@pytest.mark.parametrize("version", ["5.4.0", "8.0.0"])
def test_an_sdk_that_is_not_supported_is_an_error(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(validation, "version", lambda _: version)

    (finding,) = validate_sdk()

    assert finding.level is ERROR
    assert finding.issue.startswith(f"posthog {version} is not supported")


# --- the environment ----------------------------------------------------------------------------------------------


def test_without_a_key_it_says_where_to_find_one() -> None:
    finding = one(validate_environment_config(), "Project key")

    assert (finding.level, finding.fix_command) == (ERROR, "export POSTHOG_API_KEY=phc_…")
    assert "Settings" in finding.recommendation


def test_a_personal_key_is_an_error_that_does_not_repeat_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTHOG_API_KEY", PERSONAL_KEY)

    (finding,) = validate_environment_config()

    assert finding.level is ERROR
    assert "personal API key" in finding.issue
    assert PERSONAL_KEY[4:-4] not in finding.issue


def test_a_key_of_another_form_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTHOG_API_KEY", "ph_0123456789")

    assert one(validate_environment_config(), "Project key").level is WARNING


@pytest.mark.usefixtures("good_setup")
def test_cost_without_a_team_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GENOPS_TEAM")

    finding = one(validate_environment_config(), "Attribution")

    assert (finding.level, finding.fix_command) == (WARNING, "export GENOPS_TEAM=my-team")


@pytest.mark.usefixtures("good_setup")
def test_each_wrong_value_is_an_error_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENOPS_PRICING_MODE", "cheap")
    monkeypatch.setenv("GENOPS_SPANS", "pageviews")

    findings = validate_environment_config()

    assert [finding.level for finding in findings] == [ERROR, ERROR]
    assert sorted(re.split(r"[= ]", finding.issue)[0] for finding in findings) == [
        "GENOPS_PRICING_MODE",
        "GENOPS_SPANS",
    ]


# --- the price book -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("good_setup")
def test_a_price_book_of_more_than_six_months_ago_is_a_warning(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    book = tmp_path / "negotiated.yaml"
    book.write_text(OLD_BOOK, encoding="utf-8")
    monkeypatch.setenv("GENOPS_PRICE_BOOK", str(book))

    finding = one(validate_setup().findings, "Price book")

    assert finding.level is WARNING
    assert "negotiated holds the prices of 2024-01-01" in finding.issue
    assert "https://posthog.com/pricing" in finding.recommendation


@pytest.mark.usefixtures("good_setup")
def test_a_price_book_of_this_month_is_in_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    today = datetime.now(timezone.utc).date()
    book = tmp_path / "negotiated.yaml"
    book.write_text(OLD_BOOK.replace("2024-01-01", str(today)), encoding="utf-8")
    monkeypatch.setenv("GENOPS_PRICE_BOOK", str(book))

    assert one(validate_setup().findings, "Price book").level is OK


@pytest.mark.usefixtures("good_setup")
def test_a_broken_price_book_is_an_error_with_its_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    book = tmp_path / "negotiated.yaml"
    book.write_text(OLD_BOOK.replace("unit:", "unt:"), encoding="utf-8")
    monkeypatch.setenv("GENOPS_PRICE_BOOK", str(book))

    finding = one(validate_setup().findings, "Price book")

    assert finding.level is ERROR
    assert "negotiated.yaml:7" in finding.issue


# --- tracing ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("good_setup")
def test_without_a_tracer_provider_it_says_that_spans_go_nowhere() -> None:
    finding = one(validate_setup().findings, "Tracing")

    assert (finding.level, finding.fix_command) == (WARNING, "opentelemetry-instrument python app.py")


# --- the connection -----------------------------------------------------------------------------------------------


def test_a_key_that_posthog_refuses_is_an_error(receiver: LocalReceiver) -> None:
    with receiver.fail("flags", status=401):
        (finding,) = validate_posthog_connection(KEY, receiver.url)

    assert finding.level is ERROR
    assert "refuses the key (401)" in finding.issue


def test_a_personal_key_is_refused_by_posthog_itself(receiver: LocalReceiver) -> None:
    (finding,) = validate_posthog_connection(PERSONAL_KEY, receiver.url)

    assert finding.level is ERROR
    assert "(401)" in finding.issue


def test_a_port_on_which_nobody_listens_is_an_error() -> None:
    (finding,) = validate_posthog_connection(KEY, "http://127.0.0.1:9")

    assert finding.level is ERROR
    assert finding.issue == "http://127.0.0.1:9 could not be reached (ConnectionError)."
    assert (finding.fix_command or "").startswith("curl ")


def test_a_used_up_quota_is_a_warning(receiver: LocalReceiver) -> None:
    with receiver.fail("flags", status=402):
        (finding,) = validate_posthog_connection(KEY, receiver.url)

    assert finding.level is WARNING
    assert "quota of flag requests is used up" in finding.issue


def test_the_quota_as_posthog_itself_reports_it_is_the_same_warning(receiver: LocalReceiver) -> None:
    with receiver.fail("flags", quota=["feature_flag_requests"]):
        (finding,) = validate_posthog_connection(KEY, receiver.url)

    assert finding.level is WARNING


def test_another_answer_is_an_error_that_names_it(receiver: LocalReceiver) -> None:
    with receiver.fail("flags", status=500):
        (finding,) = validate_posthog_connection(KEY, receiver.url)

    assert finding.level is ERROR
    assert finding.issue.endswith("answered 500.")


def test_the_connection_without_a_key_is_not_tried(receiver: LocalReceiver) -> None:
    (finding,) = validate_posthog_connection(host=receiver.url)

    assert (finding.level, finding.component) == (ERROR, "Project key")
    assert receiver.requests() == []


# --- the result ---------------------------------------------------------------------------------------------------


def test_recommendations_come_once_each_and_errors_first() -> None:
    result = ValidationResult(
        (
            ValidationIssue(WARNING, "a", "odd", "Look at it."),
            ValidationIssue(ERROR, "b", "wrong", "Mend it."),
            ValidationIssue(ERROR, "c", "wrong too", "Mend it."),
            ValidationIssue(OK, "d", "right"),
        )
    )

    assert result.recommendations == ("Mend it.", "Look at it.")
    assert (result.error_count, result.warning_count, result.overall_status) == (2, 1, ERROR)
    assert result.validation_timestamp.tzinfo is not None


@pytest.mark.usefixtures("good_setup")
def test_what_is_printed_never_holds_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in (KEY, PERSONAL_KEY, "ph_0123456789abcdefghijklmnopqrstuvwxyz"):
        monkeypatch.setenv("POSTHOG_API_KEY", key)

        assert key[4:-4] not in printed(validate_setup(verbose=True))


@pytest.mark.usefixtures("good_setup")
def test_what_is_printed_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GENOPS_TEAM")

    text = printed(validate_setup())

    assert "✓ PostHog SDK" in text
    assert "! Tracing: No OpenTelemetry tracer provider" in text
    assert "opentelemetry-instrument python app.py" in text
    assert "! Attribution: GENOPS_TEAM is not set" in text
    assert "export GENOPS_TEAM=my-team" in text
    assert text.splitlines()[-1].endswith("0 errors")


@pytest.mark.usefixtures("good_setup")
def test_what_is_right_can_be_left_out() -> None:
    assert "✓" not in printed(validate_setup(), show_successes=False)
