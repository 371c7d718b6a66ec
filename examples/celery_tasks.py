"""Celery tasks whose PostHog calls belong to whoever asked for them, in workers that are recycled all the time.

``python examples/celery_tasks.py`` asks for a few tasks, starts a worker whose children end after two tasks each, and
shows what PostHog got; it needs no account, no broker and no network, only
``pip install 'genops-otel-posthog[instruments,receiver,celery]'``. In earnest, with a broker of yours::

    POSTHOG_API_KEY=phc_… BROKER_URL=redis://… celery --app celery_tasks worker
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

from celery import Celery

from genops_otel_posthog import governance
from genops_otel_posthog.integrations.celery import govern

# --- The tasks --------------------------------------------------------------------------------------------------------

app = Celery("celery_tasks", broker=os.environ.get("BROKER_URL", "memory://"))
app.conf.worker_max_tasks_per_child = 2
if "BROKER_DIRECTORY" in os.environ:
    directory = os.environ["BROKER_DIRECTORY"]
    app.conf.broker_transport_options = {
        "data_folder_in": directory,
        "data_folder_out": directory,
        "polling_interval": 0.05,
    }


@app.task(bind=True)
def send_receipt(self: Any, order: int) -> None:
    """Sends a receipt; nobody tells it for whom."""
    session = self.request.analytics_session
    session.capture_event("receipt_sent", {"order": order, "process": os.getpid()}, f"order-{order}")


# Run as a script, this module is the stage, and imports itself as a worker would.
if __name__ != "__main__":
    govern(app, team="workers", project="shop")


# --- The stage --------------------------------------------------------------------------------------------------------


def main() -> None:
    """Asks for tasks, has them done, and shows what PostHog got."""
    from genops_otel_posthog.receiver.server import LocalReceiver, environment_for

    with LocalReceiver() as posthog, tempfile.TemporaryDirectory() as folder:
        os.environ.update(
            environment_for(posthog.url),
            GENOPS_LEDGER_URL="memory://",
            BROKER_URL="filesystem://",
            BROKER_DIRECTORY=folder,
        )
        tasks = import_module("celery_tasks")
        for order in range(4):
            with governance(customer_id="acme" if order % 2 else "initech", feature="checkout"):
                tasks.send_receipt.delay(order)

        command = ["celery", "--quiet", "--app=celery_tasks", "worker", "--concurrency=1", "--loglevel=ERROR"]
        worker = subprocess.Popen(
            [sys.executable, "-m", *command, "--without-gossip", "--without-mingle"],
            cwd=Path(__file__).parent,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        posthog.wait_for_events(4, timeout=60, event="receipt_sent")
        worker.terminate()
        worker.wait(60)

        processes: dict[int, str] = {}
        for event in sorted(posthog.events("receipt_sent"), key=lambda event: event.timestamp):
            told = event.properties
            child = processes.setdefault(told["process"], f"child {len(processes) + 1}")
            print(f"{child}: order {told['order']} for {told['genops_customer_id']:<8} by {told['genops_team']}")
        print(f"{len(processes)} processes have ended; nothing was lost with them.")


if __name__ == "__main__":
    main()
