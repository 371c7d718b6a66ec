"""Adapters with the tags of the guide: what is on the wire, on the disk and on spans."""

from __future__ import annotations

import gzip
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from genops_otel_posthog.adapter.adapter import GenOpsPostHogAdapter
from genops_otel_posthog.adapter.clients import end_all
from genops_otel_posthog.adapter.compliance import Compliance, MemoryConsent
from genops_otel_posthog.adapter.compliance.audit_check import verify
from genops_otel_posthog.adapter.known_clients import forget_all
from genops_otel_posthog.errors import GenOpsBudgetExceededError, GenOpsConfigurationError
from genops_otel_posthog.receiver import LocalReceiver

from .conftest import AUDIT_KEY, GUIDE_GDPR, GUIDE_SOX, PSEUDONYM_KEY, entries, told

EMAIL = "ada@example.com"
KEY = "phc_compliance_of_a_test"


class Town:
    """An adapter's surroundings: the receiver, the spans, the files."""

    def __init__(self, receiver: LocalReceiver, home: Path) -> None:
        self.receiver = receiver
        self.home = home
        self.exporter = InMemorySpanExporter()
        self._tracers = TracerProvider(shutdown_on_exit=False)
        self._tracers.add_span_processor(SimpleSpanProcessor(self.exporter))

    def adapter(self, tags: dict[str, str], policy: str = "strict", **arguments: Any) -> GenOpsPostHogAdapter:
        return GenOpsPostHogAdapter(
            KEY,
            self.receiver.url,
            **{"team": "growth", "project": "web", "governance_policy": policy, "tags": tags, **arguments},
            tracer_provider=self._tracers,
            meter_provider=MeterProvider(shutdown_on_exit=False),
            ledger_url="memory://",
        )

    def wire(self) -> bytes:
        """Everything that was received, unpacked."""
        bodies = [self.receiver.request_body(request.id) for request in self.receiver.requests()]
        return b"\n".join(gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body for body in bodies)

    def disk(self) -> bytes:
        """Everything in every file."""
        return b"".join(path.read_bytes() for path in self.home.rglob("*") if path.is_file())

    def spans(self) -> str:
        return "\n".join(span.to_json() for span in self.exporter.get_finished_spans())


@pytest.fixture(scope="module")
def keeping_receiver() -> Iterator[LocalReceiver]:
    with LocalReceiver(keep_bodies=True) as receiver:
        yield receiver


@pytest.fixture
def town(keeping_receiver: LocalReceiver, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Town]:
    keeping_receiver.set_flags([])
    keeping_receiver.clear()
    monkeypatch.setenv("GENOPS_RECORD_DISTINCT_ID", "true")
    yield Town(keeping_receiver, home)
    end_all(5.0)
    forget_all()


@pytest.fixture
def everywhere(town: Town) -> Callable[[str], list[str]]:
    """Where a text is: on the wire, on the disk, on spans."""

    def found(text: str) -> list[str]:
        places = {"wire": town.wire(), "disk": town.disk(), "spans": town.spans().encode()}
        return [name for name, content in places.items() if text.encode() in content]

    return found


@pytest.mark.requirement("S4-08", "S4-49", "E-27")
def test_without_consent_nothing_of_a_person_is_anywhere_and_the_trail_says_blocked(town, everywhere):
    adapter = town.adapter(GUIDE_GDPR)
    result = adapter.capture_event_with_governance("signed_up", {"email": EMAIL, "plan": "secret-plan"}, EMAIL, True)
    value, metadata = adapter.evaluate_feature_flag_with_governance("new_checkout", EMAIL, {"email": EMAIL})
    assert adapter.flush()
    assert (result["blocked"], result["policy_reason"], result["event_uuid"], result["cost"]) == (
        *(True, "no_consent", None, 0.0),
    )
    assert (value, metadata["error"], metadata["cost"]) == (False, "no_consent", 0.0)
    assert everywhere(EMAIL) == everywhere("secret-plan") == []
    assert town.receiver.requests() == []
    assert told(town.home / "audit") == [("capture", "blocked"), ("flag", "blocked")]
    blocked = [span.attributes["genops.policy.reason"] for span in town.exporter.get_finished_spans()]
    assert blocked == ["no_consent", "no_consent"]


@pytest.mark.requirement("S4-49", "E-27")
def test_with_consent_events_arrive_with_their_stamps_until_it_is_withdrawn(town):
    adapter = town.adapter(GUIDE_GDPR)
    adapter.compliance.grant_consent(EMAIL, source="banner v3")
    with adapter.track_analytics_session("onboarding") as session:
        assert session.capture_event("signed_up", {"plan": "pro"}, EMAIL, True)["event_uuid"]
        adapter.compliance.withdraw_consent(EMAIL)
        assert session.capture_event("activated", {"plan": "pro"}, EMAIL, True)["blocked"]
        assert session.events_captured == 1
    assert adapter.flush()
    (event,) = town.receiver.wait_for_events(1)
    assert (event.event, event.distinct_id) == ("signed_up", EMAIL)
    assert event.properties["genops_data_retention_days"] == 1095
    assert event.properties["genops_data_classification"] == "personal"
    assert event.properties["genops_delete_after"] > "2029"
    assert told(town.home / "audit") == [
        *[("consent", "granted"), ("capture", "sent"), ("consent", "withdrawn"), ("capture", "blocked")]
    ]


@pytest.mark.requirement("S4-49")
def test_with_a_key_the_person_is_a_pseudonym_everywhere(town, everywhere, monkeypatch):
    monkeypatch.setenv("GENOPS_PSEUDONYM_KEY", PSEUDONYM_KEY)
    town.receiver.set_flags([{"key": "new_checkout", "active": True, "filters": {"groups": [{"properties": []}]}}])
    adapter = town.adapter(GUIDE_GDPR, "enforced")
    result = adapter.capture_event_with_governance("signed_up", {"user_id": EMAIL, "n": [EMAIL]}, EMAIL, True)
    value, metadata = adapter.evaluate_feature_flag_with_governance("new_checkout", EMAIL)
    assert adapter.flush()
    pseudonym = result["distinct_id"]
    assert pseudonym.startswith("p_")
    assert (value, metadata["distinct_id"]) == (True, pseudonym)
    events = town.receiver.wait_for_events(2)
    assert {event.distinct_id for event in events} == {pseudonym}
    assert everywhere(EMAIL) == everywhere(PSEUDONYM_KEY) == []
    assert everywhere(pseudonym) == ["wire", "spans"]


@pytest.mark.requirement("S4-08", "S4-50", "E-28")
def test_n_operations_are_n_chained_entries_with_costs_that_verify(town, monkeypatch):
    monkeypatch.setenv("GENOPS_AUDIT_KEY", AUDIT_KEY)
    adapter = town.adapter(GUIDE_SOX, "enforced", pricing_mode="list")
    results = [
        adapter.capture_event_with_governance("ledger_closed", {"amount": "amount-4711-withheld"}, f"user-{number}")
        for number in range(10)
    ]
    adapter.record_session_recording(2)
    assert adapter.flush()
    directory = town.home / "audit"
    found = verify(directory, key=AUDIT_KEY)
    assert (found.entries, found.intact) == (11, True)
    kept = entries(directory)
    assert [entry["facts"].get("event_uuid") for entry in kept[:10]] == [result["event_uuid"] for result in results]
    assert [entry["facts"]["trace_id"] for entry in kept[:10]] == [result["trace_id"] for result in results]
    assert {entry["facts"]["cost"] for entry in kept[:10]} == {"0.00005"}
    assert kept[10]["facts"]["count"] == 2
    assert {entry["facts"]["team"] for entry in kept} == {"growth"}
    assert b"amount-4711-withheld" not in town.disk()
    assert b"user-3" not in town.disk()


@pytest.mark.requirement("S4-50")
def test_what_a_budget_refuses_is_in_the_trail_with_its_reason(town):
    adapter = town.adapter(GUIDE_SOX, "enforced", pricing_mode="list", daily_budget_limit="0.00007")
    adapter.capture_event_with_governance("ledger_closed")
    with pytest.raises(GenOpsBudgetExceededError):
        adapter.capture_event_with_governance("ledger_closed")
    assert told(town.home / "audit") == [("capture", "sent"), ("capture", "blocked")]
    assert entries(town.home / "audit")[1]["facts"]["reason"] == "budget_exceeded"


@pytest.mark.requirement("S4-50")
def test_strict_sends_nothing_that_cannot_be_audited(town):
    town.home.mkdir()
    (town.home / "audit").write_text("a file where a directory should be")
    result = town.adapter(GUIDE_SOX, "strict").capture_event_with_governance("ledger_closed")
    assert (result["blocked"], result["policy_reason"]) == (True, "audit_unavailable")
    enforced = town.adapter(GUIDE_SOX, "enforced")
    assert enforced.capture_event_with_governance("ledger_closed")["event_uuid"]
    assert enforced.flush()
    assert len(town.receiver.wait_for_events(1)) == 1
    assert enforced.compliance.counts()["audit.lost"] == 1


@pytest.mark.requirement("S4-08", "S4-51", "E-29")
def test_what_identifies_a_patient_is_in_no_request_no_file_and_on_no_span(town, everywhere):
    adapter = town.adapter({"compliance_framework": "hipaa"}, "enforced")
    secrets = {
        "patientName": "Ada Lovelace",
        "contact": {"phones": ["+44 20 7946 0000"], "home": {"streetAddress": "12 St James Square"}},
        "$set": {"email": EMAIL, "mrn": "MRN-77812"},
        "ssn": "078-05-1120",
    }
    adapter.capture_event_with_governance("visit_booked", {**secrets, "ward": "cardiology"}, "visit-1", True)
    adapter.evaluate_feature_flag_with_governance(
        "triage",
        "visit-1",
        {"email": EMAIL},
        groups={"clinic": "c-1"},
        group_properties={"clinic": {"phone": "+44 161 496 0000"}},
    )
    assert adapter.flush()
    (event,) = town.receiver.wait_for_events(1, event="visit_booked")
    assert event.properties["ward"] == "cardiology"
    assert event.properties["$geoip_disable"] is True
    for secret in (
        "Lovelace",
        "+44 20 7946 0000",
        "James Square",
        EMAIL,
        "MRN-77812",
        "078-05-1120",
        "+44 161 496 0000",
    ):
        assert everywhere(secret) == [], secret
    assert b"cardiology" in town.wire(), "so it would have been seen"


def test_an_adapter_takes_compliance_with_consent_of_the_applications_own(town):
    mine = Compliance.from_tags({"consent_required": "true"}, policy="strict", consent=MemoryConsent())
    adapter = town.adapter({}, "advisory", compliance=mine)
    assert adapter.compliance is mine
    assert adapter.capture_event_with_governance("signed_up", {}, EMAIL)["policy_reason"] == "no_consent"
    mine.grant_consent(EMAIL)
    assert adapter.capture_event_with_governance("signed_up", {}, EMAIL)["event_uuid"]


def test_a_policy_that_is_changed_holds_for_compliance_too(town):
    adapter = town.adapter({"consent_required": "true"}, "advisory")
    assert adapter.capture_event_with_governance("signed_up", {}, EMAIL)["event_uuid"]
    adapter.update_budget(governance_policy="strict")
    assert adapter.capture_event_with_governance("signed_up", {}, EMAIL)["blocked"]


def test_adapters_without_such_tags_have_none(town):
    assert town.adapter({"team_tier": "enterprise"}).compliance is None


@pytest.mark.requirement("S4-78")
def test_a_tag_that_cannot_be_read_is_an_error_of_the_constructor(town):
    with pytest.raises(GenOpsConfigurationError, match="tag data_retention_days='three years' cannot be used"):
        town.adapter({"data_retention_days": "three years"})


@pytest.mark.requirement("E-42")
def test_logs_of_this_package_at_level_debug_hold_neither_a_key_nor_a_person(town, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("GENOPS_PSEUDONYM_KEY", PSEUDONYM_KEY)
    monkeypatch.setenv("GENOPS_AUDIT_KEY", AUDIT_KEY)
    for policy in ("advisory", "strict"):
        adapter = town.adapter({**GUIDE_GDPR, **GUIDE_SOX, "compliance_requirements": "hipaa"}, policy)
        for _ in range(2):
            adapter.capture_event_with_governance("signed_up", {"email": EMAIL}, EMAIL, True)
            adapter.evaluate_feature_flag_with_governance("new_checkout", EMAIL, {"email": EMAIL})
            adapter.compliance.grant_consent(EMAIL)
        adapter.compliance.erase_person(EMAIL)
        assert adapter.flush()
    logged = "\n".join(record.getMessage() for record in caplog.records)
    assert logged
    for secret in (EMAIL, PSEUDONYM_KEY, AUDIT_KEY, KEY):
        assert secret not in logged, [record for record in caplog.records if secret in record.getMessage()]
