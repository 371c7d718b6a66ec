"""A platform with tenants: each has a budget of its own, and one that spends too much stops nobody else.

Run it with ``python examples/tenants.py``; it needs no PostHog account and no network. It sends to a local receiver of
its own, or to the one in ``POSTHOG_HOST`` (``genops-posthog dev`` starts one).
"""

from __future__ import annotations

import os
from contextlib import nullcontext

from genops_otel_posthog import GenOpsBudgetExceededError, GenOpsPostHogAdapter
from genops_otel_posthog.adapter.tenants import create_tenant_adapter
from genops_otel_posthog.receiver.client import ReceiverClient
from genops_otel_posthog.receiver.server import LocalReceiver

TENANTS = (
    {
        "tenant_id": "corp",
        "tier": "enterprise",
        "daily_budget": 500.0,
        "compliance_level": "enforced",
        "sla": "premium",
    },
    {"tenant_id": "startup", "tier": "professional", "daily_budget": 0.0005, "compliance_level": "standard"},
    {"tenant_id": "trial", "tier": "free", "daily_budget": 0.0002, "compliance_level": "advisory"},
)


def work(adapter: GenOpsPostHogAdapter, calls: int) -> int:
    """A tenant's traffic. Returns how much of it was refused."""
    for done in range(calls):
        try:
            adapter.capture_event_with_governance("document_opened", {"n": done})
        except GenOpsBudgetExceededError:
            return calls - done
    return 0


def main() -> None:
    """Serves three tenants."""
    running = os.environ.get("POSTHOG_HOST")
    with nullcontext(ReceiverClient(running)) if running else LocalReceiver() as receiver:
        adapters = {
            str(tenant["tenant_id"]): create_tenant_adapter(
                tenant,
                posthog_api_key=os.environ.get("POSTHOG_API_KEY", "phc_local"),
                posthog_host=receiver.url,
                pricing_mode="list",
                ledger_url="memory://",
            )
            for tenant in TENANTS
        }
        refused = {name: work(adapter, 20) for name, adapter in adapters.items()}
        for adapter in adapters.values():
            adapter.flush()

        print(f"{'tenant':<9}{'policy':<10}{'sent':>5}{'refused':>9}{'spent':>10}{'of':>10}{'':>8}")
        for name, adapter in adapters.items():
            sent = [event for event in receiver.events() if event.properties["genops_customer_id"] == name]
            summary = adapter.get_cost_summary()
            print(
                f"{name:<9}{adapter.governance_policy:<10}{len(sent):>5}{refused[name]:>9}{summary['daily_costs']:>10.6f}"
                f"{summary['daily_budget_limit']:>10.4f}{summary['daily_budget_utilization']:>7.0f} %"
            )
        print(f"All of them share {len({id(adapter.client) for adapter in adapters.values()})} PostHog client")
        adapters["corp"].close()


if __name__ == "__main__":
    main()
