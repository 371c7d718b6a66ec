"""A shop under GDPR: a visitor who agrees, one who does not, one who thinks better of it, and two requests by letter.

The adapter has the tags of the guide. Nothing is sent about anybody who has not agreed, people are pseudonyms at
PostHog, events say until when they may be kept, and the audit trail shows all of it.

Run it with ``python examples/gdpr_consent.py``; it needs no PostHog account and no network. It sends to a local
receiver of its own, or to the one in ``POSTHOG_HOST`` (``genops-posthog dev`` starts one).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

from genops_otel_posthog import GenOpsPostHogAdapter
from genops_otel_posthog.adapter.compliance import Compliance
from genops_otel_posthog.adapter.compliance.audit_check import intact_entries, verify
from genops_otel_posthog.receiver.client import ReceiverClient
from genops_otel_posthog.receiver.server import LocalReceiver

KEY = os.environ.get("POSTHOG_API_KEY", "phc_local")
TAGS = {
    "compliance_framework": "gdpr",
    "data_retention_days": "1095",
    "consent_required": "true",
    "data_classification": "personal",
}


def visit(adapter: GenOpsPostHogAdapter, person: str, event: str) -> None:
    """Something a visitor does."""
    result = adapter.capture_event_with_governance(event, {"plan": "pro"}, person, is_identified=True)
    became = f"withheld, {result['policy_reason']}" if result["blocked"] else f"sent as {result['distinct_id']}"
    print(f"  {person:<18} {event:<16} {became}")


def days(adapter: GenOpsPostHogAdapter, compliance: Compliance) -> None:
    """What happens in the shop."""
    print("Day 1: a banner asks, and Ada agrees.")
    compliance.grant_consent("ada@example.com", source="banner v3")
    visit(adapter, "ada@example.com", "signed_up")
    visit(adapter, "bob@example.com", "signed_up")
    print("Day 2: Ada thinks better of it.")
    compliance.withdraw_consent("ada@example.com", source="account page")
    visit(adapter, "ada@example.com", "order_completed")
    adapter.flush()


def letters(compliance: Compliance) -> None:
    """Ada wants to see what is held about her, and then to be forgotten."""
    print("Day 3: Ada asks what is held about her.")
    document = compliance.export_person("ada@example.com")
    for consent in document["consent"]:
        print(f"  consent to {consent['purpose']}: {consent['granted']} ({consent['source']})")
    print(f"  events that wait: {len(document['waiting_events'])}, entries of the trail: {len(document['audit'])}")
    print("Day 4: Ada wants to be forgotten.")
    report = compliance.erase_person("ada@example.com")
    print(f"  erased here: {report.erased}")
    print(f"  PostHog has to delete its part within {(report.deadline - report.requested_at).days} days")


def everything(directory: Path) -> Iterator[bytes]:
    """What is in every file."""
    return (path.read_bytes() for path in directory.rglob("*") if path.is_file())


def main() -> None:
    """Keeps shop, and looks at what PostHog got and what is left."""
    running = os.environ.get("POSTHOG_HOST")
    with (
        tempfile.TemporaryDirectory() as kept,
        nullcontext(ReceiverClient(running)) if running else LocalReceiver() as receiver,
    ):
        os.environ |= {
            "GENOPS_AUDIT_PATH": f"{kept}/audit",
            "GENOPS_CONSENT_PATH": f"{kept}/consent.sqlite3",
            "GENOPS_OUTBOX_PATH": f"{kept}/outbox",
            "GENOPS_PSEUDONYM_KEY": "for this example; make yours with openssl rand -hex 32",
            "GENOPS_LEDGER_URL": "memory://",
        }
        adapter = GenOpsPostHogAdapter(
            KEY, receiver.url, team="growth", project="shop", governance_policy="strict", tags=TAGS
        )
        compliance = adapter.compliance
        assert compliance is not None
        print("In force:", *compliance.explanation, sep="\n  ")
        days(adapter, compliance)
        letters(compliance)

        print("\nPostHog got")
        for event in receiver.wait_for_events(1):
            print(f"  {event.event} of {event.distinct_id}, to be deleted after", end=" ")
            print(event.properties["genops_delete_after"])
        print("The audit trail says")
        for entry in intact_entries(f"{kept}/audit"):
            print(f"  {entry.number} {entry.content['action']} {entry.content['outcome']}")
        print(f"  intact: {verify(f'{kept}/audit').intact}")
        addresses = sum(content.count(b"@example.com") for content in everything(Path(kept)))
        print(f"E-mail addresses in files of this machine: {addresses}")
        adapter.close()


if __name__ == "__main__":
    main()
