"""Which call is counted by which meter."""

from __future__ import annotations

from dataclasses import replace

import pytest

from genops_otel_posthog.pricing.billing import (
    ALWAYS_IDENTIFIED,
    FLAG_REQUEST,
    UNBILLED_EVENTS,
    charges_for_event,
    definitions_poll,
    is_identified,
)
from genops_otel_posthog.pricing.book import PriceBook
from genops_otel_posthog.pricing.meters import METERS


def meters(name: str, **facts: bool) -> list[str]:
    return [charge.meter for charge in charges_for_event(name, **{"identified": True, **facts})]


def test_an_anonymous_event_is_one_event():
    assert charges_for_event("page_view", identified=False) == (("events", 1),)


def test_an_identified_event_is_an_event_and_a_surcharge_in_that_order():
    assert charges_for_event("page_view", identified=True) == (("events", 1), ("identified_events", 1))


def test_the_group_add_on_counts_every_identified_event_whether_or_not_it_carries_a_group():
    expected = ["events", "identified_events", "group_analytics"]
    assert meters("page_view", group_analytics=True, grouped=True) == expected
    assert meters("page_view", group_analytics=True, grouped=False) == expected


def test_the_group_add_on_does_not_count_anonymous_events():
    assert meters("page_view", identified=False, group_analytics=True, grouped=True) == ["events"]


def test_groups_cost_nothing_without_the_add_on():
    assert meters("page_view", grouped=True) == ["events", "identified_events"]


@pytest.mark.parametrize("name", sorted(UNBILLED_EVENTS))
def test_an_event_that_posthog_excludes_is_not_billed(name: str):
    assert charges_for_event(name, identified=True, grouped=True, group_analytics=True) == ()


def test_a_flag_call_event_is_not_billed():
    assert charges_for_event("$feature_flag_called", identified=True) == ()


@pytest.mark.parametrize("name", ["$ai_generation", "$ai_trace", "$ai_span", "$ai_made_up_tomorrow"])
def test_every_event_with_the_ai_prefix_has_the_meter_of_ai_events_and_no_surcharge(name: str):
    assert meters(name, group_analytics=True, grouped=True) == ["llm_events"]


def test_an_event_that_only_resembles_the_ai_prefix_is_an_ordinary_event():
    assert meters("ai_generation") == meters("$air") == ["events", "identified_events"]


def test_an_exception_has_a_meter_of_its_own_and_no_surcharge():
    assert meters("$exception") == ["exceptions"]


def test_only_a_sent_survey_is_a_survey_response():
    assert meters("survey sent") == ["survey_responses"]
    assert meters("survey shown") == meters("survey dismissed") == []


@pytest.mark.parametrize(
    "name", ["$pageview", "$pageleave", "$autocapture", "$screen", "$set", "$set_once", "$web_vitals", "$mcp_tool_call"]
)
def test_posthogs_own_other_events_are_ordinary_events(name: str):
    assert meters(name) == ["events", "identified_events"]


@pytest.mark.parametrize("name", sorted(ALWAYS_IDENTIFIED))
def test_an_event_about_a_person_or_a_group_is_identified_whatever_the_caller_says(name: str):
    assert meters(name, identified=False) == ["events", "identified_events"]


def test_a_remote_flag_request_is_one_unit():
    assert FLAG_REQUEST == (("feature_flag_requests", 1),)


def test_a_download_of_flag_definitions_is_ten_flag_requests():
    book = PriceBook.load("posthog-2026-07-22")
    assert definitions_poll(book, not_modified=False) == (("feature_flag_requests", 10),)


def test_a_download_that_changed_nothing_is_free_by_todays_book():
    book = PriceBook.load("posthog-2026-07-22")
    assert definitions_poll(book, not_modified=True) == ()


def test_a_book_of_an_older_server_can_charge_for_downloads_that_changed_nothing():
    book = replace(PriceBook.load("posthog-2026-07-22"), flag_poll_not_modified_units=10)
    assert definitions_poll(book, not_modified=True) == (("feature_flag_requests", 10),)


@pytest.mark.parametrize("properties", [None, {}, {"$process_person_profile": True}, {"plan": "pro"}])
def test_an_event_is_identified_by_default(properties: dict[str, object] | None):
    assert is_identified(properties)


def test_the_boolean_false_makes_an_event_anonymous():
    assert not is_identified({"$process_person_profile": False})


@pytest.mark.parametrize("value", ["false", 0, None, ""])
def test_nothing_else_that_looks_false_makes_an_event_anonymous(value: object):
    assert is_identified({"$process_person_profile": value})


def test_every_charge_is_of_a_known_meter():
    names = ["page_view", "$ai_span", "$exception", "survey sent"]
    charged = {meter for name in names for meter in meters(name, group_analytics=True)}
    assert charged | {FLAG_REQUEST[0].meter} <= set(METERS)
