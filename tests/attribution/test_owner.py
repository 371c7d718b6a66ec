"""The owner as a value: equality, gaps filled from another owner, and its forms on spans, events and metrics."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genops_otel_posthog.attribution import FIELDS, NOBODY, Attribution
from genops_otel_posthog.settings import Settings

# Few values, so that fields are often equal and often missing; many tag keys, so that there are often too many.
TEXT = st.sampled_from([None, "aa", "bb"])
TAGS = st.dictionaries(st.sampled_from([f"t{number}" for number in range(50)]), st.sampled_from("xyz"), max_size=30)
OWNERS = st.builds(Attribution, **dict.fromkeys(FIELDS, TEXT), tags=TAGS)


@given(OWNERS, OWNERS, OWNERS)
def test_filling_gaps_does_not_depend_on_grouping(nearest, middle, farthest):
    assert nearest.over(middle).over(farthest) == nearest.over(middle.over(farthest))


@given(OWNERS)
def test_nobody_adds_nothing_on_either_side(owner):
    assert owner.over(NOBODY) == owner == NOBODY.over(owner)


@given(OWNERS)
def test_an_owner_over_itself_is_itself(owner):
    assert owner.over(owner) == owner


@given(OWNERS, OWNERS)
def test_every_field_comes_from_the_nearest_owner_that_gives_it(near, far):
    merged = near.over(far)
    for field in FIELDS:
        own, other = getattr(near, field), getattr(far, field)
        assert getattr(merged, field) == (own if own is not None else other)


@given(OWNERS, OWNERS)
def test_tags_add_up_key_by_key_and_the_nearest_wins(near, far):
    merged = near.over(far).tags
    assert dict(near.tags).items() <= merged.items()
    assert merged.items() <= {**far.tags, **near.tags}.items()
    assert len(merged) == min(32, len(near.tags.keys() | far.tags.keys()))


@given(OWNERS, OWNERS)
def test_equal_owners_have_equal_hashes(one, other):
    same = Attribution(**{field: getattr(one, field) for field in FIELDS}, tags=dict(reversed(one.tags.items())))
    assert same == one
    assert hash(same) == hash(one)
    assert (one == other) == (one.span_attributes() == other.span_attributes())


@given(OWNERS)
def test_an_owner_is_true_exactly_when_somebody_is_named(owner):
    assert bool(owner) == (owner != NOBODY) == bool(owner.span_attributes())


def test_none_and_blank_are_not_given():
    assert Attribution(team=None, project="", customer_id="  ", tags={"tier": None, "platform": " "}) == NOBODY


def test_an_owner_is_not_equal_to_something_else():
    assert Attribution(team="checkout") != "checkout"
    assert Attribution(team="checkout") != Attribution(project="checkout")


@pytest.mark.parametrize("field", [*FIELDS, "tags"])
def test_an_owner_cannot_be_changed(field):
    owner = Attribution(team="checkout", tags={"tier": "gold"})
    with pytest.raises(AttributeError):
        setattr(owner, field, "other")
    with pytest.raises(TypeError):
        owner.tags["tier"] = "silver"


def test_a_field_that_does_not_exist_is_refused():
    with pytest.raises(TypeError, match="tema"):
        Attribution(tema="checkout")


def test_an_owner_shows_what_is_given_and_nothing_else():
    owner = Attribution(team="checkout", tags={"tier": "gold"})
    assert repr(owner) == "Attribution(team='checkout', tags={'tier': 'gold'})"
    assert repr(NOBODY) == "Attribution()"


def test_where_tags_are_too_many_the_outer_ones_go_first(caplog):
    outer = Attribution(tags={f"outer{n:02}": "x" for n in range(30)})
    merged = Attribution(tags={f"inner{n:02}": "x" for n in range(30)}).over(outer)
    assert [key[:5] for key in merged.tags] == ["inner"] * 30 + ["outer"] * 2
    assert [record.message for record in caplog.records] == [
        "Attribution: tags are more than 32; the rest is left out. Give what varies as a tag's value, not as its key"
    ]


def test_on_a_span_each_field_has_its_attribute():
    owner = Attribution(**{field: f"a-{field}" for field in FIELDS}, tags={"tier": "gold"})
    assert owner.span_attributes() == {
        "genops.team": "a-team",
        "genops.project": "a-project",
        "genops.environment": "a-environment",
        "genops.customer_id": "a-customer_id",
        "genops.cost_center": "a-cost_center",
        "genops.feature": "a-feature",
        "genops.user.id": "a-user_id",
        "genops.workspace.id": "a-workspace_id",
        "genops.organization.id": "a-organization_id",
        "genops.session.id": "a-session_id",
        "genops.tag.tier": "gold",
    }


def test_on_an_event_each_field_but_the_session_has_its_property():
    owner = Attribution(**{field: f"a-{field}" for field in FIELDS}, tags={"tier": "gold"})
    assert owner.event_properties() == {
        "genops_team": "a-team",
        "genops_project": "a-project",
        "genops_environment": "a-environment",
        "genops_customer_id": "a-customer_id",
        "genops_cost_center": "a-cost_center",
        "genops_feature": "a-feature",
        "user_id": "a-user_id",
        "workspace_id": "a-workspace_id",
        "organization_id": "a-organization_id",
        "genops_tag_tier": "gold",
    }


def test_selected_fields_come_as_attributes_and_tags_only_when_asked_for():
    owner = Attribution(team="checkout", customer_id="acme", tags={"tier": "gold"})
    assert owner.select({"team", "project"}) == {"genops.team": "checkout"}
    assert owner.select({"customer_id", "tags"}) == {"genops.customer_id": "acme", "genops.tag.tier": "gold"}
    assert owner.select(frozenset()) == {}


def test_the_environment_names_an_owner():
    settings = Settings.from_environ({"GENOPS_TEAM": "checkout", "GENOPS_TAGS": "tier=gold, platform=ios"})
    owner = Attribution.from_settings(settings)
    assert owner == Attribution(team="checkout", tags={"tier": "gold", "platform": "ios"})


def test_a_resource_names_an_owner():
    resource = {
        "service.name": "shop",
        "genops.team": "checkout",
        "genops.cost_center": 1042,
        "genops.tag.tier": "gold",
    }
    owner = Attribution.from_resource(resource)
    assert owner == Attribution(team="checkout", cost_center=1042, tags={"tier": "gold"})


@pytest.mark.parametrize(
    ("resource", "environment"),
    [
        ({"deployment.environment": "staging"}, "staging"),
        ({"deployment.environment": "staging", "deployment.environment.name": "test"}, "test"),
        ({"deployment.environment.name": "test", "genops.environment": "production"}, "production"),
        ({}, None),
    ],
)
def test_the_environment_of_a_resource_is_taken_from_the_most_specific_name(resource, environment):
    assert Attribution.from_resource(resource).environment == environment


def test_a_copy_is_equal():
    owner = Attribution(team="checkout", tags={"tier": "gold"})
    assert copy.deepcopy(owner) == owner == copy.copy(owner)


def test_an_owner_sent_to_another_process_is_found_there_as_a_key():
    owner = Attribution(team="checkout", tags={"tier": "gold"})
    script = (
        "import pickle, sys\n"
        "from genops_otel_posthog.attribution import Attribution\n"
        "sent = pickle.load(sys.stdin.buffer)\n"
        "print({Attribution(team='checkout', tags={'tier': 'gold'}): 'found'}.get(sent))"
    )
    environ = {**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", script], input=pickle.dumps(owner), capture_output=True, env=environ, check=True
    )
    assert done.stdout.split() == [b"found"]
