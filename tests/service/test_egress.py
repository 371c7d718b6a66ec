"""From which addresses PostHog calls."""

from __future__ import annotations

import pytest

from genops_otel_posthog import is_posthog_egress_ip
from genops_otel_posthog.errors import GenOpsConfigurationError, GenOpsValidationError
from genops_otel_posthog.service import POSTHOG_EGRESS_IPS, POSTHOG_EGRESS_IPS_BY_REGION


@pytest.mark.requirement("S0-07", "D-33")
def test_the_published_addresses_can_be_had():
    assert POSTHOG_EGRESS_IPS == ("44.205.89.55", "44.208.188.173", "52.4.194.122")
    assert set(POSTHOG_EGRESS_IPS_BY_REGION) == {"us", "eu"}


@pytest.mark.requirement("S0-07", "D-33")
@pytest.mark.parametrize(
    ("ip", "region", "is_theirs"),
    [
        ("44.205.89.55", None, True),
        (" 44.205.89.55 ", "us", True),
        ("::ffff:44.205.89.55", "us", True),
        ("44.205.89.55", "eu", False),
        ("3.75.65.221", "eu", True),
        ("3.75.65.221", None, True),
        ("44.205.89.56", None, False),
        ("2001:db8::1", None, False),
        ("44.205.89.55, 10.0.0.1", None, False),
        ("somewhere", None, False),
        ("", None, False),
        (None, None, False),
    ],
)
def test_a_sender_is_posthog_or_it_is_not(ip, region, is_theirs):
    assert is_posthog_egress_ip(ip, region) is is_theirs


@pytest.mark.requirement("D-33")
def test_addresses_may_be_replaced_for_they_grow_old(monkeypatch):
    monkeypatch.setenv("GENOPS_EGRESS_IPS", "10.1.0.0/16, 2001:db8::/32")
    assert is_posthog_egress_ip("10.1.2.3")
    assert is_posthog_egress_ip("2001:db8::7", "eu")
    assert not is_posthog_egress_ip("44.205.89.55")
    assert is_posthog_egress_ip("192.0.2.1", ips=["192.0.2.0/24"])


def test_a_region_that_there_is_not_and_addresses_that_are_none_are_errors(monkeypatch):
    with pytest.raises(GenOpsValidationError, match="PostHog's cloud has no region 'mars'; it has us, eu"):
        is_posthog_egress_ip("44.205.89.55", "mars")
    with pytest.raises(ValueError, match="neither an IP address nor a network"):
        is_posthog_egress_ip("44.205.89.55", ips=["home"])
    monkeypatch.setenv("GENOPS_EGRESS_IPS", "home")
    with pytest.raises(GenOpsConfigurationError, match="GENOPS_EGRESS_IPS='home' cannot be used"):
        is_posthog_egress_ip("44.205.89.55")
