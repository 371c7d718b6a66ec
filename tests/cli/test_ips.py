"""``genops-posthog ips``."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from genops_otel_posthog.cli import main


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["ips", *arguments])
    return result.exit_code, result.output


@pytest.mark.requirement("S0-07", "D-33")
def test_the_addresses_are_printed_one_a_line():
    assert run("--region", "us") == (0, "44.205.89.55\n44.208.188.173\n52.4.194.122\n")
    assert len(run()[1].splitlines()) == 6


@pytest.mark.requirement("D-33")
def test_the_document_says_in_which_direction_they_hold():
    code, output = run("--json", "--region", "eu")
    assert (code, json.loads(output)) == (
        0,
        {
            "direction": "PostHog to you",
            "ips": ["3.75.65.221", "18.197.246.42", "3.120.223.253"],
            "checked": None,
            "is_posthog": None,
        },
    )


def test_an_address_is_checked_and_the_exit_code_says_what_came_of_it():
    assert run("--check", "52.4.194.122") == (0, "52.4.194.122 is an address from which PostHog calls\n")
    assert run("--check", "192.0.2.1") == (1, "192.0.2.1 is not an address from which PostHog calls\n")
    assert json.loads(run("--check", "192.0.2.1", "--json")[1])["is_posthog"] is False


def test_addresses_of_the_environment_are_shown_in_place_of_the_published_ones(monkeypatch):
    monkeypatch.setenv("GENOPS_EGRESS_IPS", "10.1.0.0/16,192.0.2.7")
    assert run() == (0, "10.1.0.0/16\n192.0.2.7\n")
    monkeypatch.setenv("GENOPS_EGRESS_IPS", "home")
    code, output = run()
    assert code == 2
    assert "GENOPS_EGRESS_IPS='home' cannot be used" in output
