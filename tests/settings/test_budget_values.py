"""What the text of a variable about budgets may be."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.settings import Settings


def setting(name, value, field):
    return getattr(Settings.from_environ({name: value}), field)


def refusal(name, value):
    with pytest.raises(GenOpsConfigurationError) as caught:
        Settings.from_environ({name: value})
    return str(caught.value).split(" cannot be used: ")[1].split("; for example ")[0]


@pytest.mark.parametrize(
    ("value", "limit"),
    [("20", "20"), ("0", "0"), ("12.50", "12.5"), ("0.000000001", "0.000000001"), ("1e3", "1000"), ("9007199.25",) * 2],
)
def test_a_limit_is_an_exact_amount(value, limit):
    assert setting("GENOPS_DAILY_BUDGET_LIMIT", value, "daily_budget_limit") == Decimal(limit)


@pytest.mark.parametrize(
    "value", ["$20", "20 USD", "1,50", "NaN", "Infinity", "0.0000000001", "1e999999999", "9" * 5000]
)
def test_a_limit_that_is_no_amount_is_refused(value):
    assert refusal("GENOPS_MONTHLY_BUDGET_LIMIT", value) == (
        "it is not an amount of US dollars, with up to nine decimals, like 20 or 12.50"
    )


def test_a_negative_limit_is_refused():
    assert refusal("GENOPS_WEEKLY_BUDGET_LIMIT", "-0.01") == (
        "it is negative; a limit is 0 (nothing may be spent) or more"
    )


@pytest.mark.parametrize(
    ("value", "share"),
    [("1/3", Fraction(1, 3)), ("0.25", Fraction(1, 4)), ("1", Fraction(1)), ("1.5/2", Fraction(3, 4))],
)
def test_a_share_is_a_fraction(value, share):
    assert setting("GENOPS_BUDGET_SHARE", value, "budget_share") == share


@pytest.mark.parametrize("value", ["0", "1/0", "0/0", "3/1", "1.01"])
def test_a_share_is_above_nothing_and_at_most_all(value):
    assert refusal("GENOPS_BUDGET_SHARE", value) == "it is not above 0 and at most 1"


@pytest.mark.parametrize("value", ["a third", "33%", "-1/3", "1e-999999999", "1/", "1//3"])
def test_a_share_of_another_form_is_refused(value):
    assert refusal("GENOPS_BUDGET_SHARE", value) == "it is not a fraction like 1/3 or 0.25"


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("order_completed,$exception", {"order_completed", "$exception"}),
        (" order completed , ,order completed", {"order completed"}),
        ("none", set()),
        ("Order", {"Order"}),
    ],
)
def test_critical_events_are_names_as_they_are_written(value, names):
    assert setting("GENOPS_CRITICAL_EVENTS", value, "critical_events") == names


def test_a_list_that_names_nothing_is_refused():
    assert refusal("GENOPS_CRITICAL_EVENTS", " , ") == ("it names nothing; give names separated by commas, or none")


def test_an_escalation_keeps_its_order():
    value = "on-call, head-of-finance ,cfo@example.com,on-call"
    assert setting("GENOPS_ALERT_ESCALATION", value, "alert_escalation") == (
        "on-call",
        "head-of-finance",
        "cfo@example.com",
    )


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///var/lib/genops/ledger.db",
        "sqlite:////var/lib/my files/ledger.db",
        "redis://localhost:6379/0",
        "rediss://user:password@ledger.example.com",
        "valkey://[::1]:6379/0",
        "valkeys://ledger.example.com",
        "unix:///run/valkey/valkey.sock?db=1",
        "memory://",
    ],
)
def test_a_ledger_is_named_by_its_url(url):
    assert setting("GENOPS_LEDGER_URL", url, "ledger_url") == url


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (
            "postgres://localhost/ledger",
            "it does not begin with one of sqlite://, redis://, rediss://, valkey://, valkeys://, unix://, memory://",
        ),
        (
            "/var/lib/ledger.db",
            "it does not begin with one of sqlite://, redis://, rediss://, valkey://, valkeys://, unix://, memory://",
        ),
        (
            "sqlite:ledger.db",
            "it does not begin with one of sqlite://, redis://, rediss://, valkey://, valkeys://, unix://, memory://",
        ),
        ("sqlite://ledger.db", "it is not of the form sqlite:///path/to/file"),
        ("sqlite:///", "it is not of the form sqlite:///path/to/file"),
        ("unix://", "it is not of the form unix:///path/to/socket?db=0"),
        ("redis://", "it is not of the form redis://host:6379/0"),
        ("memory://file", "it is not of the form memory://"),
        ("redis://host:port", "its address or its port cannot be read"),
        ("redis://a host", "it holds a space or a control character"),
        ("sqlite:///a\0b", "it holds a space or a control character"),
    ],
)
def test_a_url_that_is_no_ledger_is_refused(url, reason):
    assert refusal("GENOPS_LEDGER_URL", url) == reason


@pytest.mark.parametrize(("value", "milliseconds"), [("0", 0), ("50", 50), ("10000", 10_000)])
def test_the_longest_wait_is_milliseconds(value, milliseconds):
    assert setting("GENOPS_LEDGER_WAIT", value, "ledger_wait_ms") == milliseconds


@pytest.mark.parametrize("value", ["-1", "10001", "0.5", "50ms", "9" * 5000])
def test_a_wait_that_no_call_should_have_is_refused(value):
    assert refusal("GENOPS_LEDGER_WAIT", value) == "it is not a whole number of milliseconds from 0 to 10,000"


@pytest.mark.parametrize("url", ["http://127.0.0.1:9093/api/v2/alerts", "https://hooks.slack.com/services/T/B/x?a=b"])
def test_a_webhook_is_a_url(url):
    assert setting("GENOPS_ALERT_WEBHOOK", url, "alert_webhook") == url


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("hooks.slack.com/services", "it does not begin with https:// or http://"),
        ("ftp://example.com", "it does not begin with https:// or http://"),
        ("https:///services", "it names no host"),
        ("https://example.com:99999/", "its address or its port cannot be read"),
    ],
)
def test_a_url_that_is_no_webhook_is_refused(url, reason):
    assert refusal("GENOPS_ALERT_WEBHOOK", url) == reason


@pytest.mark.parametrize(
    ("value", "thresholds"), [(" daily:80,weekly:90 ", "daily:80,weekly:90"), ("monthly:95", "monthly:95")]
)
def test_alert_thresholds_are_checked_and_kept_as_they_are_written(value, thresholds):
    assert setting("GENOPS_ALERT_THRESHOLDS", value, "alert_thresholds") == thresholds


def test_a_project_key_is_no_personal_key():
    assert refusal("POSTHOG_PERSONAL_API_KEY", "phc_abc") == (
        "it is a project key; create a personal API key (phx_…) in PostHog: Settings, Personal API keys"
    )
