"""Flag reads: what was asked of PostHog is billed, what the SDK knew by itself is free."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import posthog
import pytest
from opentelemetry.trace import SpanKind

# The deprecated getters are what most applications call, so most tests call them.
pytestmark = pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")

FLAGS = [
    {
        "id": 1,
        "key": "new-checkout",
        "name": "new-checkout",
        "active": True,
        "filters": {"groups": [{"properties": [], "rollout_percentage": 100}]},
    },
    {
        "id": 2,
        "key": "button-colour",
        "name": "button-colour",
        "active": True,
        "filters": {
            "groups": [{"properties": [], "rollout_percentage": 100}],
            "multivariate": {"variants": [{"key": "green", "name": "green", "rollout_percentage": 100}]},
            "payloads": {"green": '{"hex": "#0a0"}'},
        },
    },
]
needs_evaluate_flags = pytest.mark.skipif(
    not hasattr(posthog.Client, "evaluate_flags"), reason="this SDK has no evaluate_flags"
)


@pytest.fixture(autouse=True)
def _flags_at_posthog(receiver):
    receiver.set_flags(FLAGS)


@pytest.fixture
def local_client(new_client: Callable[..., Any]) -> Any:
    """A client that evaluates flags from definitions, which it has loaded."""
    client = new_client(personal_api_key="phx_test", poll_interval=3600)
    client.load_feature_flags()
    return client


READS = {
    "get_feature_flag": lambda client, key: client.get_feature_flag(key, "u1"),
    "feature_enabled": lambda client, key: client.feature_enabled(key, "u1"),
    "get_feature_flag_payload": lambda client, key: client.get_feature_flag_payload(key, "u1"),
    "get_feature_flag_result": lambda client, key: client.get_feature_flag_result(key, "u1"),
}
READS_OF_ALL = {
    "get_all_flags": lambda client: client.get_all_flags("u1"),
    "get_all_flags_and_payloads": lambda client: client.get_all_flags_and_payloads("u1"),
    "get_feature_variants": lambda client: client.get_feature_variants("u1"),
    "get_feature_payloads": lambda client: client.get_feature_payloads("u1"),
    "get_feature_flags_and_payloads": lambda client: client.get_feature_flags_and_payloads("u1"),
    "get_flags_decision": lambda client: client.get_flags_decision("u1"),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS.keys())
@pytest.mark.requirement("S4-73")
def test_a_remote_read_is_one_client_span_and_one_unit(instrument, client, receiver, read):
    observed = instrument(usage_to_date="feature_flag_requests=1000000")
    read(client, "new-checkout")
    span = observed.span("evaluate_flag new-checkout")
    assert span.kind is SpanKind.CLIENT
    assert span.attributes["feature_flag.key"] == "new-checkout"
    assert span.attributes["feature_flag.provider.name"] == "PostHog"
    assert span.attributes["posthog.flags.requests"] == 1
    assert span.attributes["posthog.flags.locally_evaluated"] is False
    assert span.attributes["genops.cost.meter"] == "feature_flag_requests"
    assert span.attributes["genops.cost.amount"] == 0.0001
    assert observed.names == ["evaluate_flag new-checkout"]
    assert observed.usage() == {"feature_flag_requests": 1}
    assert receiver.bill().meters.get("feature_flag_requests", 0) == 1


@pytest.mark.parametrize("read", READS.values(), ids=READS.keys())
def test_a_local_read_is_an_internal_span_and_free(instrument, local_client, receiver, read):
    observed = instrument()
    billed_before = receiver.bill().meters.get("feature_flag_requests", 0)
    read(local_client, "button-colour")
    span = observed.span("evaluate_flag button-colour")
    assert span.kind is SpanKind.INTERNAL
    assert span.attributes["posthog.flags.locally_evaluated"] is True
    assert span.attributes["posthog.flags.requests"] == 0
    assert span.attributes["genops.cost.amount"] == 0.0
    assert span.attributes["feature_flag.result.variant"] == "green"
    assert observed.usage() == {}
    assert receiver.bill().meters.get("feature_flag_requests", 0) == billed_before


@pytest.mark.parametrize("read", READS_OF_ALL.values(), ids=READS_OF_ALL.keys())
def test_reading_all_flags_is_one_span_and_one_unit(instrument, client, receiver, read):
    observed = instrument()
    read(client)
    span = observed.span("evaluate_flags")
    assert span.kind is SpanKind.CLIENT
    assert observed.names == ["evaluate_flags"]
    assert (
        observed.usage()
        == {"feature_flag_requests": 1}
        == {"feature_flag_requests": receiver.bill().meters.get("feature_flag_requests", 0)}
    )


@needs_evaluate_flags
def test_a_snapshot_is_one_request_however_often_it_is_read(instrument, client, receiver):
    observed = instrument()
    snapshot = client.evaluate_flags("u1")
    for _ in range(3):
        assert snapshot.is_enabled("new-checkout")
        assert snapshot.get_flag("button-colour") == "green"
    assert observed.names.count("evaluate_flags") == 1
    assert observed.span("evaluate_flags").attributes["posthog.flags.count"] == 2
    assert observed.usage() == {"feature_flag_requests": 1}
    assert receiver.bill().meters.get("feature_flag_requests", 0) == 1


def test_the_event_that_a_flag_read_sends_is_free_and_opens_no_span(instrument, client, receiver):
    observed = instrument()
    client.get_feature_flag("new-checkout", "u1")
    client.flush()
    assert [event.event for event in receiver.events()] == ["$feature_flag_called"]
    assert observed.names == ["evaluate_flag new-checkout"]
    assert observed.spans[0].attributes["posthog.event.count"] == 1


def test_the_hidden_request_of_a_capture_with_flags_is_on_its_span(instrument, client, receiver):
    observed = instrument(usage_to_date="events=1000000,identified_events=1000000,feature_flag_requests=1000000")
    client.capture("e", distinct_id="u1", send_feature_flags=True)
    span = observed.span("capture e")
    assert span.attributes["posthog.flags.requests"] == 1
    assert span.attributes["genops.cost.meter"] == "events"
    assert span.attributes["genops.cost.amount"] == pytest.approx(0.000248 + 0.0001)
    assert observed.usage() == {"events": 1, "identified_events": 1, "feature_flag_requests": 1}


def test_a_refused_request_costs_nothing_and_says_that_the_quota_is_used_up(instrument, client, receiver):
    receiver.fail("flags", quota=["feature_flag_requests"])
    observed = instrument()
    assert client.get_feature_flag("new-checkout", "u1") in (None, False)
    span = observed.span("evaluate_flag new-checkout")
    assert span.attributes["posthog.flags.quota_limited"] is True
    assert span.attributes["feature_flag.result.reason"] == "error"
    assert observed.usage() == {}


def test_a_failed_request_costs_nothing_and_is_not_called_local(instrument, new_client, receiver):
    receiver.fail("flags", status=400)
    observed = instrument()
    assert new_client().get_feature_flag("new-checkout", "u1") in (None, False)
    span = observed.span("evaluate_flag new-checkout")
    assert span.kind is SpanKind.CLIENT
    assert span.attributes["posthog.flags.locally_evaluated"] is False
    assert observed.usage() == {}


def test_loading_definitions_is_ten_units(instrument, new_client, receiver):
    observed = instrument()
    new_client(personal_api_key="phx_test", poll_interval=3600).load_feature_flags()
    span = observed.span("load_flag_definitions")
    assert span.kind is SpanKind.CLIENT
    assert span.attributes["posthog.flags.definition_polls"] == 1
    assert span.attributes["genops.cost.units"] == 10
    assert (
        observed.usage()
        == {"feature_flag_requests": 10}
        == {"feature_flag_requests": receiver.bill().meters.get("feature_flag_requests", 0)}
    )


@pytest.mark.newest
def test_definitions_that_have_not_changed_are_free(instrument, local_client, receiver):
    observed = instrument()
    billed_before = receiver.bill().meters.get("feature_flag_requests", 0)
    local_client._load_feature_flags()  # what the SDK's poller runs
    assert observed.usage() == {}
    assert receiver.bill().meters.get("feature_flag_requests", 0) == billed_before


def test_a_poll_of_the_sdks_own_is_a_root_span(instrument, local_client):
    observed = instrument()
    local_client._load_feature_flags()  # what the SDK's poller runs, in a thread without context
    span = observed.span("load_flag_definitions")
    assert span.parent is None
    assert span.kind is SpanKind.CLIENT


def test_the_first_local_read_is_charged_with_loading_the_definitions(instrument, new_client):
    observed = instrument()
    client = new_client(personal_api_key="phx_test", poll_interval=3600)
    client.get_feature_flag("new-checkout", "u1", only_evaluate_locally=True)
    span = observed.span("evaluate_flag new-checkout")
    assert span.attributes["posthog.flags.definition_polls"] == 1
    assert span.attributes["genops.cost.units"] == 10


def test_remote_config_is_a_span_without_units(instrument, new_client):
    observed = instrument()
    new_client(personal_api_key="phx_test").get_remote_config_payload("button-colour")
    span = observed.span("remote_config button-colour")
    assert span.kind is SpanKind.CLIENT
    assert span.attributes["genops.cost.units"] == 0


def test_local_reads_need_no_span(instrument, local_client):
    observed = instrument(spans=["capture", "flags"])
    local_client.get_feature_flag("new-checkout", "u1")
    assert observed.names == []


def test_deprecation_warnings_point_at_the_caller(instrument, client):
    instrument()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        client.get_feature_flag("new-checkout", "u1")
        client.feature_enabled("new-checkout", "u1")
    deprecations = [warning for warning in caught if issubclass(warning.category, DeprecationWarning)]
    assert {warning.filename for warning in deprecations} <= {__file__}


def test_network_calls_have_a_duration_and_others_do_not(instrument, local_client):
    observed = instrument()
    local_client.get_feature_flag("new-checkout", "u1")
    local_client.capture("e", distinct_id="u1")
    assert observed.points("posthog.client.operation.duration") == []
    local_client.get_feature_flag("unknown-flag", "u1")
    ((attributes, point),) = observed.points("posthog.client.operation.duration")
    assert attributes == {"posthog.operation.name": "evaluate_flag", "server.address": "127.0.0.1"}
    assert point.count == 1
