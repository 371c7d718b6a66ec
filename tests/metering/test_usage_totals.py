"""Totals: exact under threads, bounded in memory, and nobody else's after a fork."""

from __future__ import annotations

import os
import threading
from collections import Counter

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from genops_otel_posthog.attribution import Attribution
from genops_otel_posthog.metering.usage_totals import MAX_SERIES, UsageTotals, observed_totals
from genops_otel_posthog.pricing.billing import Charge
from genops_otel_posthog.pricing.pricer import Price

CHARGES = (Charge("events", 1),)
ONE_EVENT = Price(50_000, 50_000, "events", 1, (("events", 1, 50_000),), ())


def test_threads_lose_no_unit():
    totals = UsageTotals(["team"])
    owners = [Attribution(team=f"team-{number}") for number in range(8)]

    def work(owner: Attribution) -> None:
        for _ in range(2_000):
            totals.add(owner, CHARGES, ONE_EVENT)

    threads = [threading.Thread(target=work, args=(owner,)) for owner in owners for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert totals.by_meter() == {"events": (32_000, 32_000 * 50_000)}
    assert {units for _, _, units, _ in totals.snapshot()} == {4_000}


def test_what_does_not_fit_is_one_named_series_and_the_total_stays_exact():
    totals = UsageTotals(["customer_id"])
    for number in range(MAX_SERIES + 500):
        totals.add(Attribution(customer_id=f"c{number}"), CHARGES, ONE_EVENT)
    series = totals.snapshot()
    assert len(series) == MAX_SERIES + 1
    overflow = [(labels, units) for labels, _, units, _ in series if "genops.overflow" in labels]
    assert overflow == [({"genops.provider": "posthog", "genops.overflow": True}, 500)]
    assert totals.by_meter()["events"] == (MAX_SERIES + 500, (MAX_SERIES + 500) * 50_000)


def test_units_without_a_price_are_counted_and_cost_nothing_known():
    totals = UsageTotals([])
    charges = (Charge("events", 1), Charge("group_analytics", 3))
    totals.add(Attribution(), charges, ONE_EVENT._replace(unpriced=("group_analytics",)))
    assert totals.by_meter() == {"events": (1, 50_000), "group_analytics": (3, 0)}


def test_a_full_table_keeps_every_meter_in_opentelemetrys_own_limit():
    meters = ("events", "identified_events", "group_analytics", "feature_flag_requests", "exceptions", "llm_events")
    reader = InMemoryMetricReader()
    totals = observed_totals(MeterProvider([reader], shutdown_on_exit=False).get_meter("test"), ["customer_id"])
    charges = tuple(Charge(meter, 1) for meter in (*meters, "survey_responses"))
    price = Price(0, 0, "events", 1, tuple((meter, units, 0) for meter, units in charges), ())
    for number in range(MAX_SERIES + 50):
        totals.add(Attribution(customer_id=f"c{number}"), charges, price)
    used: Counter[str] = Counter()
    for metric in reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics:
        if metric.name == "genops.usage":
            for point in metric.data.data_points:
                used[point.attributes["genops.cost.meter"]] += point.value
    assert used == dict.fromkeys((charge.meter for charge in charges), MAX_SERIES + 50)


def test_labels_that_are_not_asked_for_do_not_split_series():
    totals = UsageTotals(["team"])
    for number in range(5_000):
        totals.add(Attribution(team="checkout", customer_id=f"c{number}"), CHARGES, ONE_EVENT)
    assert len(totals.snapshot()) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_starts_at_zero_even_if_the_lock_was_held():
    totals = UsageTotals([])
    totals.add(Attribution(), CHARGES, ONE_EVENT)
    with totals._lock:
        child = os.fork()
        if child == 0:
            totals.add(Attribution(), CHARGES, ONE_EVENT)
            os._exit(0 if totals.by_meter() == {"events": (1, 50_000)} else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert totals.by_meter() == {"events": (1, 50_000)}
