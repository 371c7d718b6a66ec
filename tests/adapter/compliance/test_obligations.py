"""What tags oblige to."""

from __future__ import annotations

import pytest

from genops_otel_posthog.adapter.compliance import read_obligations
from genops_otel_posthog.adapter.compliance.obligations import posthog_region
from genops_otel_posthog.errors import GenOpsConfigurationError

from .conftest import GUIDE_GDPR, GUIDE_SOX

pytestmark = pytest.mark.requirement("S4-78")


def read(policy: str = "enforced", host: str | None = None, **tags: str):
    return read_obligations(tags, policy, host)


@pytest.mark.requirement("S4-49")
def test_the_gdpr_configuration_of_the_guide_asks_for_consent_and_stamps_events():
    found = read_obligations(GUIDE_GDPR, "strict")
    assert (found.consent, found.retention_days, found.classification) == (True, 1095, "personal")
    assert found.personal
    assert found.audit, "under strict, whatever is in force is audited"
    assert found.warnings == ()


@pytest.mark.requirement("S4-50")
def test_the_sox_configuration_of_the_guide_keeps_a_trail_for_seven_years():
    found = read_obligations(GUIDE_SOX, "enforced")
    assert (found.audit, found.audit_days, found.financial) == (True, 2555, True)
    assert not found.consent
    assert found.warnings == ()


def test_tags_about_other_things_oblige_to_nothing():
    found = read(team_tier="enterprise", cost_optimization="enabled", region="us-east-1", compliance_level="strict")
    assert not found.any
    assert not read().any


@pytest.mark.parametrize(
    ("tags", "in_force"),
    [
        ({"compliance_level": "sox"}, {"sox"}),
        ({"compliance_requirements": "sox, GDPR"}, {"sox", "gdpr"}),
        ({"compliance_framework": "hipaa", "compliance_requirements": "gdpr"}, {"hipaa", "gdpr"}),
        ({"compliance_framework": "none"}, set()),
    ],
)
def test_a_framework_is_named_by_any_of_three_tags(tags, in_force):
    assert read_obligations(tags).frameworks == in_force


@pytest.mark.parametrize(
    "tags",
    [
        {"audit_trail_required": "true"},
        {"compliance_required": "yes"},
        {"financial_reporting": "1"},
        {"compliance_framework": "sox"},
        {"compliance_framework": "hipaa"},
    ],
)
def test_each_of_these_alone_asks_for_the_audit_trail_and_says_so(tags):
    found = read_obligations(tags)
    assert found.audit
    assert any("written to the audit trail" in line for line in found.explanation)


def test_gdpr_without_a_word_about_consent_asks_for_none_and_says_why():
    found = read(compliance_framework="gdpr")
    assert not found.consent
    assert any("other grounds than consent" in line for line in found.explanation)


@pytest.mark.parametrize(
    ("given", "meant"), [("PHI", "health"), ("pii", "personal"), ("special category", "sensitive"), ("Internal",) * 2]
)
def test_a_classification_may_have_its_usual_names(given, meant):
    assert read(data_classification=given).classification == meant.lower()


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({"consent_required": "perhaps"}, "tag consent_required='perhaps' cannot be used: it is neither true nor"),
        ({"data_retention_days": "3 years"}, "it is not a whole number of days from 1 to 36,500"),
        ({"data_retention_days": "0"}, "tag data_retention_days='0' cannot be used"),
        ({"data_retention_days": "-5"}, "for example 1095"),
    ],
)
@pytest.mark.parametrize("policy", ["advisory", "strict"])
def test_a_value_that_cannot_be_read_is_an_error_that_names_the_tag(tags, said, policy):
    with pytest.raises(GenOpsConfigurationError) as caught:
        read_obligations(tags, policy)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({"compliance_framework": "gpdr"}, "compliance_framework=gpdr switches nothing on: did you mean gdpr?"),
        ({"compliance_framework": "pci"}, "known are gdpr, sox, hipaa"),
        ({"data_classification": "persnal"}, "did you mean personal?"),
    ],
)
def test_something_unknown_is_a_warning_and_under_strict_an_error(tags, said):
    assert any(said in warning for warning in read_obligations(tags, "enforced").warnings)
    with pytest.raises(GenOpsConfigurationError) as caught:
        read_obligations(tags, "strict")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({"compliance_framework": "sox", "audit_trail_required": "false"}, "needs the trail, which is kept"),
        ({"compliance_required": "false", "consent_required": "true"}, "which stands. Leave it out"),
        ({"compliance_framework": "sox", "data_retention_days": "365"}, "entries of the trail with 2555"),
        ({"compliance_level": "strict", "consent_required": "true"}, "stricter than governance_policy=enforced"),
        ({"compliance_level": "advisory", "consent_required": "true"}, "laxer than governance_policy=enforced"),
    ],
)
def test_of_two_tags_that_contradict_each_other_the_stricter_stands_with_a_warning(tags, said):
    found = read_obligations(tags, "enforced")
    assert any(said in warning for warning in found.warnings), found.warnings
    assert found.audit or found.consent


def test_a_stricter_level_decides_about_consent():
    assert read(compliance_level="enhanced", consent_required="true").policy == "strict"
    assert read(policy="strict", compliance_level="standard", consent_required="true").policy == "strict"


def test_entries_are_kept_as_long_as_the_strictest_asks_for():
    assert read(compliance_requirements="sox,hipaa", data_retention_days="3650").audit_days == 3650
    assert read(compliance_framework="hipaa").audit_days == 2192
    assert read(audit_trail_required="true").audit_days == 365


def test_data_that_would_leave_its_region_is_a_warning_and_under_strict_an_error():
    (warning,) = read(data_residency="eu-west-1", host="https://us.i.posthog.com").warnings
    assert "use posthog_host=https://eu.i.posthog.com" in warning
    with pytest.raises(GenOpsConfigurationError, match="data_residency=eu"):
        read(policy="strict", data_residency="eu", host="https://app.posthog.com")
    assert read(policy="strict", data_residency="us", host="us.posthog.com").warnings == ()
    assert read(policy="strict", data_residency="eu", host="https://posthog.example.com").warnings == ()
    assert "not compared" in read(data_residency="ch").warnings[0]


def test_regions_are_those_of_posthogs_cloud():
    assert [
        posthog_region(host) for host in ("eu.posthog.com", "https://us.i.posthog.com", "localhost:8000", None)
    ] == [*("eu", "us", None, None)]
