"""The durable outbox: see :mod:`~genops_otel_posthog.export.outbox.outbox`."""

from __future__ import annotations

from genops_otel_posthog.export.outbox.accounts import Accounting, DestinationAccount
from genops_otel_posthog.export.outbox.directory import default_directory
from genops_otel_posthog.export.outbox.options import Tuning
from genops_otel_posthog.export.outbox.outbox import Outbox
from genops_otel_posthog.export.outbox.pauses import Pauses
from genops_otel_posthog.export.outbox.writer import OutboxFullError

__all__ = ["Accounting", "DestinationAccount", "Outbox", "OutboxFullError", "Pauses", "Tuning", "default_directory"]
