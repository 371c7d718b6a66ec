"""Every store keeps the same promises."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from genops_otel_posthog.service.analytics.records import (
    RECORDS,
    BehaviorPattern,
    CognitiveState,
    SessionAnalytics,
    UserInteraction,
)

NOON = datetime(2026, 3, 1, 12, 0, 0, 123_000, tzinfo=timezone.utc)

INTERACTION = UserInteraction(
    interaction_type="click",
    timestamp=NOON,
    user_id="ann",
    session_id="s1",
    component="button",
    page="/cart",
    coordinates={"x": 1, "y": 2.5},
    duration=0.0,
    metadata={"a": [1, None, {"b": "\U0001f600é"}]},
)
SESSION = SessionAnalytics(
    session_id="s1",
    updated_at=NOON,
    user_id="ann",
    start_time=NOON,
    end_time=NOON + timedelta(hours=1),
    duration=3_600_000,
    total_interactions=0,
    mode_transitions=2**40,
    most_used_mode="executive",
    productivity_score=0.0,
    cognitive_patterns=("deep", "wide"),
)
STATE = CognitiveState(
    cognitive_mode="technical",
    timestamp=NOON,
    user_id="ann",
    session_id="s1",
    confidence=0.75,
    context="review",
    triggers=("deadline",),
    metadata={"n": 1},
)
PATTERN = BehaviorPattern(
    pattern_id="mode_switch_ann",
    pattern_name="Frequent mode switching",
    user_id="ann",
    frequency=6,
    last_observed=NOON,
    confidence=0.85,
    associated_modes=("creative",),
    triggers=("unknown",),
)
FULL = [INTERACTION, SESSION, STATE, PATTERN]
EMPTY = [
    UserInteraction(interaction_type="click", timestamp=NOON),
    SessionAnalytics(session_id="s2", updated_at=NOON),
    CognitiveState(cognitive_mode="creative", timestamp=NOON),
]


def at(record, moment, key):
    return replace(record, **{record.MOMENT: moment, record.KEY: key})


def key_of(record):
    return getattr(record, record.KEY)


@pytest.mark.requirement("S0-31")
@pytest.mark.parametrize("record", FULL + EMPTY, ids=lambda record: record.COLLECTION)
def test_what_is_kept_is_given_back_field_by_field(record, store):
    store.prepare()
    store.put(record)
    assert store.get(type(record), key_of(record)) == record


@pytest.mark.parametrize("kind", RECORDS)
def test_what_was_never_kept_is_not_there(kind, store):
    assert store.get(kind, "nobody") is None
    assert store.find(kind, "nobody", 10) == []
    assert store.remove_user(kind, "nobody") == 0


@pytest.mark.parametrize("record", FULL, ids=lambda record: record.COLLECTION)
def test_the_latest_records_of_a_user_come_first_and_no_more_than_were_asked_for(record, store):
    for minute in (3, 1, 2):
        store.put(at(record, NOON + timedelta(minutes=minute), f"key {minute}"))
    store.put(replace(at(record, NOON, "somebody else's"), user_id="bert"))
    found = store.find(type(record), "ann", 2)
    assert [key_of(each) for each in found] == ["key 3", "key 2"]
    assert len(store.find(type(record), "ann", 10)) == 3
    assert store.find(type(record), "ann", 0) == []


def test_a_record_that_comes_again_takes_the_place_of_the_first(store):
    store.put(PATTERN)
    store.put(replace(PATTERN, frequency=9))
    assert [each.frequency for each in store.find(BehaviorPattern, "ann", 10)] == [9]


def test_a_change_leaves_the_other_fields_as_they_are(store):
    store.put(SESSION)
    store.change(SessionAnalytics, "s1", {"productivity_score": 0.9, "updated_at": NOON + timedelta(minutes=1)})
    changed = replace(SESSION, productivity_score=0.9, updated_at=NOON + timedelta(minutes=1))
    assert store.get(SessionAnalytics, "s1") == changed


def test_a_change_of_what_is_not_there_makes_it(store):
    store.change(SessionAnalytics, "s9", {"duration": 5.0, "updated_at": NOON})
    assert store.get(SessionAnalytics, "s9") == SessionAnalytics(session_id="s9", updated_at=NOON, duration=5.0)


@pytest.mark.parametrize("record", FULL, ids=lambda record: record.COLLECTION)
def test_what_is_old_is_forgotten_and_counted(record, store):
    for age in (1, 29, 31, 400):
        store.put(at(record, NOON - timedelta(days=age), f"{age} days"))
    assert store.remove_before(type(record), NOON - timedelta(days=30)) == 2
    assert [key_of(each) for each in store.find(type(record), "ann", 10)] == ["1 days", "29 days"]


@pytest.mark.parametrize("record", FULL, ids=lambda record: record.COLLECTION)
def test_a_user_is_forgotten_and_others_are_not(record, store):
    store.put(at(record, NOON, "a"))
    store.put(replace(at(record, NOON, "b"), user_id="bert"))
    assert store.remove_user(type(record), "ann") == 1
    assert store.find(type(record), "ann", 10) == []
    assert len(store.find(type(record), "bert", 10)) == 1


def test_changes_from_many_threads_are_all_there(store):
    store.prepare()
    names = ["duration", "total_interactions", "mode_transitions", "productivity_score"]
    threads = [
        threading.Thread(
            target=store.change, args=(SessionAnalytics, "s1", {name: number, "updated_at": NOON, "user_id": "ann"})
        )
        for number, name in enumerate(names, 1)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = store.get(SessionAnalytics, "s1")
    assert [getattr(found, name) for name in names] == [1, 2, 3, 4]
