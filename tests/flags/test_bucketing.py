"""The same people in the same places as PostHog puts them, whoever computes it."""

from __future__ import annotations

import string
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from posthog.feature_flags import _hash, get_matching_variant

from genops_otel_posthog.flags import FlagChain, FlagRow, Subject, Variant
from genops_otel_posthog.flags.bucketing import bucket, choose_variant, in_rollout
from genops_otel_posthog.receiver.flag_evaluation import Subject as PostHogSubject
from genops_otel_posthog.receiver.flag_evaluation import evaluate_flags, read_definitions

from .conftest import flag

NOW = datetime(2026, 11, 22, tzinfo=timezone.utc)
KEYS = st.text(string.ascii_letters + string.digits + "-_.", min_size=1, max_size=40)
SUBJECTS = st.text(min_size=1, max_size=60).filter(lambda text: text.isprintable())
USERS = [f"user_{number}" for number in range(1000)]


@given(KEYS, SUBJECTS, st.sampled_from(["", "variant"]))
def test_a_bucket_is_the_sdks_own(key, subject, salt):
    assert bucket(key, subject, salt) == _hash(key, subject, salt)


@given(KEYS, SUBJECTS)
def test_a_bucket_lies_between_nothing_and_all(key, subject):
    assert 0 <= bucket(key, subject) <= 1


@given(KEYS, SUBJECTS, st.floats(0, 100), st.floats(0, 100))
def test_who_is_in_a_rollout_stays_in_a_larger_one(key, subject, one, other):
    small, large = sorted([one, other])
    assert in_rollout(key, subject, large) or not in_rollout(key, subject, small)


@given(KEYS, SUBJECTS)
def test_a_full_rollout_leaves_nobody_out(key, subject):
    assert in_rollout(key, subject, 100)


@given(KEYS, SUBJECTS, st.lists(st.integers(1, 25), min_size=1, max_size=4))
def test_a_variant_is_the_sdks_own(key, subject, shares):
    variants = {f"v{number}": float(share) for number, share in enumerate(shares)}
    assert choose_variant(key, subject, variants.items()) == get_matching_variant(flag(key, variants=variants), subject)


@given(KEYS, SUBJECTS)
def test_shares_of_a_hundred_leave_nobody_without_a_variant(key, subject):
    assert choose_variant(key, subject, [("a", 50), ("b", 50)]) is not None


@pytest.mark.parametrize("rollout", [0, 1, 33, 50, 99, 100])
def test_a_row_turns_a_flag_on_for_the_same_thousand_users_as_posthogs_server(rollout):
    definitions = read_definitions([flag("beta", rollout=rollout)], source="test")
    row = FlagRow("beta", rollout_pct=rollout)
    posthog = {user: evaluate_flags(definitions, PostHogSubject(user), now=NOW)["beta"].value for user in USERS}
    assert {user: row.answer(Subject(user)).value for user in USERS} == posthog


def test_a_row_gives_a_thousand_users_the_variants_that_the_sdk_gives_them(receiver, new_client, store):
    shares = {"control": 40.0, "short": 35.0, "long": 25.0}
    receiver.set_flags([flag("pricing", rollout=80, variants=shares)])
    store.put(FlagRow("pricing", variants=tuple(Variant(*each) for each in shares.items()), rollout_pct=80))
    by_posthog = FlagChain(new_client(local=True), recorders=())
    by_row = FlagChain(database=store)
    by_posthog.prepare(10)

    posthog = {user: by_posthog.answer("pricing", Subject(user)) for user in USERS}

    assert {answer.source for answer in posthog.values()} == {"posthog_local"}
    assert {answer.value for answer in posthog.values()} == {False, "control", "short", "long"}
    assert {user: by_row.answer("pricing", Subject(user)).value for user in USERS} == {
        user: answer.value for user, answer in posthog.items()
    }


def test_a_row_of_workspaces_splits_workspaces_as_posthog_splits_groups(receiver, new_client, store):
    grouped = flag("beta", rollout=50, filters={"aggregation_group_type_index": 0})
    receiver.set_flags({"flags": [grouped], "group_type_mapping": {"0": "workspace"}, "cohorts": {}})
    by_posthog = FlagChain(new_client(local=True), recorders=())
    by_posthog.prepare(10)
    names = [f"w{number}" for number in range(100)]

    posthog = {name: by_posthog.answer("beta", Subject("someone", name)) for name in names}

    assert {answer.source for answer in posthog.values()} == {"posthog_local"}
    assert {
        name: FlagRow("beta", "workspace", name, rollout_pct=50).answer(Subject("someone", name)).value
        for name in names
    } == {name: answer.value for name, answer in posthog.items()}
