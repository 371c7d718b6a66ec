"""What a user may get wrong in the environment: one clear line each, the default instead, the application unharmed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.wheel

SCRIPT = """
import os

import posthog

posthog.api_key = os.environ.get("APPLICATION_KEY", os.environ.get("POSTHOG_API_KEY"))
posthog.host = os.environ["POSTHOG_HOST"]
posthog.capture("order_completed", distinct_id="ann")
print("done")
"""

BROKEN_BOOK = """\
name: negotiated
effective_from: 2026-01-01
currency: USD
sources: ["https://example.com/contract"]
rates:
  events:
    unt: event
    tiers:
      - {up_to: null, price: "0.00004"}
"""

#: A variable, its value, and what the line about it must say.
WRONG_VALUES = [
    ("GENOPS_TAGS", "gold", "not key=value"),
    ("GENOPS_PRICING_MODE", "cheap", "metered, list"),
    ("GENOPS_USAGE_TO_DATE", "evnts=5", "did you mean events?"),
    ("GENOPS_GROUP_ANALYTICS", "perhaps", "neither true nor false"),
    ("GENOPS_GOVERNANCE_POLICY", "loose", "advisory, enforced, strict"),
    ("GENOPS_EVENT_PROPERTIES", "maybe", "auto, on, off"),
    ("GENOPS_SPANS", "capture,pageviews", "is not among capture, flags"),
    ("GENOPS_METRIC_LABELS", "team,planet", "is not among team, project"),
    ("GENOPS_BAGGAGE_IN", "everything", "is not among team, project"),
    ("GENOPS_RECORD_DISTINCT_ID", "2", "neither true nor false"),
    ("GENOPS_PRICE_BOOK", "posthog-2026-07-21", "posthog-2026-07-22"),
    ("GENOPS_TAEM", "checkout", "did you mean GENOPS_TEAM?"),
]


@pytest.fixture(scope="module")
def all_wrong(launch: Any) -> Any:
    return launch(SCRIPT, **{name: value for name, value, _ in WRONG_VALUES}).succeed()


def test_the_application_works_with_every_value_wrong(all_wrong: Any) -> None:
    assert all_wrong.out == "done\n"
    assert all_wrong.event_names == ["order_completed"]


def test_each_wrong_value_is_one_line_and_nothing_else_is_said(all_wrong: Any) -> None:
    about = sorted(re.split(r"[=: ]", line)[0] for line in all_wrong.log)

    assert about == sorted(name for name, _, _ in WRONG_VALUES)


@pytest.mark.parametrize(("name", "said"), [(name, said) for name, _, said in WRONG_VALUES])
def test_the_line_says_what_would_do(all_wrong: Any, name: str, said: str) -> None:
    (line,) = all_wrong.lines_about(name)

    assert said in line


def test_the_defaults_stand_instead(all_wrong: Any) -> None:
    attributes = all_wrong.span("capture order_completed").attributes

    assert attributes["genops.cost.price_book"] == "posthog-2026-07-22"
    assert attributes["genops.policy.name"] == "advisory"
    assert attributes["genops.cost.amount"] == 0  # metered, from no usage: within the free tier
    assert all_wrong.usage() == all_wrong.bill()


def test_a_broken_price_file_is_named_with_its_line_and_the_shipped_book_is_used(launch: Any, tmp_path: Path) -> None:
    book = tmp_path / "negotiated.yaml"
    book.write_text(BROKEN_BOOK, encoding="utf-8")

    application = launch(SCRIPT, GENOPS_PRICE_BOOK=str(book)).succeed()

    (line,) = application.lines_about("negotiated.yaml:7")
    assert line.startswith("GENOPS_PRICE_BOOK")
    assert "did you mean unit?" in line
    (span,) = application.spans()
    assert span.attributes["genops.cost.price_book"] == "posthog-2026-07-22"


def test_a_price_file_of_one_s_own_is_used(launch: Any, tmp_path: Path) -> None:
    book = tmp_path / "negotiated.yaml"
    book.write_text(BROKEN_BOOK.replace("unt:", "unit:"), encoding="utf-8")

    application = launch(SCRIPT, GENOPS_PRICE_BOOK=str(book)).succeed()

    (span,) = application.spans()
    assert span.attributes["genops.cost.price_book"] == "negotiated"
    assert span.attributes["genops.cost.amount"] == pytest.approx(0.00004)


def test_a_personal_key_in_the_environment_is_said_by_the_variable_s_name_without_repeating_it(launch: Any) -> None:
    key = "phx_0123456789abcdefghijklmnopqrstuvwxyz"

    application = launch(SCRIPT, POSTHOG_API_KEY=key).succeed()

    (line,) = application.lines_about("POSTHOG_API_KEY")
    assert "personal API key, not a project key" in line
    assert application.out == "done\n"
    assert key not in application.err


def test_a_personal_key_in_the_code_is_one_line_that_does_not_repeat_it(launch: Any) -> None:
    key = "phx_zyxwvutsrqponmlkjihgfedcba9876543210"

    application = launch(SCRIPT, APPLICATION_KEY=key).succeed()

    assert len(application.lines_about("personal API key, not a project key")) == 1
    assert application.out == "done\n"
    assert key not in application.err


def test_no_key_at_all_is_one_line_and_the_application_works(launch: Any, beside_the_wheel: Any) -> None:
    beside_the_wheel("posthog >= 7")  # version 6 raises ValueError by itself

    application = launch(SCRIPT, APPLICATION_KEY="", POSTHOG_API_KEY=None).succeed()

    assert len(application.lines_about("api_key is empty")) == 1
    assert application.log == application.lines_about("api_key is empty")
    assert application.out == "done\n"


def test_a_call_that_the_sdk_did_not_take_is_a_span_that_says_so_and_costs_nothing(
    launch: Any, beside_the_wheel: Any
) -> None:
    beside_the_wheel("posthog >= 7")

    application = launch(SCRIPT, APPLICATION_KEY="", POSTHOG_API_KEY=None).succeed()

    attributes = application.span("capture order_completed").attributes
    assert attributes["posthog.event.admitted"] is False
    assert attributes["genops.cost.amount"] == 0
    assert application.usage() == {}


MANY_LONG_NAMES = """
import os

import posthog

posthog.api_key, posthog.host = os.environ["POSTHOG_API_KEY"], os.environ["POSTHOG_HOST"]
for number in range(500):
    posthog.capture(f"order {number} " + "x" * 300, distinct_id="ann")
print("done")
"""


def test_event_names_that_posthog_cuts_are_said_a_few_times_and_not_for_ever(launch: Any) -> None:
    application = launch(MANY_LONG_NAMES).succeed()

    assert application.out == "done\n"
    assert 1 <= len(application.log) <= 20
    assert len(application.events()) == 500
