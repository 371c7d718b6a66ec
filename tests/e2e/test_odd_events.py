"""Events that no guide shows: names and properties of the wrong type. One line each, and nothing else goes wrong."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.wheel

# A batch with one such name is refused as a whole, so each is sent alone.
SCRIPT = """
import enum
import os

from posthog import Posthog


class Step(enum.Enum):
    PAID = 1


client = Posthog(os.environ["POSTHOG_API_KEY"], host=os.environ["POSTHOG_HOST"])
for name in (["cart"], {"step": 1}, 5, 2.5, None, Step.PAID):
    for _ in range(2):
        client.capture(name, distinct_id="ann")
        client.flush()
client.capture("by_number", distinct_id=42)
client.capture("numbered", distinct_id="ann", properties={"genops_team": "growth", 3: 4})
client.shutdown()
print("done")
"""

TYPES = ("list", "dict", "int", "float", "NoneType", "Step")


@pytest.fixture(scope="module")
def application(launch: Any) -> Any:
    return launch(SCRIPT, GENOPS_TEAM="checkout").succeed()


def test_the_application_works(application: Any) -> None:
    assert application.out == "done\n"


def test_events_that_posthog_takes_arrive(application: Any) -> None:
    assert {"by_number", "numbered"} <= set(application.event_names)


def test_nothing_is_logged_with_a_traceback(application: Any) -> None:
    assert application.lines_about("could not be counted") == []
    assert application.lines_about("Traceback") == []


@pytest.mark.parametrize("kind", TYPES)
def test_a_name_that_is_no_string_is_one_line(application: Any, kind: str) -> None:
    assert len(application.lines_about(f"an event name must be a string, not {kind}:")) == 1


def test_the_estimate_is_the_bill(application: Any) -> None:
    assert application.usage() == application.bill()
