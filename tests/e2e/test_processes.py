"""Servers that fork, forks by hand, spawned processes: each process counts what it does itself, and nobody hangs."""

from __future__ import annotations

import socket
import urllib.request
from collections import Counter
from typing import Any

import pytest

from genops_otel_posthog.receiver.server import LocalReceiver

pytestmark = pytest.mark.wheel

SHOP = """
import os

import posthog
from flask import Flask

posthog.api_key, posthog.host = os.environ["POSTHOG_API_KEY"], os.environ["POSTHOG_HOST"]
posthog.capture("preloaded", distinct_id="deployment")
shop = Flask(__name__)


@shop.get("/")
def index():
    posthog.capture("page_viewed", distinct_id="ann")
    return str(os.getpid())
"""

REQUESTS = 40


@pytest.fixture(scope="module")
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def gunicorn(launch: Any, beside_the_wheel: Any, port: int) -> tuple[Any, Counter[str]]:
    """Gunicorn with two workers that were forked from an application that had used PostHog already, and its answers."""
    # From 1.45 on OpenTelemetry gives each forked process its own service.instance.id, and so its own series.
    beside_the_wheel("gunicorn", "flask", "opentelemetry-sdk >= 1.45", "posthog >= 7")
    words = ("opentelemetry-instrument", "gunicorn", "--preload", "--workers", "2", "--bind", f"127.0.0.1:{port}")
    server = launch(SHOP, "app:shop", prefix=words, GENOPS_TEAM="web", GENOPS_PRICING_MODE="list")
    server.wait_until_it_listens(port)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    answers = Counter(opener.open(f"http://127.0.0.1:{port}/", timeout=30).read().decode() for _ in range(REQUESTS))
    return server.terminate(), answers


def test_every_process_counts_its_own_calls_alone(gunicorn: tuple[Any, Counter[str]]) -> None:
    server, answers = gunicorn
    counted = [
        series.value for series in server.series("genops.usage") if series.attributes["genops.cost.meter"] == "events"
    ]

    # One series for each worker, and one for the parent, which made one call before it forked.
    assert sorted(counted) == sorted([1, *answers.values()])


def test_the_sum_over_the_processes_is_the_bill(gunicorn: tuple[Any, Counter[str]]) -> None:
    server, _ = gunicorn

    assert server.usage() == server.bill() == {"events": REQUESTS + 1, "identified_events": REQUESTS + 1}


def test_the_spans_of_a_worker_stand_in_the_traces_of_its_requests(gunicorn: tuple[Any, Counter[str]]) -> None:
    server, _ = gunicorn
    requests = {span.span_id for span in server.all_spans() if span.kind == "server"}

    spans = server.spans("capture page_viewed")
    assert len(spans) == REQUESTS
    assert {span.parent_span_id for span in spans} == requests


FORKING = """
import os
import threading

import posthog

posthog.api_key, posthog.host = os.environ["POSTHOG_API_KEY"], os.environ["POSTHOG_HOST"]
stop, busy = threading.Event(), threading.Event()


def work():
    while not stop.wait(0.001):
        posthog.capture("by_thread", distinct_id="ann")
        busy.set()


thread = threading.Thread(target=work)
thread.start()
busy.wait()
children = []
for number in range(10):
    child = os.fork()
    if child == 0:
        posthog.capture("by_child", distinct_id="bob")
        posthog.flush()
        os._exit(0)
    children.append(child)
for child in children:
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status))
stop.set()
thread.join()
"""


def test_children_forked_while_a_thread_is_counting_capture_and_end(launch: Any, beside_the_wheel: Any) -> None:
    beside_the_wheel("posthog >= 7")

    application = launch(FORKING, PYTHONWARNINGS="ignore").succeed()

    assert application.out.split() == ["0"] * 10
    assert application.event_names.count("by_child") == 10


# Locks that are held while a process forks stay held in the child for ever, unless they are renewed there. Chance would
# need many tries, so a thread holds each of them on purpose.
HOLDING_LOCKS = """
import gc
import os
import threading

import posthog

from genops_otel_posthog import PostHogInstrumentor
from genops_otel_posthog.metering.usage_totals import UsageTotals
from genops_otel_posthog.pricing.pricer import Pricer
from genops_otel_posthog.pricing.usage import InProcessUsage

posthog.api_key, posthog.host = os.environ["POSTHOG_API_KEY"], os.environ["POSTHOG_HOST"]
posthog.capture("by_parent", distinct_id="ann")
locks = [
    value
    for owner in gc.get_objects()
    if isinstance(owner, (UsageTotals, Pricer, InProcessUsage))
    for value in vars(owner).values()
    if isinstance(value, type(threading.Lock()))
]
assert locks
held, release = threading.Event(), threading.Event()


def hold():
    for lock in locks:
        lock.acquire()
    held.set()
    release.wait()
    for lock in locks:
        lock.release()


thread = threading.Thread(target=hold)
thread.start()
held.wait()
child = os.fork()
if child == 0:
    posthog.capture("by_child", distinct_id="bob")
    print(PostHogInstrumentor().telemetry.totals.by_meter()["events"][0], flush=True)
    posthog.flush()
    os._exit(0)
release.set()
thread.join()
os.waitpid(child, 0)
"""


def test_a_child_forked_while_every_lock_of_ours_is_held_counts_its_own_call(
    launch: Any, beside_the_wheel: Any
) -> None:
    beside_the_wheel("posthog >= 7")

    application = launch(HOLDING_LOCKS, PYTHONWARNINGS="ignore").succeed()

    assert application.out == "1\n"
    assert sorted(application.event_names) == ["by_child", "by_parent"]


SPAWNING = """
import multiprocessing
import os

import posthog

posthog.api_key, posthog.host = os.environ["POSTHOG_API_KEY"], os.environ["POSTHOG_HOST"]


def work(number):
    posthog.capture("by_child", distinct_id=f"user-{number}")
    posthog.flush()


if __name__ == "__main__":
    posthog.capture("by_parent", distinct_id="ann")
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=work, args=(number,)) for number in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        print(process.exitcode)
"""


def test_spawned_processes_are_instrumented_themselves(launch: Any, beside_the_wheel: Any) -> None:
    beside_the_wheel("opentelemetry-instrumentation >= 0.66b0")  # older versions hide themselves from child processes

    application = launch(SPAWNING, GENOPS_TEAM="batch").succeed()

    assert application.out.split() == ["0", "0"]
    assert sorted(application.event_names) == ["by_child", "by_child", "by_parent"]
    assert {event.properties["genops_team"] for event in application.events()} == {"batch"}


POLLING = """
import json
import os
import time
import urllib.request

from opentelemetry import metrics
from posthog import Posthog

key, host = os.environ["POSTHOG_API_KEY"], os.environ["POSTHOG_HOST"]
client = Posthog(key, host=host, personal_api_key="phx_local", poll_interval=0.1)
client.load_feature_flags()
child = os.fork()
if child == 0:
    # Somebody changes a flag. The child's own poller, which the SDK starts anew, brings it sooner or later.
    flag = {"id": 3, "key": "added", "active": True, "filters": {"groups": []}}
    change = urllib.request.Request(host + "/api/flags", data=json.dumps([flag]).encode(), method="PUT")
    change.add_header("Content-Type", "application/json")
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(change).close()
    while [known["key"] for known in client.feature_flags] != ["added"]:
        time.sleep(0.01)
    client.shutdown()
    metrics.get_meter_provider().force_flush()
    os._exit(0)
os.waitpid(child, 0)
client.shutdown()
"""


def test_what_a_child_downloads_of_the_definitions_is_counted_by_the_child(launch: Any, beside_the_wheel: Any) -> None:
    beside_the_wheel("opentelemetry-sdk >= 1.45", "posthog >= 7.3.1")  # from there on an unchanged answer is free

    with LocalReceiver(flags=[]) as receiver:
        application = launch(POLLING, receiver=receiver, PYTHONWARNINGS="ignore").succeed()

        downloads = {
            series.resource["service.instance.id"]: series.value for series in application.series("genops.usage")
        }
        assert len(downloads) == 2
        assert application.usage() == application.bill()
        assert all(units is not None and units >= 10 for units in downloads.values())
