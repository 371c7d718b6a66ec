"""What PostHog's server says of one flag, and the truth about why it does not."""

from __future__ import annotations

import pytest

from genops_otel_posthog.errors import GenOpsBudgetExceededError
from genops_otel_posthog.flags import Subject
from genops_otel_posthog.flags.answer import MISSING, Answer, Unknown
from genops_otel_posthog.flags.remote import Failure, ask_posthog, read_response

from .conftest import flag

USER = Subject("u1")


def ask(client, key: str = "beta", subject: Subject = USER):
    return ask_posthog(client, key, subject, timeout=10)


def test_a_flag_that_is_on(receiver, new_client):
    receiver.set_flags([flag("beta", id=7, version=3)])
    answer = ask(new_client())
    assert isinstance(answer, Answer)
    assert (answer.value, answer.source, answer.version, answer.flag_id) == (True, "posthog_remote", 3, 7)
    assert (answer.reason, answer.stale_s) == ("targeting_match", 0.0)
    assert answer.request_id is not None


def test_a_flag_that_is_off_is_an_answer(receiver, new_client):
    receiver.set_flags([flag("beta", rollout=0)])
    answer = ask(new_client())
    assert isinstance(answer, Answer)
    assert (answer.value, answer.reason) == (False, "default")


def test_a_variant_with_its_payload(receiver, new_client):
    receiver.set_flags([flag("beta", variants={"a": 100}, filters={"payloads": {"a": '{"words": 3}'}})])
    answer = ask(new_client())
    assert isinstance(answer, Answer)
    assert (answer.value, answer.payload, answer.reason) == ("a", {"words": 3}, "split")


def test_a_flag_of_workspaces_is_asked_with_the_workspace_as_a_group(receiver, new_client):
    conditions = [{"properties": [{"key": "plan", "type": "group", "group_type_index": 0, "value": ["gold"]}]}]
    grouped = flag("beta", filters={"aggregation_group_type_index": 0, "groups": conditions})
    receiver.set_flags({"flags": [grouped], "group_type_mapping": {"0": "workspace"}, "cohorts": {}})
    gold = Subject("u1", "acme", group_properties={"workspace": {"plan": "gold"}})
    values = [ask(new_client(), subject=subject).value for subject in (gold, Subject("u1", "acme"))]
    assert values == [True, False]


def test_properties_of_the_person_decide_too(receiver, new_client):
    conditions = [{"properties": [{"key": "plan", "type": "person", "value": ["gold"], "operator": "exact"}]}]
    receiver.set_flags([flag("beta", filters={"groups": conditions})])
    answers = [ask(new_client(), subject=Subject("u1", person_properties={"plan": plan})) for plan in ("gold", "tin")]
    assert [answer.value for answer in answers] == [True, False]


def test_only_the_flag_is_asked_for_once(receiver, new_client):
    receiver.set_flags([flag("beta"), flag("other")])
    ask(new_client())
    requests = receiver.flag_requests("flags")
    assert len(requests) == 1
    assert requests[0].answer == {"beta": True}


def test_a_flag_that_posthog_does_not_know_is_missing_and_no_failure(receiver, new_client):
    assert ask(new_client()) is MISSING


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"status": 500}, "api_error_500"),
        ({"status": 401}, "api_error_401"),
        ({"status": 402}, "quota_limited"),
        ({"quota": ["feature_flag_requests"]}, "quota_limited"),
        ({"reset": True}, "connection_error"),
        ({"status": 200, "body": "<html>"}, "unknown_error"),
    ],
)
def test_a_failure_is_named_and_asked_once(receiver, new_client, fault, error):
    client = new_client()
    with receiver.fail("flags", **fault) as injected:
        failure = ask(client)
        assert injected.struck == 1
    assert isinstance(failure, Failure)
    assert (failure.unknown, failure.counts) == (Unknown(error), True)


def test_a_refused_connection_is_a_connection_error(new_client):
    failure = ask(new_client(host="http://127.0.0.1:9"))
    assert isinstance(failure, Failure)
    assert failure.unknown.error == "connection_error"


def test_a_server_that_hangs_is_a_timeout(receiver, new_client):
    client = new_client()
    with receiver.fail("flags", hang=True):
        failure = ask_posthog(client, "beta", USER, timeout=0.05)
    assert isinstance(failure, Failure)
    assert failure.unknown == Unknown("timeout")


@pytest.mark.parametrize(
    ("fault", "pause"),
    [
        ({"status": 402}, 60),
        ({"status": 401}, 60),
        ({"status": 403}, 60),
        ({"status": 500}, None),
    ],
)
def test_what_takes_people_to_change_is_left_alone_for_a_minute(receiver, new_client, fault, pause):
    client = new_client()
    with receiver.fail("flags", **fault):
        assert ask(client).pause == pause


def test_a_server_that_asks_for_time_gets_it_up_to_five_minutes(receiver, new_client):
    client = new_client()
    with receiver.fail("flags", status=503, retry_after="17"):
        pause = ask(client).pause
    assert pause in (17.0, None)  # older SDKs do not hand the header on


def test_a_refusal_by_our_own_budget_is_no_failure_of_posthog(new_client, monkeypatch):
    from posthog import client as sdk

    def refuse(*args, **kwargs):
        raise GenOpsBudgetExceededError("spent")

    monkeypatch.setattr(sdk, "flags", refuse)
    assert ask(new_client()) == Failure(Unknown("budget_exceeded"), counts=False)


@pytest.mark.parametrize(
    ("response", "found"),
    [
        ({"featureFlags": {"beta": True}}, True),
        ({"featureFlags": {"beta": False}}, False),
        ({"featureFlags": {"beta": "a"}, "featureFlagPayloads": {"beta": "1"}}, "a"),
        ({"flags": {"beta": {"enabled": True, "variant": None}}}, True),
        ({"flags": {"beta": {"enabled": True, "variant": "a", "metadata": None, "reason": None}}}, "a"),
    ],
)
def test_every_version_of_the_format_is_read(response, found):
    answer = read_response(response, "beta")
    assert isinstance(answer, Answer)
    assert answer.value == found


@pytest.mark.parametrize(
    ("response", "error"),
    [
        ({"flags": {}}, "flag_missing"),
        ({"flags": {}, "errorsWhileComputingFlags": True}, "errors_while_computing_flags"),
        ({"featureFlags": {}}, "flag_missing"),
        ({"flags": {"beta": {"enabled": False, "failed": True}}}, "evaluation_failed"),
        ({"flags": {"beta": None}}, "flag_missing"),
        ([], "unknown_error"),
        (None, "unknown_error"),
    ],
)
def test_what_is_no_answer_is_told_apart(response, error):
    assert read_response(response, "beta") == Unknown(error, is_failure=error != "flag_missing")


def test_an_error_over_other_flags_does_not_spoil_the_one_that_is_there():
    response = {"flags": {"beta": {"enabled": True}}, "errorsWhileComputingFlags": True}
    assert isinstance(read_response(response, "beta"), Answer)


@pytest.mark.parametrize(
    ("code", "reason"), [("flag_disabled", "disabled"), ("no_condition_match", "default"), (None, "default")]
)
def test_a_reason_is_told_in_opentelemetrys_words(code, reason):
    answer = read_response({"flags": {"beta": {"enabled": False, "reason": {"code": code}}}}, "beta")
    assert isinstance(answer, Answer)
    assert answer.reason == reason


def test_a_payload_that_is_no_json_is_handed_on_as_it_is():
    answer = read_response({"flags": {"beta": {"enabled": True, "metadata": {"payload": "hello"}}}}, "beta")
    assert isinstance(answer, Answer)
    assert answer.payload == "hello"
