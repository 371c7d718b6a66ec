"""The analytics service with a store, with PostHog, with both, and with neither."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from genops_otel_posthog.errors import GenOpsValidationError
from genops_otel_posthog.service import AnalyticsService, PostHogService
from genops_otel_posthog.service.analytics.memory import MemoryStore
from genops_otel_posthog.service.analytics.opening import open_analytics_store
from genops_otel_posthog.service.analytics.store import AnalyticsStoreError


@pytest.fixture
def analytics(store, clock):
    return AnalyticsService(None, store, clock=clock)


@pytest.mark.requirement("S0-31")
async def test_what_is_told_is_kept_without_posthog(analytics, clock):
    assert await analytics.track_session_start({"sessionId": "s1", "userId": "ann"})
    assert await analytics.track_interaction(type="click", session_id="s1", component="button", page="/cart")
    clock.pass_by(minutes=1)
    assert await analytics.track_interaction(type="scroll", session_id="s1")
    assert await analytics.track_cognitive_state(cognitive_mode="creative", session_id="s1", confidence=1)
    assert await analytics.update_session("s1", productivityScore=0, endTime=clock.now)

    interactions = await analytics.get_user_interactions("ann")
    assert [each.interaction_type for each in interactions] == ["scroll", "click"]
    assert [each.interaction_type for each in await analytics.get_user_interactions("ann", 1)] == ["scroll"]
    (state,) = await analytics.get_cognitive_state_history("ann")
    assert (state.cognitive_mode, state.confidence) == ("creative", 1)
    session = await analytics.get_session_analytics("s1")
    assert (session.user_id, session.productivity_score, session.most_used_mode) == ("ann", 0, "executive")
    assert session.end_time - session.start_time == timedelta(minutes=1)
    assert await analytics.get_session_analytics("s2") is None


@pytest.mark.requirement("S0-31", "D-35")
def test_switched_off_posthog_is_no_reason_not_to_keep_and_a_broken_store_none_not_to_send(service, receiver, tmp_path):
    off = PostHogService()
    off.initialize_sync(enable=False)
    assert AnalyticsService(off, MemoryStore()).track_interaction_sync(type="click", user_id="ann")

    (tmp_path / "file").write_text("")
    broken = open_analytics_store(f"sqlite:///{(tmp_path / 'file' / 'a.sqlite3').as_posix().lstrip('/')}")
    analytics = AnalyticsService(service, broken)
    assert not analytics.initialize_sync()
    assert not analytics.track_interaction_sync(type="click", user_id="ann"), "it was not kept"
    assert service.flush_sync(10)
    assert [event.event for event in receiver.events()] == ["interaction_click"]
    with pytest.raises(AnalyticsStoreError):
        analytics.get_user_interactions_sync("ann")


@pytest.mark.requirement("S0-31")
def test_without_a_store_events_are_sent_and_getters_know_nothing(service, receiver):
    analytics = AnalyticsService(service)
    assert analytics.initialize_sync()
    assert analytics.track_interaction_sync(type="click", user_id="ann")
    assert service.flush_sync(10)
    assert len(receiver.events()) == 1
    assert analytics.get_user_interactions_sync("ann") == []
    assert analytics.get_session_analytics_sync("s1") is None
    assert analytics.get_cognitive_state_history_sync("ann") == []
    assert analytics.identify_behavior_patterns_sync("ann") == []
    assert analytics.cleanup_old_data_sync() == analytics.forget_user_sync("ann") == 0


@pytest.mark.requirement("S0-47")
def test_what_a_person_has_not_agreed_to_is_neither_sent_nor_kept(new_service, receiver):
    service = new_service(consent=lambda user, event: user == "ann" and event != "interaction_keypress")
    analytics = AnalyticsService(service, MemoryStore())
    for user in ("ann", "bert"):
        assert analytics.track_session_start_sync(session_id=user, user_id=user)
        for kind in ("click", "keypress"):
            assert analytics.track_interaction_sync(type=kind, session_id=user)
        assert analytics.update_session_sync(user, duration=1)
    assert service.flush_sync(10)
    assert {(event.event, event.distinct_id) for event in receiver.events()} == {
        ("session_started", "ann"),
        ("interaction_click", "ann"),
        ("session_updated", "ann"),
    }
    assert [each.interaction_type for each in analytics.get_user_interactions_sync("ann")] == ["click"]
    assert analytics.get_user_interactions_sync("bert") == []
    assert analytics.get_session_analytics_sync("bert") is None
    assert service.counts().withheld == {"consent": 5}


def test_with_neither_nothing_becomes_of_it_and_that_is_said(caplog):
    assert not AnalyticsService(PostHogService()).track_interaction_sync(type="click", user_id="ann")
    assert "there is neither PostHog nor a store" in caplog.text


@pytest.mark.requirement("S0-31")
async def test_habits_show_in_more_than_five_switches_and_more_than_ten_uses(analytics):
    for number in range(5):
        await analytics.track_interaction(
            type="mode_switch", user_id="ann", metadata={"toMode": "creative", "trigger": f"t{number % 2}"}
        )
    for _ in range(10):
        await analytics.track_interaction(type="component_interaction", user_id="ann", component="chart")
        await analytics.track_interaction(type="click", user_id="ann", component="button")
    assert await analytics.identify_behavior_patterns("ann") == []

    await analytics.track_interaction(type="mode_switch", user_id="ann")
    await analytics.track_interaction(type="component_interaction", user_id="ann", component="chart")
    switching, using = await analytics.identify_behavior_patterns("ann")
    assert (switching.pattern_name, switching.frequency) == ("Frequent mode switching", 6)
    assert switching.associated_modes == ("creative", "unknown")
    assert switching.triggers == ("t0", "t1", "unknown")
    assert (using.pattern_name, using.frequency, using.confidence) == ("Frequent use of chart", 11, 0.61)
    await analytics.identify_behavior_patterns("ann")
    kept = await analytics.get_behavior_patterns("ann")
    assert {each.pattern_id for each in kept} == {"mode_switch_ann", "component_chart_ann"}
    assert len(kept) == 2


@pytest.mark.requirement("S0-31")
async def test_what_is_older_than_thirty_days_is_forgotten(analytics, clock):
    await analytics.track_session_start(session_id="still going", user_id="ann")
    await analytics.track_session_start(session_id="over", user_id="ann")
    await analytics.track_interaction(type="click", user_id="ann")
    await analytics.track_cognitive_state(cognitive_mode="adaptive", user_id="ann")
    clock.pass_by(days=20)
    await analytics.track_interaction(type="scroll", user_id="ann")
    await analytics.update_session("still going", duration=1)
    clock.pass_by(days=11)
    assert await analytics.cleanup_old_data() == 3
    assert [each.interaction_type for each in await analytics.get_user_interactions("ann")] == ["scroll"]
    assert await analytics.get_session_analytics("over") is None
    assert await analytics.get_session_analytics("still going") is not None
    assert await analytics.cleanup_old_data(days=0) == 2


async def test_a_user_is_forgotten_on_request(analytics):
    await analytics.track_session_start(session_id="s1", user_id="ann")
    await analytics.track_interaction(type="click", user_id="ann")
    await analytics.track_interaction(type="click", user_id="bert")
    assert await analytics.forget_user("ann") == 2
    assert await analytics.get_user_interactions("ann") == []
    assert len(await analytics.get_user_interactions("bert")) == 1


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda a: a.track_interaction_sync(user_id="ann"), "interaction_type is missing"),
        (lambda a: a.track_interaction_sync({"type": "click", "usrId": 1}), "no field 'usrId'; did you mean 'user_id'"),
        (lambda a: a.track_interaction_sync([1]), "give a dictionary or keywords, not list"),
        (lambda a: a.track_interaction_sync(type="click", id="x"), "no field 'id'"),
        (lambda a: a.track_interaction_sync(type="click", coordinates=(1, 2)), 'coordinates are {"x": …, "y": …}'),
        (lambda a: a.track_interaction_sync(type="click", coordinates={"x": 1, "y": "2"}), "coordinates.y is a finite"),
        (lambda a: a.track_interaction_sync(type="click", duration=float("nan")), "duration is a finite number"),
        (lambda a: a.track_interaction_sync(type="click", duration=-1), "duration is 0 or more"),
        (lambda a: a.track_interaction_sync(type="click", metadata="x"), "metadata is a dictionary, not str"),
        (lambda a: a.track_interaction_sync(type="click", timestamp="x"), "timestamp: timestamp 'x' cannot be used"),
        (lambda a: a.track_session_start_sync(user_id="ann"), "session_id is missing"),
        (lambda a: a.track_session_start_sync(session_id=" "), "session_id is a text that is not blank"),
        (lambda a: a.update_session_sync("s1", mode_transitions=1.5), "mode_transitions is a whole number"),
        (lambda a: a.update_session_sync("s1", cognitive_patterns="deep"), "cognitive_patterns is a list of texts"),
        (lambda a: a.track_cognitive_state_sync(cognitive_mode="creative", confidence=1.1), "between 0 and 1"),
        (lambda a: a.track_cognitive_state_sync(cognitive_mode="creative", triggers=7), "triggers is a list of texts"),
    ],
)
def test_what_cannot_be_taken_is_false_and_said_and_never_raised(call, said, caplog):
    assert call(AnalyticsService(None, MemoryStore())) is False
    assert said in caplog.text


def test_an_error_nobody_thought_of_is_false_too(caplog):
    class Broken(MemoryStore):
        def put(self, record):
            raise RuntimeError("ann@example.com")

    assert not AnalyticsService(None, Broken()).track_interaction_sync(type="click", user_id="ann")
    assert "RuntimeError" in caplog.text
    assert "ann@example.com" not in caplog.text


@pytest.mark.parametrize("limit", [-1, 1.5, True, "10"])
def test_a_limit_is_a_number_of_records(limit):
    with pytest.raises(GenOpsValidationError, match="limit is a whole number, 0 or more"):
        AnalyticsService(None, MemoryStore()).get_user_interactions_sync("ann", limit)


def test_days_are_not_negative():
    for days in (-1, float("nan")):
        with pytest.raises(GenOpsValidationError, match="days is 0 or more"):
            AnalyticsService(None, MemoryStore()).cleanup_old_data_sync(days)


def test_memory_is_bounded():
    store = MemoryStore(limit=3)
    analytics = AnalyticsService(None, store)
    for number in range(5):
        analytics.track_interaction_sync(
            type="click", user_id="ann", page=f"/{number}", timestamp=datetime(2026, 1, 1 + number, tzinfo=timezone.utc)
        )
    assert [each.page for each in analytics.get_user_interactions_sync("ann")] == ["/4", "/3", "/2"]


async def test_disconnecting_closes_the_store_and_stops_posthog(service, receiver, tmp_path):
    analytics = AnalyticsService(service)
    assert await analytics.initialize(f"sqlite:///{(tmp_path / 'a.sqlite3').as_posix().lstrip('/')}")
    assert await analytics.track_interaction(type="click", user_id="ann")
    assert await analytics.disconnect()
    assert not service.is_ready()
    assert analytics.store is None
    assert len(receiver.events()) == 1
