"""The provider as OpenFeature's users meet it: typed values, defaults, reasons, events; and the database behind it."""

from __future__ import annotations

import threading
from queue import SimpleQueue

import pytest

pytest.importorskip("openfeature.contrib.provider.posthog", reason="needs the extra openfeature")

from openfeature.contrib.provider.posthog import PostHogProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import EventDetails, ProviderEvent, ProviderEventDetails
from openfeature.exception import ErrorCode, FlagNotFoundError
from openfeature.flag_evaluation import FlagResolutionDetails, Reason
from openfeature.hook import Hook
from openfeature.provider import AbstractProvider, Metadata
from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider

from genops_otel_posthog.flags import FlagRow, Variant
from genops_otel_posthog.flags.breaker import Breaker
from genops_otel_posthog.flags.openfeature import GenOpsFallbackProvider
from tests.flags.conftest import flag

USER = EvaluationContext("u1", {"groups": {"workspace": "acme"}})
DEFINITIONS = [
    flag("boolean", version=4),
    flag("off", rollout=0),
    flag("text", variants={"hi": 100}),
    flag("number", variants={"10": 100}),
    flag("fraction", variants={"0.5": 100}),
    flag("object", filters={"payloads": {"true": '{"imageUrl": "x", "title": "y"}'}}),
]
ROWS = [
    FlagRow("boolean"),
    FlagRow("off", enabled=False),
    FlagRow("text", variant="hi"),
    FlagRow("number", variants=(Variant("10", 100),)),
    FlagRow("fraction", variant="0.5"),
    FlagRow("object", payload={"imageUrl": "x", "title": "y"}),
]
MATRIX = [
    ("boolean", "boolean", False, True),
    ("boolean", "off", True, False),
    ("string", "text", "bye", "hi"),
    ("integer", "number", 1, 10),
    ("float", "fraction", 0.1, 0.5),
    ("object", "object", {}, {"imageUrl": "x", "title": "y"}),
]


class Slow(AbstractProvider):
    """A provider of somebody else, which answers when it is let."""

    def __init__(self, result=True) -> None:
        super().__init__()
        self.release, self.asked, self.result = threading.Event(), 0, result

    def get_metadata(self):
        return Metadata("slow")

    def resolve_boolean_details(self, flag_key, default_value, evaluation_context=None):
        self.asked += 1
        self.release.wait(30)
        if isinstance(self.result, Exception):
            raise self.result
        return FlagResolutionDetails(self.result)

    resolve_string_details = resolve_integer_details = resolve_boolean_details
    resolve_float_details = resolve_object_details = resolve_boolean_details


@pytest.fixture
def rows(store):
    for row in ROWS:
        store.put(row)
    return store


@pytest.fixture(params=["posthog local", "posthog remote", "database", "any provider"])
def client(request, receiver, new_client, rows, open_feature):
    """OpenFeature's client, with each source that there is."""
    if request.param == "database":
        return open_feature(GenOpsFallbackProvider(InMemoryProvider({}), rows, deadline=10))
    receiver.set_flags(DEFINITIONS)
    posthog = new_client(local=request.param == "posthog local")
    if request.param == "any provider":
        return open_feature(GenOpsFallbackProvider(PostHogProvider(posthog), deadline=10))
    return open_feature(GenOpsFallbackProvider.for_posthog(posthog, deadline=10))


# --- what OpenFeature's evaluation tests ask of every provider --------------------------------------------------------


@pytest.mark.parametrize(("kind", "key", "default", "value"), MATRIX)
def test_a_value_of_each_type(client, kind, key, default, value):
    assert getattr(client, f"get_{kind}_value")(key, default, USER) == value


@pytest.mark.parametrize(("kind", "key", "default", "value"), MATRIX)
def test_details_of_each_type(client, kind, key, default, value):
    details = getattr(client, f"get_{kind}_details")(key, default, USER)
    assert (details.flag_key, details.value, details.error_code) == (key, value, None)
    assert type(details.value) is type(value)
    assert details.reason in set(Reason) - {Reason.ERROR, Reason.UNKNOWN}


@pytest.mark.parametrize(("kind", "key", "default", "value"), MATRIX)
async def test_the_same_for_asyncio(client, kind, key, default, value):
    details = await getattr(client, f"get_{kind}_details_async")(key, default, USER)
    assert (details.value, details.error_code) == (value, None)


@pytest.mark.parametrize(("kind", "key", "default", "value"), MATRIX)
def test_an_unknown_flag_is_the_default_and_flag_not_found(client, kind, key, default, value):
    details = getattr(client, f"get_{kind}_details")("there-is-none", default, USER)
    assert (details.value, details.reason, details.error_code) == (default, Reason.ERROR, ErrorCode.FLAG_NOT_FOUND)
    assert details.error_message


@pytest.mark.parametrize(
    ("kind", "key", "default"), [("integer", "text", 13), ("string", "boolean", "x"), ("object", "text", {})]
)
def test_another_type_is_the_default_and_type_mismatch(client, kind, key, default):
    details = getattr(client, f"get_{kind}_details")(key, default, USER)
    assert (details.value, details.reason, details.error_code) == (default, Reason.ERROR, ErrorCode.TYPE_MISMATCH)


def test_off_is_a_value_and_no_error(client):
    details = client.get_boolean_details("off", True, USER)
    assert (details.value, details.error_code) == (False, None)
    assert client.get_string_value("off", "bye", USER) == "bye"


def test_hooks_run_and_see_the_details(client):
    seen = []

    class Seeing(Hook):
        def after(self, hook_context, details, hints):
            seen.append((hook_context.flag_key, details.value))

    client.add_hooks([Seeing()])
    client.get_boolean_value("boolean", False, USER)
    assert seen == [("boolean", True)]


def test_without_a_targeting_key_posthogs_flags_are_the_default(receiver, new_client, open_feature):
    receiver.set_flags(DEFINITIONS)
    client = open_feature(GenOpsFallbackProvider.for_posthog(new_client(), deadline=10))
    details = client.get_boolean_details("boolean", False)
    assert (details.value, details.error_code) == (False, ErrorCode.TARGETING_KEY_MISSING)


def test_without_a_targeting_key_everybodys_rows_hold(new_client, rows, open_feature):
    client = open_feature(GenOpsFallbackProvider.for_posthog(new_client(), rows, deadline=10))
    details = client.get_boolean_details("boolean", False)
    assert (details.value, details.error_code) == (True, None)
    assert details.flag_metadata["genops.primary_error"] == "TARGETING_KEY_MISSING"


# --- what it says beyond the official provider ------------------------------------------------------------------------


@pytest.mark.parametrize(("local", "source"), [(True, "posthog_local"), (False, "posthog_remote")])
def test_metadata_say_the_version_and_who_answered(receiver, new_client, open_feature, local, source):
    receiver.set_flags(DEFINITIONS)
    client = open_feature(GenOpsFallbackProvider.for_posthog(new_client(local=local), deadline=10))
    details = client.get_boolean_details("boolean", False, USER)
    assert details.flag_metadata["version"] == "4"
    assert details.flag_metadata["genops.source"] == source
    assert details.reason is Reason.TARGETING_MATCH


def test_reasons_are_told_apart(receiver, new_client, rows, open_feature):
    receiver.set_flags([flag("text", variants={"hi": 100})])
    client = open_feature(GenOpsFallbackProvider.for_posthog(new_client(), rows, deadline=10))
    reasons = [
        client.get_string_details("text", "", USER).reason,
        client.get_string_details("text", "", USER).reason,
        client.get_boolean_details("boolean", False, USER).reason,
        client.get_boolean_details("off", False, USER).reason,
        client.get_integer_details("number", 0, USER).reason,
    ]
    assert reasons == [Reason.SPLIT, Reason.CACHED, Reason.STATIC, Reason.DISABLED, Reason.SPLIT]


def test_rows_of_the_user_and_of_the_workspace_are_found(new_client, store, open_feature):
    store.put(FlagRow("beta", "user", "u1"))
    store.put(FlagRow("gamma", "workspace", "acme"))
    client = open_feature(GenOpsFallbackProvider.for_posthog(new_client(), store, deadline=10))
    assert client.get_boolean_value("beta", False, USER)
    assert client.get_boolean_value("gamma", False, USER)
    assert not client.get_boolean_value("beta", False, EvaluationContext("u2"))


@pytest.mark.parametrize(
    ("fault", "said"),
    [({"status": 500}, "api_error_500"), ({"reset": True}, "connection_error"), ({"status": 402}, "quota_limited")],
)
def test_a_failure_is_no_missing_flag(receiver, new_client, open_feature, fault, said):
    client = open_feature(GenOpsFallbackProvider.for_posthog(new_client(), deadline=10))
    with receiver.fail("flags", **fault):
        details = client.get_boolean_details("boolean", True, USER)
    assert (details.value, details.error_code) == (True, ErrorCode.GENERAL)
    assert said in details.error_message


# --- the database behind it -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "key", "default", "value"), MATRIX)
def test_in_an_outage_every_type_comes_from_the_database(
    receiver, new_client, rows, open_feature, kind, key, default, value
):
    client = open_feature(GenOpsFallbackProvider.for_posthog(new_client(), rows, deadline=10))
    with receiver.fail("all", reset=True):
        details = getattr(client, f"get_{kind}_details")(key, default, USER)
    assert (details.value, details.error_code) == (value, None)
    assert details.flag_metadata["genops.source"] == "database"
    assert details.flag_metadata["genops.primary_error"] == "GENERAL"


def test_off_at_posthog_is_not_on_by_the_database(receiver, new_client, rows, open_feature):
    receiver.set_flags([flag("boolean", rollout=0)])
    client = open_feature(GenOpsFallbackProvider.for_posthog(new_client(), rows, deadline=10))
    assert client.get_boolean_value("boolean", True, USER) is False


def test_a_mistaken_type_is_not_hidden_by_the_database(receiver, new_client, store, open_feature):
    receiver.set_flags([flag("beta")])
    store.put(FlagRow("beta", variant="text"))
    client = open_feature(GenOpsFallbackProvider.for_posthog(new_client(), store, deadline=10))
    assert client.get_string_details("beta", "x", USER).error_code is ErrorCode.TYPE_MISMATCH


def test_in_override_mode_the_database_is_first(receiver, new_client, rows, open_feature):
    receiver.set_flags([flag("boolean", rollout=0), flag("other")])
    provider = GenOpsFallbackProvider.for_posthog(new_client(), rows, mode="override", deadline=10)
    client = open_feature(provider)
    assert client.get_boolean_value("boolean", False, USER) is True
    assert receiver.flag_requests() == []
    assert client.get_boolean_value("other", False, USER) is True


def test_a_provider_of_somebody_else_has_the_database_behind_it(rows, open_feature):
    primary = InMemoryProvider({"own": InMemoryFlag("on", {"on": True})})
    client = open_feature(GenOpsFallbackProvider(primary, rows, deadline=10))
    assert client.get_boolean_value("own", False, USER) is True
    assert client.get_string_value("text", "", USER) == "hi"


def test_nobody_waits_for_a_slow_provider_beyond_the_deadline(rows, open_feature):
    slow = Slow()
    client = open_feature(GenOpsFallbackProvider(slow, rows, deadline=0.05))
    details = client.get_boolean_details("boolean", False, USER)
    slow.release.set()
    assert (details.value, details.flag_metadata["genops.source"]) == (True, "database")


def test_a_provider_that_does_not_answer_is_left_alone_until_a_probe(rows, open_feature, clock):
    slow, breaker = Slow(), Breaker(failures=2, pause=5, clock=clock)
    client = open_feature(GenOpsFallbackProvider(slow, rows, deadline=0.05, breaker=breaker))
    for _ in range(5):
        client.get_boolean_value("boolean", False, USER)
    assert slow.asked == 2
    clock.now += 5
    slow.release.set()
    client.get_boolean_value("boolean", False, USER)
    assert (slow.asked, breaker.is_open) == (3, False)


def test_a_provider_that_raises_anything_is_covered(rows, open_feature):
    broken = Slow(RuntimeError("personal details"))
    broken.release.set()
    client = open_feature(GenOpsFallbackProvider(broken, rows, deadline=10))
    assert client.get_boolean_value("boolean", False, USER) is True
    details = client.get_boolean_details("there-is-none", False, USER)
    assert (details.value, details.error_code) == (False, ErrorCode.GENERAL)
    assert "personal" not in details.error_message


def test_a_provider_that_returns_an_error_instead_of_raising_is_covered(rows, open_feature):
    returning = Slow()
    returning.resolve_boolean_details = lambda *_: FlagResolutionDetails(  # type: ignore[method-assign]
        False, error_code=ErrorCode.FLAG_NOT_FOUND
    )
    client = open_feature(GenOpsFallbackProvider(returning, rows, deadline=10))
    assert client.get_boolean_value("boolean", False, USER) is True


def test_not_found_is_an_answer_and_opens_no_breaker(rows, open_feature):
    breaker = Breaker(failures=1)
    missing = Slow(FlagNotFoundError("no"))
    missing.release.set()
    client = open_feature(GenOpsFallbackProvider(missing, rows, deadline=10, breaker=breaker))
    client.get_boolean_value("boolean", False, USER)
    assert not breaker.is_open


# --- life and events --------------------------------------------------------------------------------------------------


def test_it_is_ready_though_posthog_is_away(receiver, new_client, rows, open_feature):
    with receiver.fail("all", reset=True):
        client = open_feature(GenOpsFallbackProvider.for_posthog(new_client(local=True), rows))
    assert client.get_provider_status().name == "READY"
    assert client.get_provider_status()


def test_it_is_ready_though_the_first_provider_is_not(rows, open_feature):
    broken = Slow()

    def initialize(context) -> None:
        raise RuntimeError("no network")

    broken.initialize = initialize  # type: ignore[method-assign]
    client = open_feature(GenOpsFallbackProvider(broken, rows, deadline=0.05))
    assert client.get_boolean_value("boolean", False, USER) is True
    broken.release.set()


def test_once_ready_definitions_are_loaded(receiver, new_client, open_feature):
    receiver.set_flags(DEFINITIONS)
    client = open_feature(GenOpsFallbackProvider.for_posthog(new_client(local=True)))
    assert client.get_boolean_details("boolean", False, USER).flag_metadata["genops.source"] == "posthog_local"


def test_an_outage_and_its_end_are_events(receiver, new_client, rows, open_feature, clock):
    receiver.set_flags(DEFINITIONS)
    breaker = Breaker(failures=1, pause=5, clock=clock)
    client = open_feature(GenOpsFallbackProvider.for_posthog(new_client(), rows, deadline=10, breaker=breaker))
    stale: SimpleQueue[EventDetails] = SimpleQueue()
    client.add_handler(ProviderEvent.PROVIDER_STALE, stale.put)
    with receiver.fail("flags", status=500):
        client.get_boolean_value("boolean", False, USER)
    assert stale.get(timeout=10).message == "PostHogProvider does not answer"
    assert client.get_boolean_value("boolean", False, USER) is True  # stale is not silent
    ready: SimpleQueue[EventDetails] = SimpleQueue()
    client.add_handler(ProviderEvent.PROVIDER_READY, ready.put)
    clock.now += 5
    client.get_boolean_value("boolean", False, EvaluationContext("another"))
    assert ready.get(timeout=10).message == "PostHogProvider answers again"


def test_a_change_of_the_database_is_an_event_with_the_flags(new_client, rows, open_feature):
    provider = GenOpsFallbackProvider.for_posthog(new_client(), rows, deadline=10)
    client, told = open_feature(provider), SimpleQueue[EventDetails]()
    client.add_handler(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, told.put)
    rows.put(FlagRow("text", variant="hello"))
    provider._rows.table.refresh(10)
    assert told.get(timeout=10).flags_changed == ["text"]


def test_events_of_the_first_provider_are_passed_on_and_its_error_is_staleness(rows, open_feature):
    primary, told = InMemoryProvider({}), SimpleQueue[EventDetails]()
    client = open_feature(GenOpsFallbackProvider(primary, rows, deadline=10))
    client.add_handler(ProviderEvent.PROVIDER_STALE, told.put)
    primary.emit_provider_error(ProviderEventDetails(message="lost"))
    assert told.get(timeout=10).message == "lost"
    assert client.get_boolean_value("boolean", False, USER) is True


def test_shutting_down_leaves_posthogs_client_to_the_application(receiver, new_client):
    client = new_client()
    GenOpsFallbackProvider.for_posthog(client).shutdown()
    client.capture("still there", distinct_id="u1")
    client.flush()
    assert [event.event for event in receiver.wait_for_events(1)] == ["still there"]


def test_tracking_is_a_posthog_event_of_the_person(receiver, new_client, open_feature):
    tracking = pytest.importorskip("openfeature.track")
    posthog = new_client()
    client = open_feature(GenOpsFallbackProvider.for_posthog(posthog))
    client.track("purchase", USER, tracking.TrackingEventDetails(99.5, {"currency": "EUR"}))
    posthog.flush()
    (event,) = receiver.wait_for_events(1)
    assert (event.event, event.distinct_id) == ("purchase", "u1")
    assert (event.properties["value"], event.properties["currency"]) == (99.5, "EUR")
    assert event.properties["$groups"] == {"workspace": "acme"}


def test_an_evaluation_is_recorded_once_and_never_twice_with_the_sdks_own(receiver, new_client, open_feature):
    receiver.set_flags(DEFINITIONS)
    posthog = new_client()
    client = open_feature(GenOpsFallbackProvider.for_posthog(posthog, deadline=10))
    for _ in range(3):
        client.get_boolean_value("boolean", False, USER)
    posthog.flush()
    assert [event.event for event in receiver.wait_for_events(1)] == ["$feature_flag_called"]


def test_the_name_is_in_the_metadata():
    assert GenOpsFallbackProvider(InMemoryProvider({})).get_metadata().name == "GenOpsFallbackProvider"
