"""Month-end under SOX: every analytics call in an audit trail that shows if anybody has touched it.

The adapter has the tags of the guide, with a budget that stops it in the middle. Afterwards somebody edits the trail,
then cuts its end off, and is found out both times.

Run it with ``python examples/sox_audit.py``; it needs no PostHog account and no network. It sends to a local receiver
of its own, or to the one in ``POSTHOG_HOST`` (``genops-posthog dev`` starts one).
"""

from __future__ import annotations

import os
import tempfile
from contextlib import nullcontext
from pathlib import Path

from genops_otel_posthog import GenOpsBudgetExceededError, GenOpsPostHogAdapter
from genops_otel_posthog.adapter.compliance.audit_check import intact_entries, verify
from genops_otel_posthog.receiver.client import ReceiverClient
from genops_otel_posthog.receiver.server import LocalReceiver

KEY = os.environ.get("POSTHOG_API_KEY", "phc_local")
SECRET = "for this example; make yours with openssl rand -hex 32"
TAGS = {
    "compliance_framework": "sox",
    "audit_trail_required": "true",
    "data_retention_days": "2555",
    "financial_reporting": "true",
}


def close_the_month(adapter: GenOpsPostHogAdapter) -> None:
    """Ledgers are closed, one after the other, until the budget is spent."""
    for ledger in ("receivables", "payables", "payroll", "inventory", "taxes"):
        try:
            result = adapter.capture_event_with_governance("ledger_closed", {"ledger": ledger}, "controller-7")
            print(f"  {ledger:<12} sent for ${result['cost']:.6f}")
        except GenOpsBudgetExceededError as refused:
            print(f"  {ledger:<12} refused: ${refused.current_cost} of ${refused.budget_limit} spent")
    adapter.flush()


def show(directory: Path) -> None:
    """The entries, as an auditor would read them."""
    for entry in intact_entries(directory, key=SECRET):
        content, facts = entry.content, entry.content["facts"]
        cost = facts.get("cost", "–")
        print(
            f"  {entry.number} {content['action']} {content['outcome']:<8} {facts.get('reason', ''):<16} "
            f"cost {cost:<8} by {content['subject'][:10]}… kept until {content['retention_until'][:4]}"
        )


def judge(directory: Path, head: tuple[int, str] | None = None) -> None:
    """What ``genops-posthog audit verify`` says."""
    found = verify(directory, key=SECRET, head=head)
    if found.broken is None:
        print(f"  intact: {found.entries} entries, signatures checked")
    else:
        print(f"  broken at entry {found.broken.number}: {found.broken.problem}")


def main() -> None:
    """Closes the month, shows the trail, and tampers with it."""
    running = os.environ.get("POSTHOG_HOST")
    with (
        tempfile.TemporaryDirectory() as kept,
        nullcontext(ReceiverClient(running)) if running else LocalReceiver() as receiver,
    ):
        directory = Path(kept) / "audit"
        os.environ |= {
            "GENOPS_AUDIT_PATH": str(directory),
            "GENOPS_AUDIT_KEY": SECRET,
            "GENOPS_LEDGER_URL": "memory://",
        }
        adapter = GenOpsPostHogAdapter(
            KEY,
            receiver.url,
            team="finance",
            project="closing",
            governance_policy="enforced",
            daily_budget_limit="0.00015",
            pricing_mode="list",
            tags=TAGS,
        )
        print("Closing the month:")
        close_the_month(adapter)
        adapter.close()
        print("\nThe audit trail:")
        show(directory)
        judge(directory)
        number, _, digest = verify(directory, key=SECRET).head.partition(":")

        file = directory / "trail.jsonl"
        written = file.read_bytes()
        print("\nSomebody makes a refusal look like a success:")
        file.write_bytes(written.replace(b'"outcome":"blocked"', b'"outcome":"sent"', 1))
        judge(directory)
        print("Somebody cuts the refusals off; the head was noted elsewhere:")
        file.write_bytes(b"".join(written.splitlines(keepends=True)[:3]))
        judge(directory, (int(number), digest))


if __name__ == "__main__":
    main()
