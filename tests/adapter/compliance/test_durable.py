"""Captures that are kept on disk until they are delivered: what is withheld is not among them."""

from __future__ import annotations

import posthog
import pytest

from genops_otel_posthog import auto_instrument
from genops_otel_posthog.export.outbox.waiting import waiting_events

from .conftest import GUIDE_GDPR

ADA, BOB = "ada@example.com", "bob@example.com"


@pytest.mark.newest
@pytest.mark.requirement("S4-49", "E-27")
def test_without_consent_nothing_waits_in_the_outbox_and_with_it_the_event_does(receiver, home, providers):
    adapter = auto_instrument(
        "phc_durable_compliance",
        *("growth", "web"),
        posthog_host=receiver.url,
        tags=GUIDE_GDPR,
        governance_policy="strict",
        durable_capture=True,
        **providers,
    )
    with receiver.fail("/batch/", status=503):
        adapter.compliance.grant_consent(ADA)
        for person in (ADA, BOB):
            posthog.capture("order_completed", distinct_id=person)
            adapter.capture_event_with_governance("order_paid", {}, person)
        waiting = [event.content() for event in waiting_events(home / "outbox")]
        assert [(event["event"], event["distinct_id"]) for event in waiting] == [
            *[("order_completed", ADA), ("order_paid", ADA)]
        ]
        assert BOB.encode() not in b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
        assert len(adapter.compliance.export_person(ADA)["waiting_events"]) == 2
        report = adapter.compliance.erase_person(ADA)
        assert (report.left["waiting_events"], report.complete) == (2, False), "this process is about to deliver them"
    assert {event.distinct_id for event in receiver.wait_for_events(2)} == {ADA}
