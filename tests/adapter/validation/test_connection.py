"""The connection, against the local receiver: accepted, refused, over quota, out of reach, something else."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from genops_otel_posthog.adapter.validation import ValidationIssue, ValidationLevel, validate_posthog_connection
from genops_otel_posthog.adapter.validation.connection import clock_finding
from genops_otel_posthog.receiver.server import LocalReceiver

KEY = "phc_0123456789abcdefghijklmnopqrstuvwxyz"
PERSONAL_KEY = "phx_0123456789abcdefghijklmnopqrstuvwxyz"
OK, INFO, WARNING, ERROR = (
    ValidationLevel.SUCCESS,
    ValidationLevel.INFO,
    ValidationLevel.WARNING,
    ValidationLevel.ERROR,
)
NOON = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)

pytestmark = pytest.mark.requirement("S4-63", "E-30")


def levels(found: list[ValidationIssue]) -> dict[str, ValidationLevel]:
    return {finding.component: finding.level for finding in found}


def test_a_key_that_is_accepted_has_all_that_it_needs(receiver: LocalReceiver) -> None:
    assert levels(validate_posthog_connection(KEY, receiver.url)) == {
        "Connection": OK,
        "Key accepted": OK,
        "Feature flags": OK,
        "Clock": OK,
        "Events": OK,
    }


def test_it_asks_for_flags_once_and_leaves_no_event(receiver: LocalReceiver) -> None:
    validate_posthog_connection(KEY, receiver.url)

    (asked,) = receiver.flag_requests()
    assert (asked.kind, asked.token, asked.status) == ("flags", KEY, 200)
    assert [request.path for request in receiver.requests()] == ["/flags", "/batch"]
    assert receiver.summary()["events"]["accepted"] == 0


def test_without_arguments_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch, receiver: LocalReceiver) -> None:
    monkeypatch.setenv("POSTHOG_API_KEY", KEY)
    monkeypatch.setenv("POSTHOG_HOST", receiver.url)

    assert levels(validate_posthog_connection())["Key accepted"] is OK


def test_a_key_that_posthog_refuses_is_an_error(receiver: LocalReceiver) -> None:
    with receiver.fail("flags", status=401):
        found = validate_posthog_connection(KEY, receiver.url)

    assert levels(found) == {"Connection": OK, "Key accepted": ERROR, "Clock": OK}
    assert "refuses the key (401)" in found[1].issue
    assert found[1].fix_command == "export POSTHOG_API_KEY=phc_…"


@pytest.mark.requirement("D-31")
def test_a_personal_key_is_refused_by_posthog_itself_and_not_repeated(receiver: LocalReceiver) -> None:
    found = validate_posthog_connection(PERSONAL_KEY, receiver.url)

    refused = found[1]
    assert (refused.component, refused.level) == ("Key accepted", ERROR)
    assert "(401): this is a personal API key, not a project key" in refused.issue
    assert PERSONAL_KEY[4:-4] not in str(found)


@pytest.mark.requirement("S0-35")
def test_a_port_on_which_nobody_listens_is_an_error_with_a_command_to_look() -> None:
    (found,) = validate_posthog_connection(KEY, "http://127.0.0.1:9")

    assert found.level is ERROR
    assert found.issue == "http://127.0.0.1:9 could not be reached: there is no connection."
    assert found.fix_command == "curl -sS -o /dev/null -w '%{http_code}\\n' http://127.0.0.1:9/flags/"


def test_a_host_that_is_none_is_an_error_before_anything_is_asked() -> None:
    (found,) = validate_posthog_connection(KEY, "ftp://eu.i.posthog.com")

    assert (found.component, found.level) == ("Connection", ERROR)
    assert "https://" in found.issue


def test_a_server_that_does_not_answer_is_an_error(receiver: LocalReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genops_otel_posthog.adapter.validation.connection.TIMEOUT", 0.2)

    with receiver.fail("flags", hang=True):
        (found,) = validate_posthog_connection(KEY, receiver.url)

    assert found.issue.endswith("could not be reached: no answer in time.")
    assert "firewall" in found.recommendation


@pytest.mark.parametrize(
    "rule", [{"status": 402}, {"quota": ["feature_flag_requests"]}], ids=["402", "as PostHog does"]
)
def test_a_used_up_quota_is_a_warning(receiver: LocalReceiver, rule: dict[str, object]) -> None:
    with receiver.fail("flags", **rule):
        found = validate_posthog_connection(KEY, receiver.url)

    assert levels(found)["Key accepted"] is OK
    assert levels(found)["Feature flags"] is WARNING
    assert "quota of flag requests is used up" in found[2].issue


def test_another_answer_is_an_error_that_names_it(receiver: LocalReceiver) -> None:
    with receiver.fail("flags", status=500):
        found = validate_posthog_connection(KEY, receiver.url)

    assert levels(found)["Feature flags"] is ERROR
    assert "answered 500 to a flag request" in found[1].issue


@pytest.mark.parametrize(("status", "level"), [(404, ERROR), (503, ERROR), (402, WARNING)])
def test_a_host_that_takes_no_events_is_told(receiver: LocalReceiver, status: int, level: ValidationLevel) -> None:
    with receiver.fail("capture", status=status):
        found = validate_posthog_connection(KEY, receiver.url)

    assert levels(found)["Feature flags"] is OK
    assert levels(found)["Events"] is level
    assert str(status) in found[-1].issue


def test_the_connection_without_a_key_is_not_tried(receiver: LocalReceiver) -> None:
    (found,) = validate_posthog_connection(host=receiver.url)

    assert (found.level, found.component) == (ERROR, "Project key")
    assert receiver.requests() == []


@pytest.mark.parametrize(
    ("seconds", "issue"),
    [
        (90, "This machine's clock is 0:01:30 ahead of that of posthog: events and budget periods are dated wrongly."),
        (-7200, "This machine's clock is 2:00:00 behind that of posthog: events and budget periods are dated wrongly."),
        (
            100_000,
            "This machine's clock is 1 day, 3:46:40 ahead of that of posthog: PostHog replaces the time of every event "
            "by its own.",
        ),
    ],
)
def test_a_clock_that_is_wrong_is_a_warning(seconds: int, issue: str) -> None:
    found = clock_finding(NOON, NOON + timedelta(seconds=seconds), "posthog")

    assert (found.level, found.issue) == (WARNING, issue)


@pytest.mark.parametrize("seconds", [-30, -1, 0, 30])
def test_clocks_may_differ_by_what_an_answer_takes(seconds: int) -> None:
    assert clock_finding(NOON, NOON + timedelta(seconds=seconds), "posthog").level is OK
