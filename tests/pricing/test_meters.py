"""The names of the meters, and what is said about a wrong one."""

from __future__ import annotations

import pytest

from genops_otel_posthog.pricing.meters import METERS, unknown_meter


def test_there_is_a_meter_for_every_product_that_posthog_bills_by_usage():
    assert len(METERS) == 21
    assert len({meter.product for meter in METERS.values()}) == 21


def test_a_meter_is_named_by_posthogs_usage_key_where_there_is_one():
    assert all(meter.name == meter.usage_key for meter in METERS.values() if meter.usage_key)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("evnts", "events"),
        ("feature_flag_request", "feature_flag_requests"),
        ("flags", "feature_flag_requests"),
        ("llm", "llm_events"),
        ("session_replay", "recordings"),
        ("enhanced_persons", "identified_events"),
        ("Events", "events"),
    ],
)
def test_a_misspelt_meter_or_another_name_of_it_is_recognised(written: str, meant: str):
    assert unknown_meter(written) == f"{written!r} is not a meter; did you mean {meant}?"


def test_a_name_that_resembles_nothing_gets_the_list():
    message = unknown_meter("bananas")
    assert "events" in message
    assert "signals_credits" in message
