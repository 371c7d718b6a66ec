"""The feature flag endpoints as raw HTTP."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from genops_otel_posthog.errors import GenOpsConfigurationError, GenOpsValidationError
from genops_otel_posthog.receiver import LocalReceiver
from genops_otel_posthog.receiver.flag_evaluation import read_definitions

CREDENTIALS = {"Authorization": "Bearer phx_personal"}
BETA: dict[str, Any] = {
    "id": 7,
    "key": "beta",
    "name": "The beta",
    "version": 3,
    "filters": {
        "groups": [{"properties": [{"key": "plan", "value": "pro", "type": "person"}], "rollout_percentage": 100}],
        "payloads": {"true": '{"color":"red"}'},
    },
}
SPLIT: dict[str, Any] = {
    "key": "split",
    "filters": {
        "groups": [{"rollout_percentage": 100}],
        "multivariate": {"variants": [{"key": "only", "rollout_percentage": 100}]},
        "payloads": {"only": "7"},
    },
}


@pytest.fixture(autouse=True)
def flags(receiver: LocalReceiver) -> None:
    receiver.set_flags([BETA, SPLIT, {"key": "off", "active": False}])


def ask(http_to: Any, path: str = "/flags/?v=2", **body: Any) -> Any:
    return http_to.post(path, {"token": "phc_test", "distinct_id": "user-1", **body})


def test_version_2_answers_records(http_to: Any) -> None:
    flags = ask(http_to, person_properties={"plan": "pro"}).json["flags"]
    assert flags == {
        "beta": {
            "key": "beta",
            "enabled": True,
            "variant": None,
            "reason": {"code": "condition_match", "condition_index": 0, "description": "Matched condition set 1"},
            "metadata": {"id": 7, "version": 3, "description": "The beta", "payload": '{"color":"red"}'},
        },
        "split": {
            "key": "split",
            "enabled": True,
            "variant": "only",
            "reason": {"code": "condition_match", "condition_index": 0, "description": "Matched condition set 1"},
            "metadata": {"id": 2, "version": 1, "description": "", "payload": "7"},
        },
    }


def test_version_4_adds_the_typed_value(http_to: Any) -> None:
    flags = ask(http_to, "/flags/?v=4").json["flags"]
    assert {key: record["value"] for key, record in flags.items()} == {"beta": False, "split": "only"}


def test_without_a_version_values_are_answered_alone(http_to: Any) -> None:
    answer = ask(http_to, "/flags/").json
    assert answer["featureFlags"] == {"beta": False, "split": "only"}
    assert answer["featureFlagPayloads"] == {"split": "7"}


@pytest.mark.parametrize(
    ("version", "answered"),
    [
        ("1", {"featureFlags": ["split"]}),
        ("2", {"featureFlags": {"split": "only"}}),
        ("3", {"featureFlags": {"beta": False, "split": "only"}, "featureFlagPayloads": {"split": "7"}}),
    ],
)
def test_decide_answers_as_its_version_did(http_to: Any, version: str, answered: dict[str, Any]) -> None:
    answer = ask(http_to, f"/decide/?v={version}").json
    assert {name: answer[name] for name in answered} == answered


def test_decide_version_4_answers_records(http_to: Any) -> None:
    assert ask(http_to, "/decide/?v=4").json["flags"]["split"]["variant"] == "only"


def test_only_the_flags_asked_for_are_evaluated(http_to: Any) -> None:
    assert list(ask(http_to, flag_keys_to_evaluate=["split", "nobody knows"]).json["flags"]) == ["split"]


def test_a_body_may_be_gzipped(http_to: Any) -> None:
    body = gzip.compress(json.dumps({"api_key": "phc_test", "distinct_id": 7}).encode())
    assert http_to.post("/flags/?v=2", body, {"Content-Encoding": "gzip"}).status == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"distinct_id": "user-1"}, 401),
        ({"token": "phx_personal", "distinct_id": "user-1"}, 401),
        ({"token": 7, "distinct_id": "user-1"}, 401),
        ({"token": "phc_test"}, 400),
        ({"token": "phc_test", "distinct_id": ""}, 400),
        ({"token": "phc_test", "distinct_id": "user-1", "groups": []}, 400),
        (b"not json", 400),
        (b"[]", 400),
    ],
    ids=str,
)
def test_a_request_that_breaks_a_rule_is_refused_and_costs_nothing(
    receiver: LocalReceiver, http_to: Any, body: Any, status: int
) -> None:
    assert http_to.post("/flags/?v=2", body).status == status
    assert receiver.flag_requests() == []


# --- what it costs ------------------------------------------------------------------------------------------------


def test_a_remote_evaluation_is_one_unit_however_many_flags_there_are(receiver: LocalReceiver, http_to: Any) -> None:
    ask(http_to)
    (request,) = receiver.flag_requests("flags")
    assert (request.units, request.answer) == (1, {"beta": False, "split": "only"})
    assert receiver.bill().meters == {"feature_flag_requests": 1}


@pytest.mark.parametrize("key", ["survey-targeting-abc", "product-tour-targeting-abc"])
def test_a_project_whose_flags_only_target_surveys_and_tours_pays_nothing(
    receiver: LocalReceiver, http_to: Any, key: str
) -> None:
    receiver.set_flags([{"key": key}, {"key": "off", "active": False}])
    ask(http_to)
    assert receiver.flag_requests("flags")[0].units == 0


# --- definitions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/flags/definitions", "/flags/definitions/", "/api/feature_flag/local_evaluation/"])
def test_definitions_are_ten_units_and_not_modified_is_none(receiver: LocalReceiver, http_to: Any, path: str) -> None:
    path += "?token=phc_test&send_cohorts"
    first = http_to.get(path, CREDENTIALS)
    assert (first.status, first.headers["cache-control"]) == (200, "private, must-revalidate")
    assert [flag["key"] for flag in first.json["flags"]] == ["beta", "split", "off"]
    second = http_to.get(path, {**CREDENTIALS, "If-None-Match": first.headers["etag"]})
    assert (second.status, second.body, second.headers["etag"]) == (304, b"", first.headers["etag"])
    assert receiver.bill().flag_requests == {
        "definitions 200": {"requests": 1, "units": 10},
        "definitions 304": {"requests": 1, "units": 0},
    }


def test_changed_definitions_have_another_etag(receiver: LocalReceiver, http_to: Any) -> None:
    path = "/flags/definitions?token=phc_test"
    etag = http_to.get(path, CREDENTIALS).headers["etag"]
    receiver.set_flags([BETA])
    assert http_to.get(path, {**CREDENTIALS, "If-None-Match": etag}).status == 200


@pytest.mark.parametrize("etag", ['W/"{}"', '"{}"', "{}"])
def test_an_etag_may_be_weak_strong_or_bare(http_to: Any, etag: str) -> None:
    path = "/flags/definitions?token=phc_test"
    known = http_to.get(path, CREDENTIALS).headers["etag"].removeprefix("W/").strip('"')
    assert http_to.get(path, {**CREDENTIALS, "If-None-Match": etag.format(known)}).status == 304


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("?token=phc_test", {}),
        ("?token=phc_test", {"Authorization": "Bearer phc_test"}),
        ("?token=phc_test", {"Authorization": "Basic phx_personal"}),
        ("", CREDENTIALS),
        ("?token=phx_personal", CREDENTIALS),
    ],
)
def test_definitions_need_a_project_key_and_a_secret_key(
    receiver: LocalReceiver, http_to: Any, query: str, headers: dict[str, str]
) -> None:
    answer = http_to.get(f"/flags/definitions{query}", headers)
    assert (answer.status, answer.json["type"]) == (401, "authentication_error")
    assert receiver.bill().meters == {}
    assert "phx_personal" not in repr(receiver.flag_requests()) + repr(receiver.requests())


# --- remote config ------------------------------------------------------------------------------------------------


def test_remote_config_answers_the_payload(receiver: LocalReceiver, http_to: Any) -> None:
    config = {"key": "my/config", "is_remote_configuration": True, "filters": {"payloads": {"true": '{"a": 1}'}}}
    receiver.set_flags([config, BETA])
    path = "/api/projects/@current/feature_flags/{}/remote_config"
    answer = http_to.get(path.format("my%2Fconfig") + "?token=phc_test", CREDENTIALS)
    assert (answer.status, answer.json) == (200, '{"a": 1}')
    assert http_to.get(path.format("my%2Fconfig") + "/", CREDENTIALS).status == 200
    assert http_to.get(path.format("beta"), CREDENTIALS).status == 404
    assert http_to.get(path.format("nobody"), CREDENTIALS).status == 404
    assert http_to.get(path.format("my%2Fconfig")).status == 401
    assert receiver.bill().meters == {}


# --- definitions that cannot be read ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("flags", "must be a list of flags"),
        ({"flags": {}}, "must be a list of flags"),
        ([7], "flags[0] has no 'key'"),
        ([{"key": "a"}, {"key": "a"}], "flags[1] repeats the key 'a'"),
        ([{"key": "a", "filters": []}, {}], "flags[1] has no 'key'"),
        ([{"key": "a", "filters": [1]}], "'filters' of flag 'a'"),
        ({"flags": [], "cohorts": []}, "'cohorts' must be an object"),
    ],
    ids=str,
)
def test_definitions_of_another_shape_are_refused_with_their_place(document: Any, said: str) -> None:
    with pytest.raises(GenOpsConfigurationError) as refused:
        read_definitions(document, source="flags.json")
    assert said in str(refused.value)
    assert "flags.json" in str(refused.value)


def test_a_client_that_sets_bad_flags_is_told(receiver: LocalReceiver) -> None:
    with pytest.raises(GenOpsValidationError, match="must be a list of flags"):
        receiver.set_flags("beta")
