"""OpenTelemetry may be set up before, between or after calls of ``auto_instrument()``: everything is counted once.

A process can set its global providers only once, so each case is a process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from genops_otel_posthog.receiver.server import LocalReceiver

PROGRAM = """
import json
import os
import sys

import posthog
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from genops_otel_posthog import auto_instrument

reader = InMemoryMetricReader()
for step in sys.argv[1].split():
    if step == "set_up":
        metrics.set_meter_provider(MeterProvider([reader]))
    elif step == "instrument":
        auto_instrument("phc_test", "checkout", posthog_host=os.environ["RECEIVER"])
    else:
        posthog.capture("order_completed", distinct_id="ann")
print(json.dumps([
    point.value
    for resource in reader.get_metrics_data().resource_metrics
    for scope in resource.scope_metrics
    for metric in scope.metrics
    if metric.name == "genops.usage"
    for point in metric.data.data_points
    if point.attributes["genops.cost.meter"] == "events"
]))
"""


@pytest.mark.parametrize(
    "steps",
    [
        "set_up instrument capture instrument capture capture",
        "instrument capture set_up capture capture",
        "instrument capture set_up instrument capture capture",
        "instrument capture instrument capture set_up capture",
    ],
)
def test_three_calls_are_three_units(receiver: LocalReceiver, steps: str) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM, steps],
        env=os.environ | {"RECEIVER": receiver.url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout) == [3]
