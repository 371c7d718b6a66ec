"""Thresholds as people write them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from genops_otel_posthog.budgets.ledger.protocol import Threshold
from genops_otel_posthog.budgets.periods import PeriodKind
from genops_otel_posthog.budgets.thresholds import threshold_text, thresholds_by_period, thresholds_of_one


def test_the_guides_thresholds_are_one_per_period():
    assert thresholds_by_period("daily:80,weekly:90,monthly:95") == {
        PeriodKind.DAY: (Threshold(8_000, severity="warning"),),
        PeriodKind.WEEK: (Threshold(9_000, severity="warning"),),
        PeriodKind.MONTH: (Threshold(9_500, severity="critical"),),
    }


def test_a_period_may_have_several_thresholds_and_forecasts():
    assert thresholds_by_period("monthly:100:critical:forecast,daily:80,daily:50:info") == {
        PeriodKind.DAY: (Threshold(5_000, severity="info"), Threshold(8_000, severity="warning")),
        PeriodKind.MONTH: (Threshold(10_000, forecast=True, severity="critical"),),
    }


@pytest.mark.parametrize(
    "given",
    [
        "50,80,95:critical",
        [50, 80, 95],
        ["95", "50:info", " 80 "],
        (Decimal("80.0"), 50.0, Threshold(9_500, severity="critical")),
    ],
)
def test_a_budgets_own_thresholds_are_percentages_texts_and_thresholds(given):
    assert thresholds_of_one(given) == (
        Threshold(5_000, severity="info"),
        Threshold(8_000, severity="warning"),
        Threshold(9_500, severity="critical"),
    )


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (["80%"], "'80%' does not begin with a percentage"),
        ([80, "80:critical"], "80 percent is given twice"),
        ([None], "'None' does not begin with a percentage"),
        ([-5], "'-5' does not begin with a percentage"),
        (["daily:80"], "'daily:80' does not begin with a percentage"),
        ([Threshold(0)], r"Threshold\(basis_points=0.* needs basis points from 1 to 100,000 and a severity"),
        ([Threshold(8_000, severity="fatal")], "needs basis points from 1 to 100,000 and a severity: info, warning"),
    ],
)
def test_what_is_no_threshold_is_refused(given, reason):
    with pytest.raises(ValueError, match=reason):
        thresholds_of_one(given)


@pytest.mark.parametrize("text", ["50:info", "99.5:warning", "100:critical:forecast"])
def test_a_threshold_is_written_as_it_is_read(text):
    (threshold,) = thresholds_of_one(text)
    assert threshold_text(threshold) == text
