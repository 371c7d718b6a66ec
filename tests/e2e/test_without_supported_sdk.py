"""Without the PostHog SDK, or with one that is too old, the application is left alone and the reason is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.wheel

UNTOUCHED = """
print("done")
"""

BY_HAND = """
from genops_otel_posthog import PostHogInstrumentor

PostHogInstrumentor().instrument(team="checkout")
print(PostHogInstrumentor().is_instrumented_by_opentelemetry)
"""

BY_ONE_LINE = """
from genops_otel_posthog.adapter.zero_code import auto_instrument
from genops_otel_posthog.errors import GenOpsConfigurationError

try:
    auto_instrument("phc_example", team="checkout")
except GenOpsConfigurationError as error:
    print(error)
"""

OF_TODAY_BEFORE_VERSION_6 = """
import os

from posthog import Posthog

client = Posthog(os.environ["POSTHOG_API_KEY"], host=os.environ["POSTHOG_HOST"])
client.capture("ann", "order_completed")
client.shutdown()
"""

PYTHON = ("python",)


@pytest.fixture(scope="module")
def without_sdk(changed_environment: Any) -> Path:
    path: Path = changed_environment("without-sdk")
    return path


@pytest.fixture(scope="module")
def old_sdk(changed_environment: Any) -> Path:
    path: Path = changed_environment("old-sdk", "posthog == 5.4.0")
    return path


def test_without_the_sdk_opentelemetry_instrument_runs_the_application_untouched(
    launch: Any, without_sdk: Path
) -> None:
    application = launch(UNTOUCHED, python=without_sdk).succeed()

    assert (application.out, application.err) == ("done\n", "")


def test_without_the_sdk_instrumenting_by_hand_says_what_to_install(launch: Any, without_sdk: Path) -> None:
    application = launch(BY_HAND, python=without_sdk, prefix=PYTHON).succeed()

    (line,) = application.log
    assert "posthog >= 6.0.0, < 8" in line
    assert application.out == "False\n"


def test_without_the_sdk_auto_instrument_says_what_to_install(launch: Any, without_sdk: Path) -> None:
    application = launch(BY_ONE_LINE, python=without_sdk, prefix=PYTHON).succeed()

    assert "is not installed" in application.out
    assert 'pip install "genops-otel-posthog[instruments]"' in application.out


def test_a_too_old_sdk_is_left_alone_and_the_conflict_is_said(
    launch: Any, old_sdk: Path, beside_the_wheel: Any
) -> None:
    beside_the_wheel("opentelemetry-instrumentation >= 0.66b0")  # older versions say it in their debug log

    application = launch(OF_TODAY_BEFORE_VERSION_6, python=old_sdk, GENOPS_TEAM="checkout").succeed()

    (line,) = application.log
    assert "posthog 5.4.0" in line
    assert ">=6.0.0" in line
    assert application.event_names == ["order_completed"]
    assert "genops_team" not in application.events()[0].properties
    assert application.spans() == []


def test_with_a_too_old_sdk_instrumenting_by_hand_says_the_conflict(launch: Any, old_sdk: Path) -> None:
    application = launch(BY_HAND, python=old_sdk, prefix=PYTHON).succeed()

    (line,) = application.log
    assert "posthog >= 6.0.0, < 8" in line
    assert "posthog 5.4.0" in line
    assert application.out == "False\n"


def test_with_a_too_old_sdk_auto_instrument_says_what_to_install(launch: Any, old_sdk: Path) -> None:
    application = launch(BY_ONE_LINE, python=old_sdk, prefix=PYTHON).succeed()

    assert "posthog 5.4.0 is not supported" in application.out
    assert 'pip install "genops-otel-posthog[instruments]"' in application.out
