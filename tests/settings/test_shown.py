"""The environment for people to read: complete, and without secrets."""

from __future__ import annotations

import pytest

from genops_otel_posthog.settings import VARIABLES
from genops_otel_posthog.settings.shown import HIDDEN, shown_environment, shown_value

SECRETS = {
    "POSTHOG_API_KEY": "phc_0123456789abcdefghijklmnopqrstuvwxyz",
    "POSTHOG_PERSONAL_API_KEY": "phx_0123456789abcdefghijklmnopqrstuvwxyz",
    "RUDDERSTACK_WRITE_KEY": "1aBcDeFgHiJkLmNoPqRsTuVwXyZ",
    "GENOPS_LEDGER_URL": "redis://:hunter2@ledger:6379/0",
    "GENOPS_DATABASE_URL": "postgresql://events:hunter2@db/analytics",
    "GENOPS_ALERT_WEBHOOK": "https://hooks.slack.com/services/T0/B0/hunter2",
    "GENOPS_ALERT_SECRET": "whsec_hunter2",
    "GENOPS_AUDIT_KEY": "hunter2-hunter2-hunter2",
    "HTTPS_PROXY": "http://ann:hunter2@proxy:3128",
}

pytestmark = pytest.mark.requirement("S0-36")


def test_every_variable_is_there_set_or_not():
    shown = {variable.name: variable for variable in shown_environment({"GENOPS_TEAM": "checkout"})}
    assert [name for name in (variable.name for variable in VARIABLES) if name not in shown] == []
    everything = shown_environment({variable.name: "x" for variable in VARIABLES})
    assert len({variable.name for variable in everything}) == len(everything)
    assert shown["GENOPS_TEAM"].value == "checkout"
    assert shown["GENOPS_GOVERNANCE_POLICY"][1:] == (None, "advisory")


def test_no_secret_is_shown():
    shown = {variable.name: variable.value for variable in shown_environment(SECRETS)}
    assert shown.keys() >= SECRETS.keys()
    text = str(shown)
    assert "hunter2" not in text
    for value in SECRETS.values():
        assert value[4:-4] not in text
    assert shown["POSTHOG_API_KEY"] == "phc_…wxyz"
    assert shown["GENOPS_LEDGER_URL"] == HIDDEN


@pytest.mark.parametrize("variable", [variable for variable in VARIABLES if variable.secret], ids=lambda v: v.name)
def test_what_is_marked_as_a_secret_is_one(variable):
    assert "a-secret-in-the-middle" not in str(shown_value(variable.name, "abcd-a-secret-in-the-middle-wxyz"))


def test_variables_of_others_are_shown_where_they_are_set():
    names = [variable.name for variable in shown_environment({"OTEL_TRACES_EXPORTER": "otlp", "PATH": "/bin"})]
    assert "OTEL_TRACES_EXPORTER" in names
    assert "PATH" not in names
    assert "OTEL_SDK_DISABLED" not in names


@pytest.mark.parametrize(("value", "shown"), [(" ", None), ("x" * 121, f"{'x' * 120}…"), (" a ", "a")])
def test_a_value_is_shown_as_it_counts(value: str, shown: str | None):
    assert shown_value("GENOPS_TEAM", value) == shown
