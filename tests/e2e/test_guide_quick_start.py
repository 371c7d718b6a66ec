"""The quick start of the GenOps guide, its code word for word, behind one opt-in import.

The code is from the guide's page on PostHog (docs/integrations/posthog.md of KoshiHQ/GenOps-AI), sections "Zero-Code
Integration" and "Validation".
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.wheel

OPT_IN = "import genops_otel_posthog.compat\n"

QUICK_START = """
# Add ONE line to enable governance for all existing PostHog code
from genops.providers.posthog import auto_instrument
auto_instrument()

# Your existing PostHog code works unchanged
import posthog
posthog.capture("user_signed_up", {"email": "user@example.com"})
"""

VALIDATION = """
# Verify setup is working
from genops.providers.posthog_validation import validate_setup, print_validation_result
result = validate_setup()
print_validation_result(result)
"""

VARIABLES = {
    "POSTHOG_API_KEY": "phc_0123456789abcdefghijklmnopqrstuvwxyz",
    "GENOPS_TEAM": "analytics-team",
    "GENOPS_PROJECT": "product-analytics",
}

PYTHON = ("python",)


@pytest.fixture(scope="module")
def quick_start(launch: Any) -> Any:
    """Without ``opentelemetry-instrument``, as the guide says."""
    return launch(OPT_IN + QUICK_START + VALIDATION, prefix=PYTHON, **VARIABLES).succeed()


def test_it_runs_and_one_warning_says_how_the_call_is_written_today(quick_start: Any) -> None:
    warned, quoted = quick_start.log

    assert "DeprecationWarning" in warned
    assert "write capture('user_signed_up', properties={...})" in warned
    assert quoted.strip() == 'posthog.capture("user_signed_up", {"email": "user@example.com"})'


def test_the_event_arrives_with_its_property_and_its_owner(quick_start: Any) -> None:
    (event,) = quick_start.events()

    assert event.event == "user_signed_up"
    assert event.properties["email"] == "user@example.com"
    assert event.properties["genops_team"] == "analytics-team"
    assert event.properties["genops_project"] == "product-analytics"


def test_the_event_is_nobody_s_and_so_anonymous(quick_start: Any) -> None:
    assert quick_start.events()[0].identified is False


def test_the_validation_says_what_is_right_and_what_is_not(quick_start: Any) -> None:
    assert "accepts the key" in quick_start.out
    assert "Cost belongs to team analytics-team" in quick_start.out
    assert "No OpenTelemetry tracer provider is set up" in quick_start.out
    assert "1 warning, 0 errors" in quick_start.out


def test_what_is_printed_does_not_hold_the_key(quick_start: Any) -> None:
    assert VARIABLES["POSTHOG_API_KEY"] not in quick_start.out
    assert VARIABLES["POSTHOG_API_KEY"][4:] not in quick_start.out


def test_under_opentelemetry_instrument_the_same_code_gives_the_span_as_well(launch: Any) -> None:
    application = launch(OPT_IN + QUICK_START, **VARIABLES | {"POSTHOG_API_KEY": "phc_guide"}).succeed()

    span = application.span("capture user_signed_up")
    assert span.attributes["genops.team"] == "analytics-team"
    assert application.usage() == application.bill() == {"events": 1}


FOREIGN_GENOPS = (
    OPT_IN
    + """
import genops
from genops.providers.posthog import marker

print(genops.__file__ is not None, marker)
"""
)


def test_where_another_distribution_has_the_name_genops_it_keeps_it(launch: Any, tmp_path: Path) -> None:
    package = tmp_path / "genops" / "providers"
    package.mkdir(parents=True)
    (tmp_path / "genops" / "__init__.py").write_text("", encoding="utf-8")
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "posthog.py").write_text("marker = 'theirs'", encoding="utf-8")

    application = launch(FOREIGN_GENOPS, prefix=PYTHON, PYTHONPATH=str(tmp_path)).succeed()

    assert application.out == "True theirs\n"
    (line,) = application.log
    assert "Another distribution provides 'genops'" in line
