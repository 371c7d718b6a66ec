"""Memory and exactness over many calls, measured in this process and printed as JSON: ``python -m benchmarks.memory
--calls N``.

Every tenth call has a customer of its own, and the customer is a label of the metrics although nobody should want
that: this is the worst that an application can do to the caches and to the number of series. At the end the metric
reader is asked what was used and what it cost, and the price book what it should have cost.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import resource
import sys
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint

from benchmarks.sdk_pair import drain, queueing_client
from benchmarks.traces import Traces
from genops_otel_posthog import PostHogInstrumentor, governance, semconv
from genops_otel_posthog.money import NANO_PER_USD
from genops_otel_posthog.pricing.book import PriceBook
from genops_otel_posthog.settings import DEFAULT_PRICE_BOOK

CALLS_PER_CUSTOMER = 10
EVENT_NAMES = 1_000
_METERS = ("events", "identified_events")  # what an identified event is billed as
_CHECKS = 20  # how often memory is looked at; the report shows a few of them
_FREE_EVENTS = 1_000_000  # per month; the run begins so that half of it is free and the amounts are not all 0


def resident_megabytes() -> float:
    """Memory of this process that is in RAM, in MB (10^6 bytes); its maximum so far where the system does not tell
    the present."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _in_use(calls: int) -> dict[str, float]:
    """What is in use after so many calls, garbage aside."""
    gc.collect()
    return {"calls": calls, "resident_mb": resident_megabytes(), "allocated_blocks": sys.getallocatedblocks()}


def make_calls(client: Any, traces: Traces, first: int, last: int) -> None:
    """Captures number ``first`` to ``last``, each in the block of its customer. The queue is emptied as a consumer
    would."""
    for number in range(first, last):
        customer = f"customer-{number // CALLS_PER_CUSTOMER}"
        with governance(team="checkout", project="web-shop", customer_id=customer, baggage=False):
            client.capture(f"event {number % EVENT_NAMES}", distinct_id=customer, properties={"amount": 4999})
        if number % 500 == 0:
            drain(client)
            traces.flush()
    drain(client)
    traces.flush()


def reported(reader: InMemoryMetricReader, metric: str) -> Iterator[tuple[dict[str, Any], float]]:
    """The points of a metric as (attributes, value)."""
    data = reader.get_metrics_data()
    for resource_metrics in data.resource_metrics if data else ():
        for scope_metrics in resource_metrics.scope_metrics:
            for one in scope_metrics.metrics:
                if one.name == metric:
                    for point in one.data.data_points:
                        if isinstance(point, NumberDataPoint):
                            yield dict(point.attributes or {}), point.value


def measure(calls: int) -> dict[str, Any]:
    """Makes the calls; what memory did and what the metrics say at the end."""
    logging.getLogger("posthog").setLevel(logging.ERROR)
    traces = Traces()
    reader = InMemoryMetricReader()
    used_before = max(0, _FREE_EVENTS - calls // 2)
    PostHogInstrumentor().instrument(
        tracer_provider=traces.provider,
        meter_provider=MeterProvider([reader]),
        metric_labels=["team", "customer_id"],
        usage_to_date=",".join(f"{meter}={used_before}" for meter in _METERS),
    )
    client = queueing_client(import_module("posthog.client"))
    warm_up = min(1_000, calls)
    make_calls(client, traces, 0, warm_up)
    memory = [_in_use(warm_up)]
    step = max(1, calls // _CHECKS)
    for first in range(warm_up, calls, step):
        last = min(first + step, calls)
        make_calls(client, traces, first, last)
        memory.append(_in_use(last))
    book = PriceBook.load(DEFAULT_PRICE_BOOK)
    usage = list(reported(reader, semconv.METRIC_GENOPS_USAGE))
    units_by_meter = Counter[str]()
    for attributes, units in usage:
        units_by_meter[attributes.get(semconv.GENOPS_COST_METER, "unknown")] += int(units)
    cost_nano = sum(round(usd * NANO_PER_USD) for _, usd in reported(reader, semconv.METRIC_GENOPS_COST_USAGE))
    return {
        "calls": calls,
        "customers": -(-calls // CALLS_PER_CUSTOMER),
        "event_names": min(EVENT_NAMES, calls),
        "in_use": memory,
        "series": len(usage),
        "units_by_meter": units_by_meter,
        "units_expected": dict.fromkeys(_METERS, calls),
        "units_in_overflow": sum(int(units) for attributes, units in usage if attributes.get(semconv.GENOPS_OVERFLOW)),
        "cost_nano": cost_nano,
        "cost_nano_expected": sum(
            book.rate(meter).cumulative_nano(used_before + calls) - book.rate(meter).cumulative_nano(used_before)
            for meter in _METERS
        ),
    }


def main() -> None:
    """Reads the arguments, measures, prints."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--calls", type=int, required=True)
    json.dump(measure(parser.parse_args().calls), sys.stdout)


if __name__ == "__main__":
    main()
