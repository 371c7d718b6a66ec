"""What is admitted, what is withheld, and what the trail says of both."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from genops_otel_posthog.adapter.compliance import Admitted, Compliance, MemoryConsent, Withheld, recording
from genops_otel_posthog.errors import GenOpsConfigurationError, GenOpsValidationError

from .conftest import AUDIT_KEY, GUIDE_GDPR, GUIDE_SOX, PSEUDONYM_KEY, entries, told

EMAIL = "ada@example.com"


@pytest.fixture(autouse=True)
def warnings_of_this_test():
    recording.warn_once.forget()


def written(directory: Path) -> bytes:
    """Everything in every file below a directory."""
    return b"".join(path.read_bytes() for path in directory.rglob("*") if path.is_file())


# --- nothing ----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("S4-78")
def test_without_a_tag_of_compliance_there_is_nothing_to_ask(home):
    assert Compliance.from_tags({"team_tier": "enterprise"}, policy="strict") is None
    assert Compliance.from_tags({}) is None


def test_making_it_opens_no_file(make, home):
    make({**GUIDE_GDPR, **GUIDE_SOX})
    assert not home.exists()


@pytest.mark.requirement("S4-78")
def test_it_explains_itself(make, monkeypatch):
    explained = "\n".join(make(GUIDE_GDPR).explanation)
    for tag in GUIDE_GDPR:
        assert f"{tag}=" in explained
    assert "distinct ids stay as they are: GENOPS_PSEUDONYM_KEY is not set" in explained
    monkeypatch.setenv("GENOPS_PSEUDONYM_KEY", PSEUDONYM_KEY)
    assert "distinct ids are pseudonymised" in make(GUIDE_GDPR).explanation


# --- consent ----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("S4-49", "E-27")
def test_without_consent_strict_withholds_and_the_trail_says_so_without_a_name(make, home):
    made = make(GUIDE_GDPR)
    answer = made.admit("capture", "order_completed", EMAIL, {"email": EMAIL})
    assert isinstance(answer, Withheld)
    assert answer.reason == "no_consent"
    assert EMAIL not in answer.message
    (entry,) = entries(home / "audit")
    assert (entry["action"], entry["outcome"]) == ("capture", "blocked")
    assert entry["facts"] == {"event": "order_completed", "reason": "no_consent"}
    assert EMAIL.encode() not in written(home)
    assert made.counts() == {"withheld.no_consent": 1, "audit.entries": 1}


@pytest.mark.requirement("S4-49", "E-27")
def test_with_consent_an_event_is_admitted_and_after_withdrawal_it_is_withheld(make, home):
    made = make(GUIDE_GDPR)
    made.grant_consent(EMAIL, source="banner v3")
    assert isinstance(made.admit("capture", "order_completed", EMAIL), Admitted)
    made.withdraw_consent(EMAIL)
    assert isinstance(made.admit("capture", "order_completed", EMAIL), Withheld)
    assert isinstance(make(GUIDE_GDPR).admit("flag", "new_checkout", EMAIL), Withheld), "for others, too"
    assert told(home / "audit") == [
        *[("consent", "granted"), ("consent", "withdrawn"), ("capture", "blocked"), ("flag", "blocked")]
    ]


@pytest.mark.parametrize("policy", ["advisory", "enforced"])
def test_the_other_policies_send_count_and_warn_once_without_a_name(make, policy, caplog):
    made = make(GUIDE_GDPR, policy)
    for _ in range(3):
        assert isinstance(made.admit("capture", "order_completed", EMAIL), Admitted)
    assert made.counts() == {"without_consent": 3}
    (record,) = caplog.records
    assert f"Under policy {policy} such events are sent all the same" in record.message
    assert EMAIL not in record.message


def test_an_event_of_nobody_has_no_consent_unless_it_is_exempt(make):
    made = make(GUIDE_GDPR, exempt_events=("deploy_*",))
    answer = made.admit("capture", "order_completed", None)
    assert isinstance(answer, Withheld)
    assert "names nobody" in answer.message
    assert isinstance(made.admit("capture", "deploy_finished", None), Admitted)


def test_a_purpose_is_chosen_by_the_name_of_the_event(make):
    made = make(GUIDE_GDPR, consent=MemoryConsent(), purposes={"ad_*": "marketing"})
    made.grant_consent(EMAIL, "marketing")
    assert isinstance(made.admit("capture", "ad_clicked", EMAIL), Admitted)
    assert isinstance(made.admit("capture", "order_completed", EMAIL), Withheld)


def test_a_function_that_fails_is_no_consent_and_what_it_says_is_not_repeated(make, caplog):
    def ask(person, _purpose):
        raise RuntimeError(f"no such user: {person}")

    made = make(GUIDE_GDPR, consent=ask)
    answer = made.admit("capture", "order_completed", EMAIL)
    assert isinstance(answer, Withheld)
    assert answer.reason == "consent_unknown"
    assert EMAIL not in answer.message + caplog.text


def test_a_consent_file_that_cannot_be_used_withholds(make, home, monkeypatch):
    home.mkdir()
    (home / "consent").write_text("a file where a directory should be")
    answer = make(GUIDE_GDPR).admit("capture", "order_completed", EMAIL)
    assert isinstance(answer, Withheld)
    assert answer.reason == "consent_unknown"
    assert "GENOPS_CONSENT_PATH" in answer.message


@pytest.mark.parametrize("purpose", ["", "  ", "x" * 101])
def test_a_purpose_is_a_short_text(make, purpose):
    with pytest.raises(GenOpsValidationError, match="a purpose is a text of 1 to 100 characters"):
        make(GUIDE_GDPR).grant_consent(EMAIL, purpose)


def test_consent_that_nobody_asked_for_is_not_kept(make):
    with pytest.raises(GenOpsValidationError, match="set the tag consent_required=true"):
        make(GUIDE_SOX).grant_consent(EMAIL)


def test_consent_is_a_store_or_a_function(make):
    with pytest.raises(GenOpsConfigurationError, match="not dict"):
        make(GUIDE_GDPR, consent={"ada": True})


# --- what an admitted event carries -----------------------------------------------------------------------------------


@pytest.mark.requirement("S4-49")
def test_events_are_stamped_with_how_long_they_may_be_kept_and_the_stamp_wins(make, clock):
    made = make({"data_retention_days": "1095", "data_classification": "personal"}, "advisory")
    admitted = made.admit("capture", "order_completed", EMAIL, {"genops_delete_after": "never", "plan": "pro"})
    assert admitted == Admitted(
        EMAIL,
        {
            "genops_delete_after": "2029-11-28",
            "plan": "pro",
            "genops_data_retention_days": 1095,
            "genops_data_classification": "personal",
        },
    )
    clock.now = clock.now.replace(year=2027)
    assert made.admit("capture", "x", EMAIL)[1]["genops_delete_after"] == "2030-11-28"
    assert made.admit("flag", "new_checkout", EMAIL, {"plan": "pro"}) == Admitted(EMAIL, {"plan": "pro"})


@pytest.mark.requirement("S4-49")
def test_with_a_key_the_ids_of_people_are_replaced_by_the_same_pseudonyms_everywhere(make, monkeypatch):
    monkeypatch.setenv("GENOPS_PSEUDONYM_KEY", PSEUDONYM_KEY)
    one, other = make(GUIDE_GDPR, "advisory"), make(GUIDE_GDPR, "enforced")
    admitted = one.admit("capture", "order_completed", EMAIL, {"user_id": EMAIL, "who": [EMAIL], "plan": "pro"})
    assert isinstance(admitted, Admitted)
    assert admitted.distinct_id.startswith("p_")
    assert EMAIL not in repr(admitted)
    assert admitted.properties["user_id"] == admitted.distinct_id
    assert other.admit("flag", "new_checkout", EMAIL)[0] == admitted.distinct_id
    again = one.admit("capture", "order_completed", admitted.distinct_id)
    assert again[0] == admitted.distinct_id


def test_data_that_is_not_about_people_is_not_pseudonymised(make, monkeypatch):
    monkeypatch.setenv("GENOPS_PSEUDONYM_KEY", PSEUDONYM_KEY)
    assert make(GUIDE_SOX).admit("capture", "order_completed", "machine-7")[0] == "machine-7"


def test_properties_to_be_pseudonymised_need_a_key(make):
    with pytest.raises(GenOpsConfigurationError, match="GENOPS_PSEUDONYM_KEY="):
        make(GUIDE_GDPR, pseudonymise_properties=("email",))


@pytest.mark.requirement("S4-51", "E-29")
def test_hipaa_removes_what_identifies_people_and_counts_it(make):
    made = make({"compliance_framework": "hipaa"}, "enforced")
    admitted = made.admit("capture", "visit", "v-1", {"$set": {"email": EMAIL}, "ssn": "1", "ward": "b"})
    assert admitted == Admitted("v-1", {"$set": {}, "ward": "b", "$geoip_disable": True})
    assert made.counts() == {"properties.F email": 1, "properties.G social security": 1}


@pytest.mark.requirement("E-29")
def test_names_can_be_denied_without_any_tag(make):
    made = make({}, "advisory", deny_properties=("card_*",))
    assert made.admit("capture", "paid", "u-1", {"card": {"cardNumber": 4, "kind": "x"}})[1] == {"card": {"kind": "x"}}


# --- the audit trail --------------------------------------------------------------------------------------------------


@pytest.mark.requirement("S4-50", "E-28")
def test_each_call_is_one_entry_with_what_it_cost_and_without_a_name(make, home):
    made = make(GUIDE_SOX, "enforced")
    for number in range(10):
        assert isinstance(made.admit("capture", "order_completed", EMAIL, {"total": 12.5}), Admitted)
        made.record("capture", "sent", distinct_id=EMAIL, event="order_completed", number=number, cost=0.00005)
    kept = entries(home / "audit")
    assert [entry["facts"]["number"] for entry in kept] == list(range(10))
    assert {entry["facts"]["cost"] for entry in kept} == {0.00005}
    assert all(entry["retention_until"] >= "2033-11-27" for entry in kept)
    assert b"example.com" not in written(home)
    assert b"12.5" not in written(home)


def test_costs_are_only_told_where_financial_reporting_asks_for_them(make, home):
    made = make({"audit_trail_required": "true"}, "enforced")
    made.record("capture", "sent", event="order_completed", cost=0.1, list_cost=0.2)
    assert entries(home / "audit")[0]["facts"] == {"event": "order_completed"}


def test_entries_are_signed_with_the_key_of_the_environment(make, home, monkeypatch):
    from genops_otel_posthog.adapter.compliance.audit_check import verify

    monkeypatch.setenv("GENOPS_AUDIT_KEY", AUDIT_KEY)
    make(GUIDE_SOX).record("capture", "sent")
    assert verify(home / "audit", key=AUDIT_KEY).intact


@pytest.mark.requirement("S4-50")
def test_strict_does_nothing_that_cannot_be_audited(make, home):
    home.mkdir()
    (home / "audit").write_text("a file where a directory should be")
    made = make(GUIDE_SOX, "strict")
    answer = made.admit("capture", "order_completed", EMAIL)
    assert isinstance(answer, Withheld)
    assert answer.reason == "audit_unavailable"
    assert "GENOPS_AUDIT_PATH" in answer.message
    (home / "audit").unlink()
    assert isinstance(made.admit("capture", "order_completed", EMAIL), Admitted)


def test_strict_writes_what_it_could_not_write_before_anything_else_is_admitted(make, home):
    made = make(GUIDE_SOX, "strict")
    assert isinstance(made.admit("capture", "order_completed", EMAIL), Admitted)
    home.mkdir(exist_ok=True)
    made.close()
    (home / "audit").rename(home / "away")
    (home / "audit").write_text("a file where a directory should be")
    made.record("capture", "sent", event="first")
    made.record("capture", "sent", event="second")
    assert isinstance(made.admit("capture", "order_completed", EMAIL), Withheld)
    (home / "audit").unlink()
    (home / "away").rename(home / "audit")
    assert isinstance(made.admit("capture", "order_completed", EMAIL), Admitted)
    assert [entry["facts"] for entry in entries(home / "audit")] == [
        {"event": "first", "late": True},
        {"event": "second", "late": True},
    ]
    assert made.counts()["audit.entries"] == 2
    assert "audit.lost" not in made.counts()


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_does_not_write_what_its_parent_could_not_write(make, home):
    home.mkdir()
    made = make(GUIDE_SOX, "strict")
    (home / "audit").write_text("a file where a directory should be")
    made.record("capture", "sent", event="of the parent")
    (home / "audit").unlink()
    child = os.fork()
    if child == 0:
        try:
            made.record("capture", "sent", event="of the child")
        except BaseException:
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    made.record("capture", "sent", event="of the parent again")
    assert [entry["facts"]["event"] for entry in entries(home / "audit")] == [
        *("of the child", "of the parent", "of the parent again")
    ]


def test_the_other_policies_go_on_without_the_trail_count_and_warn_once(make, home, caplog):
    home.mkdir()
    (home / "audit").write_text("a file where a directory should be")
    made = make(GUIDE_SOX, "enforced")
    for _ in range(3):
        assert isinstance(made.admit("capture", "order_completed", EMAIL), Admitted)
        made.record("capture", "sent", distinct_id=EMAIL)
    assert made.counts() == {"audit.failures": 3, "audit.lost": 3}
    (record,) = caplog.records
    assert "is not in the audit trail" in record.message


def test_a_fact_that_cannot_be_written_is_an_error_also_while_the_trail_is_away(make, home):
    home.mkdir()
    (home / "audit").write_text("a file where a directory should be")
    with pytest.raises(GenOpsValidationError, match="is a dict"):
        make(GUIDE_SOX).record("capture", "sent", properties={"email": EMAIL})


def test_adapters_of_one_environment_share_one_trail(make):
    assert make(GUIDE_SOX).trail is make(GUIDE_SOX, "enforced").trail


def test_obligations_without_what_they_need_are_an_error(make):
    obligations = make({**GUIDE_GDPR, **GUIDE_SOX}).obligations
    with pytest.raises(GenOpsValidationError, match="must be a store"):
        Compliance(obligations)
    with pytest.raises(GenOpsValidationError, match="must be one to write to"):
        Compliance(obligations, consent=MemoryConsent())


# --- logs -------------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("E-42")
def test_logs_at_level_debug_hold_neither_a_key_nor_a_person(make, home, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("GENOPS_PSEUDONYM_KEY", PSEUDONYM_KEY)
    monkeypatch.setenv("GENOPS_AUDIT_KEY", AUDIT_KEY)
    for policy in ("advisory", "strict"):
        made = make({**GUIDE_GDPR, **GUIDE_SOX, "compliance_requirements": "hipaa"}, policy)
        made.admit("capture", "order_completed", EMAIL, {"email": EMAIL})
        made.grant_consent(EMAIL)
        made.admit("capture", "order_completed", EMAIL, {"email": EMAIL})
        made.record("capture", "sent", distinct_id=EMAIL, event="order_completed")
        made.export_person(EMAIL)
        made.erase_person(EMAIL)
    (home / "audit" / "trail.jsonl").write_text("not an entry\n")
    made.record("capture", "sent", distinct_id=EMAIL, event="order_completed")
    made.trail.close()
    logged = caplog.text + repr(made) + repr(vars(made)) + repr(made.trail)
    assert caplog.records
    for secret in (EMAIL, PSEUDONYM_KEY, AUDIT_KEY):
        assert secret not in logged
