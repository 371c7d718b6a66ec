"""Events that do not go through an adapter: bare captures of the SDK, and spans that become events."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import TracerProvider
from posthog import Posthog

from genops_otel_posthog import GovernanceSpanProcessor, PostHogSpanExporter
from genops_otel_posthog.adapter.compliance import before_send, redact
from genops_otel_posthog.export.event import Event
from genops_otel_posthog.receiver import LocalReceiver

from .conftest import GUIDE_GDPR, PSEUDONYM_KEY, entries, told

EMAIL = "ada@example.com"


@pytest.fixture
def hooked(receiver: LocalReceiver, make) -> Iterator[tuple[Posthog, object]]:
    compliance = make({**GUIDE_GDPR, "compliance_requirements": "hipaa"})
    client = Posthog("phc_bare_captures", host=receiver.url, before_send=before_send(compliance))
    yield client, compliance
    client.shutdown()


@pytest.mark.requirement("S4-49", "E-27")
def test_bare_captures_need_consent_too(hooked, receiver, home):
    client, compliance = hooked
    assert client.capture("signed_up", distinct_id=EMAIL) is None
    compliance.grant_consent(EMAIL)
    uuid = client.capture("signed_up", distinct_id=EMAIL, properties={"email": EMAIL, "plan": "pro"})
    client.set(distinct_id=EMAIL, properties={"email": EMAIL, "plan": "pro"})
    client.flush()
    one, other = receiver.wait_for_events(2)
    assert one.properties["plan"] == "pro"
    assert one.properties["genops_data_retention_days"] == 1095
    assert "email" not in one.properties
    assert other.event == "$set"
    assert EMAIL not in repr((one.properties, other.properties))
    assert told(home / "audit") == [
        *[("capture", "blocked"), ("consent", "granted"), ("capture", "sent"), ("capture", "sent")]
    ]
    assert entries(home / "audit")[2]["facts"]["event_uuid"] == str(uuid)


def test_what_cannot_be_judged_is_not_sent(make):
    compliance = make(GUIDE_GDPR)
    assert before_send(compliance)({"distinct_id": EMAIL}) is None
    assert redact(compliance)(None) is None
    assert compliance.counts() == {"withheld.error": 2}


def test_a_person_may_be_named_by_the_pseudonym_that_a_result_gave_back(make, monkeypatch):
    monkeypatch.setenv("GENOPS_PSEUDONYM_KEY", PSEUDONYM_KEY)
    compliance = make(GUIDE_GDPR)
    compliance.grant_consent(EMAIL)
    pseudonym = compliance.admit("capture", "signed_up", EMAIL)[0]
    assert before_send(compliance)({"event": "signed_up", "distinct_id": pseudonym})["distinct_id"] == pseudonym
    compliance.withdraw_consent(EMAIL)
    assert before_send(compliance)({"event": "signed_up", "distinct_id": pseudonym}) is None
    assert compliance.erase_person(EMAIL).erased["consent"] == 1


@pytest.mark.requirement("S4-49", "E-27", "E-29")
def test_spans_become_events_only_with_consent_and_without_what_is_denied(make, home, receiver):
    compliance = make(GUIDE_GDPR, deny_properties=("card",))
    hook = redact(compliance)
    event = Event("order", EMAIL, "0" * 32, "2026-11-29T12:00:00+00:00", {"card": "4711", "plan": "pro"})
    assert hook(event) is None
    compliance.grant_consent(EMAIL)
    left = hook(event)
    assert left is not None
    assert left.properties["plan"] == "pro"
    assert "card" not in left.properties
    assert told(home / "audit")[-1] == ("capture", "written")


@pytest.mark.requirement("S4-49", "E-27")
def test_a_span_of_somebody_without_consent_is_neither_on_the_wire_nor_on_the_disk(make, home, receiver):
    compliance = make(GUIDE_GDPR)
    exporter = PostHogSpanExporter("phc_spans", receiver.url, outbox=str(home / "outbox"), redact=redact(compliance))
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(GovernanceSpanProcessor(exporter=exporter))
    tracer = provider.get_tracer("tests")
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", "user.id": EMAIL}
    tracer.start_span("chat gpt-4o", attributes=attributes).end()
    assert provider.force_flush()
    assert EMAIL.encode() not in b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert receiver.events() == []
    compliance.grant_consent(EMAIL)
    tracer.start_span("chat gpt-4o", attributes=attributes).end()
    assert provider.force_flush()
    provider.shutdown()
    assert [event.distinct_id for event in receiver.wait_for_events(1)] == [EMAIL]
