"""Calls from places where an application is nearly gone, or in the middle of something: counted, and nobody notices."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.wheel

FROM_EVERYWHERE = """
import atexit
import os
import signal
import sys
import threading

import posthog

posthog.api_key, posthog.host = os.environ["POSTHOG_API_KEY"], os.environ["POSTHOG_HOST"]
posthog.setup()


class Cart:
    def __del__(self):
        posthog.capture("from_del", distinct_id="ann")


def handle(*_):
    posthog.capture("from_signal_handler", distinct_id="ann")


def report(kind, error, trace):
    posthog.capture("from_excepthook", distinct_id="ann")


signal.signal(signal.SIGUSR1, handle)
cart = Cart()
del cart
os.kill(os.getpid(), signal.SIGUSR1)
kept = Cart()
sys.excepthook = report
atexit.register(posthog.capture, "from_atexit", distinct_id="ann")
threading.Thread(target=posthog.capture, args=("from_thread",), kwargs={"distinct_id": "ann"}).start()
raise RuntimeError("the end")
"""

IN_THE_MIDDLE_OF_A_CALL = """
import os
import signal

from posthog import Posthog


def interrupt(event):
    # The SDK calls this while the outer call is under way. A handler that runs now makes a call within a call.
    if event["event"] == "outer":
        os.kill(os.getpid(), signal.SIGUSR1)
    return event


client = Posthog(os.environ["POSTHOG_API_KEY"], host=os.environ["POSTHOG_HOST"], before_send=interrupt)
signal.signal(signal.SIGUSR1, lambda *_: client.capture("inner", distinct_id="ann"))
client.capture("outer", distinct_id="ann")
client.shutdown()
"""

SDK_EXCEPTION_HOOK = """
import os

from posthog import Posthog

client = Posthog(os.environ["POSTHOG_API_KEY"], host=os.environ["POSTHOG_HOST"], enable_exception_autocapture=True)
raise RuntimeError("the end")
"""


@pytest.fixture(scope="module")
def from_everywhere(launch: Any) -> Any:
    return launch(FROM_EVERYWHERE, GENOPS_TEAM="web").finish()


def test_the_application_ends_as_it_would_without_us(from_everywhere: Any) -> None:
    assert from_everywhere.code == 1  # its own exception
    assert (from_everywhere.out, from_everywhere.err) == ("", "")


@pytest.mark.parametrize("place", ["del", "signal_handler", "excepthook", "thread"])
def test_a_call_is_a_span_and_an_event(from_everywhere: Any, place: str) -> None:
    assert from_everywhere.event_names.count(f"from_{place}") >= 1
    assert from_everywhere.span_names.count(f"capture from_{place}") == from_everywhere.event_names.count(
        f"from_{place}"
    )


def test_a_call_from_atexit_is_made_before_the_sdk_closes(from_everywhere: Any) -> None:
    assert from_everywhere.event_names.count("from_atexit") == 1


def test_every_unit_is_counted(from_everywhere: Any) -> None:
    assert from_everywhere.usage() == from_everywhere.bill()


def test_a_call_within_a_call_is_counted_and_neither_is_lost(launch: Any, beside_the_wheel: Any) -> None:
    beside_the_wheel("posthog >= 7")

    application = launch(IN_THE_MIDDLE_OF_A_CALL).succeed()

    assert (application.out, application.err) == ("", "")
    assert sorted(application.event_names) == ["inner", "outer"]
    assert application.usage() == application.bill() == {"events": 2, "identified_events": 2}


def test_what_the_sdk_captures_of_an_uncaught_exception_is_counted(launch: Any, beside_the_wheel: Any) -> None:
    beside_the_wheel("posthog >= 7")

    application = launch(SDK_EXCEPTION_HOOK).finish()

    assert application.code == 1
    assert application.lines_about("RuntimeError: the end") != []
    assert application.lines_about("genops") == []
    assert application.event_names == ["$exception"]
    assert application.usage() == application.bill() == {"exceptions": 1}
