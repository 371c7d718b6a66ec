"""A PostHog and an OpenTelemetry backend on loopback: for tests, for the demo, and for rehearsing an outage.

It judges requests by PostHog's own acceptance rules, keeps all of it in one SQLite file, counts what PostHog would
bill, and fails on demand. It is no PostHog: nothing is analysed, no person properties are kept, and any project key
that PostHog's rules allow is taken.
"""

from __future__ import annotations

from genops_otel_posthog.receiver.client import Fault, ReceiverClient
from genops_otel_posthog.receiver.server import LocalReceiver, ReceiverProcess

__all__ = ["Fault", "LocalReceiver", "ReceiverClient", "ReceiverProcess"]
