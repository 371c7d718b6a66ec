"""The environment read into one object: what is given, what is not, what is wrong, what is unknown."""

from __future__ import annotations

import logging
from dataclasses import FrozenInstanceError, fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.settings import ANNOUNCED, VARIABLES, Settings
from genops_otel_posthog.version import __version__

PROJECT_KEY = "phc_abcdefghijklmnopqrstuvwxyz0123456789"
PERSONAL_KEY = "phx_abcdefghijklmnopqrstuvwxyz0123456789"

EXAMPLES = {variable.name: variable.example for variable in VARIABLES} | {
    "POSTHOG_API_KEY": PROJECT_KEY,
    "POSTHOG_PERSONAL_API_KEY": PERSONAL_KEY,
    # The examples are commands, whose output is taken.
    "GENOPS_AUDIT_KEY": "a1" * 32,
    "GENOPS_PSEUDONYM_KEY": "b2" * 32,
}


def messages(caplog):
    return [record.message for record in caplog.records]


def problems_of(environ):
    try:
        Settings.from_environ(environ)
    except GenOpsConfigurationError as error:
        return str(error).splitlines()
    return []


def test_an_empty_environment_gives_the_defaults(caplog):
    assert Settings.from_environ({}) == Settings()
    assert messages(caplog) == []


def test_the_process_environment_is_read_when_none_is_given(monkeypatch):
    monkeypatch.setenv("GENOPS_TEAM", "checkout")
    assert Settings.from_environ().team == "checkout"


@pytest.mark.parametrize("blank", ["", " ", "\t\n"])
@pytest.mark.parametrize("variable", VARIABLES, ids=lambda variable: variable.name)
def test_a_blank_value_is_not_given(variable, blank, caplog):
    assert Settings.from_environ({variable.name: blank}) == Settings()
    assert messages(caplog) == []


def test_every_variable_has_a_field_and_every_field_a_variable():
    assert sorted(variable.field for variable in VARIABLES) == sorted(field.name for field in fields(Settings))
    assert len({variable.name for variable in VARIABLES}) == len(VARIABLES)
    assert not ANNOUNCED.keys() & {variable.name for variable in VARIABLES}


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda variable: variable.name)
def test_the_example_of_every_variable_is_accepted_and_differs_from_the_default(variable, caplog):
    settings = Settings.from_environ({variable.name: EXAMPLES[variable.name]})
    if variable.name != "GENOPS_PRICE_BOOK":
        assert getattr(settings, variable.field) != getattr(Settings(), variable.field)
    assert messages(caplog) == []


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda variable: variable.name)
def test_the_default_that_the_reference_shows_is_the_default(variable):
    default = variable.default.strip("`")
    assert getattr(Settings(), variable.field) == (None if default == "–" else variable.parse(default)) or (
        variable.field == "tags" and not Settings().tags
    )


def test_the_owner_is_taken_as_it_is_written():
    environ = {
        "GENOPS_TEAM": " checkout ",
        "GENOPS_PROJECT": "Web Shop",
        "GENOPS_ENVIRONMENT": "production",
        "GENOPS_CUSTOMER_ID": "acme",
        "GENOPS_COST_CENTER": "1042",
        "GENOPS_FEATURE": "refund",
    }
    settings = Settings.from_environ(environ)
    owner = (settings.team, settings.project, settings.environment)
    assert owner == ("checkout", "Web Shop", "production")
    assert (settings.customer_id, settings.cost_center, settings.feature) == ("acme", "1042", "refund")


@pytest.mark.parametrize(
    ("environ", "sends"),
    [
        ({}, False),
        ({"POSTHOG_API_KEY": PROJECT_KEY}, True),
        ({"POSTHOG_API_KEY": PROJECT_KEY, "POSTHOG_ENABLE": "false"}, False),
        ({"POSTHOG_API_KEY": PROJECT_KEY, "POSTHOG_ENABLE": "true"}, True),
        ({"POSTHOG_ENABLE": "false"}, False),
    ],
)
def test_posthog_is_on_when_there_is_a_key_unless_it_is_said_otherwise(environ, sends, caplog):
    assert Settings.from_environ(environ).sends_to_posthog is sends
    assert messages(caplog) == []


def test_posthog_switched_on_without_a_key_is_remarked_on(caplog):
    for _ in range(2):
        settings = Settings.from_environ({"POSTHOG_ENABLE": "true"})
    assert (settings.enabled, settings.api_key) == (True, None)
    assert messages(caplog) == ["POSTHOG_ENABLE is true, but there is no key to send with. Set POSTHOG_API_KEY=phc_…"]


BAD = {
    "POSTHOG_API_KEY": PERSONAL_KEY,
    "POSTHOG_HOST": "ftp://posthog.example.org",
    "POSTHOG_ENABLE": "perhaps",
    "GENOPS_TAGS": "gold",
    "GENOPS_PRICING_MODE": "cheap",
    "GENOPS_GROUP_ANALYTICS": "2",
    "GENOPS_GOVERNANCE_POLICY": "lenient",
    "GENOPS_EVENT_PROPERTIES": "some",
    "GENOPS_SPANS": "capture,everything",
    "GENOPS_METRIC_LABELS": "user_id",
    "GENOPS_BAGGAGE_IN": "tema",
    "GENOPS_BAGGAGE_OUT": "maybe",
    "GENOPS_RECORD_DISTINCT_ID": "si",
    "GENOPS_DAILY_BUDGET_LIMIT": "$20",
    "GENOPS_WEEKLY_BUDGET_LIMIT": "-1",
    "GENOPS_MONTHLY_BUDGET_LIMIT": "NaN",
    "GENOPS_BUDGET_SHARE": "3/1",
    "GENOPS_BUDGET_TIME_ZONE": "Europe/Berln",
    "GENOPS_ON_BUDGET_EXCEEDED": "explode",
    "GENOPS_CRITICAL_EVENTS": ",",
    "GENOPS_LEDGER_URL": "postgres://anna:s3cr3t@db.example.com",
    "GENOPS_LEDGER_WAIT": "50ms",
    "GENOPS_ALERT_WEBHOOK": "alerts.example.com",
    "GENOPS_ALERT_FORMAT": "carrier pigeon",
    "GENOPS_ALERT_THRESHOLDS": "hourly:80",
    "GENOPS_ALERT_ESCALATION": ",",
    "GENOPS_BUDGET_SAMPLING": "some",
    "POSTHOG_PERSONAL_API_KEY": PROJECT_KEY,
    "RUDDERSTACK_WRITE_KEY": "a key",
    "RUDDERSTACK_DATA_PLANE_URL": "hosted.rudderlabs.com",
    "GENOPS_DATABASE_URL": "mysql://anna:s3cr3t@db.example.com/shop",
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_value_is_an_error_that_names_the_variable_and_shows_an_example(name):
    with pytest.raises(GenOpsConfigurationError) as caught:
        Settings.from_environ({name: BAD[name]})
    (variable,) = (variable for variable in VARIABLES if variable.name == name)
    message = str(caught.value)
    assert message.startswith(name)
    assert message.endswith(f"; for example {name}={variable.example}")
    assert " cannot be used: " in message
    assert "\n" not in message


def test_several_bad_values_are_one_error_with_a_line_for_each():
    with pytest.raises(GenOpsConfigurationError) as caught:
        Settings.from_environ(BAD)
    assert [line.split("=")[0].split(" ")[0] for line in str(caught.value).splitlines()] == list(BAD)


def test_under_zero_code_loading_bad_values_are_one_line_each_and_the_rest_stands(caplog):
    for _ in range(2):
        settings = Settings.from_environ({**BAD, "GENOPS_TEAM": "checkout"}, strict=False)
    assert settings == Settings(team="checkout")
    assert len(messages(caplog)) == len(BAD)
    assert messages(caplog)[3:5] == [
        "GENOPS_TAGS cannot be used: 'gold' is not key=value; for example GENOPS_TAGS=tier=gold,platform=ios. "
        "Until it is corrected, it counts as not given.",
        "GENOPS_PRICING_MODE='cheap' cannot be used: it must be one of metered, list; for example "
        "GENOPS_PRICING_MODE=list. Until it is corrected, the default, metered, stands.",
    ]


@given(st.dictionaries(st.sampled_from([*EXAMPLES, *ANNOUNCED]), st.text(st.characters(exclude_characters="\0"))))
def test_under_zero_code_loading_no_value_raises(environ):
    Settings.from_environ(environ, strict=False)


@given(st.dictionaries(st.sampled_from(list(EXAMPLES)), st.text(st.characters(exclude_characters="\0"))))
def test_no_other_error_than_a_configuration_error_is_raised(environ):
    assert len(problems_of(environ)) <= len(environ)


def test_no_message_shows_more_of_a_key_than_its_ends(caplog):
    with pytest.raises(GenOpsConfigurationError) as caught:
        Settings.from_environ({"POSTHOG_API_KEY": PERSONAL_KEY})
    Settings.from_environ({"POSTHOG_API_KEY": PERSONAL_KEY}, strict=False)
    Settings.from_environ({"POSTHOG_API_KEY": PERSONAL_KEY.replace("phx_", "key-")})
    for text in (str(caught.value), *messages(caplog)):
        assert "abcde" not in text
        assert "56789" not in text
    assert "phx_…6789" in str(caught.value)
    assert "personal API key, not a project key" in str(caught.value)


SECRETS = {
    "POSTHOG_API_KEY": PROJECT_KEY,
    "POSTHOG_PERSONAL_API_KEY": PERSONAL_KEY,
    "GENOPS_LEDGER_URL": "rediss://:s3cr3t@ledger.example.com/0",
    "GENOPS_ALERT_WEBHOOK": "https://hooks.slack.com/services/s3cr3t",
    "GENOPS_ALERT_SECRET": "s3cr3t",
    "RUDDERSTACK_WRITE_KEY": "s3cr3t",
    "GENOPS_DATABASE_URL": "postgresql://anna:s3cr3t@db.example.com/shop",
}


@pytest.mark.parametrize("name", SECRETS)
def test_no_secret_is_in_the_printed_settings(name):
    printed = repr(Settings.from_environ(SECRETS))
    assert SECRETS[name] not in printed
    assert "s3cr3t" not in printed


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GENOPS_LEDGER_URL", "http://:s3cr3t@ledger.example.com"),
        ("GENOPS_LEDGER_URL", "s3cr3t"),
        ("GENOPS_LEDGER_URL", "redis://:s3cr3t@/0"),
        ("GENOPS_LEDGER_URL", "redis://ledger.example.com:s3cr3t"),
        ("GENOPS_ALERT_WEBHOOK", "hooks.slack.com/services/s3cr3t"),
        ("GENOPS_ALERT_WEBHOOK", "https:///services/s3cr3t"),
        ("POSTHOG_PERSONAL_API_KEY", "phc_s3cr3t"),
        ("POSTHOG_PERSONAL_API_KEY", "phx s3cr3t"),
        ("RUDDERSTACK_WRITE_KEY", "s3cr3t:"),
        ("RUDDERSTACK_WRITE_KEY", "s3cr3t s3cr3t"),
        ("GENOPS_DATABASE_URL", "mysql://anna:s3cr3t@db.example.com/shop"),
        ("GENOPS_DATABASE_URL", "s3cr3t"),
    ],
)
def test_no_message_shows_a_secret(name, value, caplog):
    Settings.from_environ({name: value}, strict=False)
    assert len(messages(caplog)) == 1
    assert "s3cr3t" not in caplog.text


@pytest.mark.parametrize(
    "host", ["https://anna:s3cr3t@posthog.example.org", "http://s3cr3t@:99999x", "s3cr3t@posthog.example.org"]
)
def test_no_message_shows_a_password_in_a_url(host, caplog):
    Settings.from_environ({"POSTHOG_HOST": host}, strict=False)
    assert len(messages(caplog)) == 1
    assert "s3cr3t" not in caplog.text


def test_a_long_bad_value_is_shown_in_part():
    with pytest.raises(GenOpsConfigurationError) as caught:
        Settings.from_environ({"GENOPS_PRICING_MODE": "x" * 10_000})
    assert len(str(caught.value)) < 300


def test_a_misspelt_variable_is_remarked_on_once_with_the_one_that_was_meant(caplog):
    for strict in (True, False):
        Settings.from_environ({"GENOPS_CUSTOMER": "s3cr3t", "GENOPS_PRICEBOOK": "x"}, strict=strict)
    assert messages(caplog) == [
        "GENOPS_CUSTOMER is not a variable of genops-otel-posthog; did you mean GENOPS_CUSTOMER_ID?",
        "GENOPS_PRICEBOOK is not a variable of genops-otel-posthog; did you mean GENOPS_PRICE_BOOK?",
    ]


def test_an_unknown_variable_like_no_other_is_remarked_on_without_a_guess(caplog):
    Settings.from_environ({"GENOPS_XYZZY": "1"})
    assert messages(caplog) == ["GENOPS_XYZZY is not a variable of genops-otel-posthog and is ignored"]


def test_a_misspelt_variable_is_remarked_on_even_when_another_one_is_an_error(caplog):
    with pytest.raises(GenOpsConfigurationError):
        Settings.from_environ({"GENOPS_TAEM": "checkout", "GENOPS_PRICING_MODE": "cheap"})
    assert messages(caplog) == ["GENOPS_TAEM is not a variable of genops-otel-posthog; did you mean GENOPS_TEAM?"]


def test_a_variable_of_a_later_version_is_said_not_to_be_acted_on(monkeypatch, caplog):
    monkeypatch.setattr("genops_otel_posthog.settings.environment.ANNOUNCED", {"GENOPS_LATER": "What comes later."})
    Settings.from_environ({"GENOPS_LATER": "s3cr3t"})
    assert messages(caplog) == [
        f"GENOPS_LATER is not acted on by this version of genops-otel-posthog ({__version__}): it is announced for a "
        "later one. What comes later."
    ]
    assert caplog.records[0].levelno == logging.WARNING


def test_of_a_variable_that_others_read_too_it_is_said_only_to_who_asks_for_detail(monkeypatch, caplog):
    monkeypatch.setattr("genops_otel_posthog.settings.environment.ANNOUNCED", {"POSTHOG_LATER": "Something."})
    caplog.set_level(logging.INFO)
    Settings.from_environ({"POSTHOG_LATER": "x"})
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    assert record.message.startswith("POSTHOG_LATER is not acted on by this version of genops-otel-posthog")


def test_variables_of_others_and_blank_ones_are_no_business_of_ours(caplog):
    Settings.from_environ({"POSTHOG_PERSONAL_TOKEN": "x", "GENOPS_TAEM": " ", "GENOPS_LEDGER_URL": "", "PATH": "/bin"})
    assert messages(caplog) == []


def test_settings_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        Settings().team = "other"
