"""Everything that is put around the SDK for the sake of the application's own events, and taken off again."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TypeVar

from opentelemetry.metrics import Meter

from genops_otel_posthog.instrumentation.async_capture_waists import ASYNC_CAPTURE_WAISTS
from genops_otel_posthog.instrumentation.async_durable_waists import ASYNC_DURABLE_WAISTS, DURABLE_SENDER_WAISTS
from genops_otel_posthog.instrumentation.capture_metrics import observe
from genops_otel_posthog.instrumentation.capture_waists import CAPTURE_WAISTS
from genops_otel_posthog.instrumentation.captures import Captures
from genops_otel_posthog.instrumentation.durable import DurableCaptures
from genops_otel_posthog.instrumentation.durable_waists import DURABLE_WAISTS, LANE_WAISTS, QUEUE_WAISTS
from genops_otel_posthog.instrumentation.patches import Around, Patches, Switch
from genops_otel_posthog.settings import Settings

_Subject = TypeVar("_Subject", Captures, DurableCaptures)


class CaptureWatch:
    """The account of captured events and, where it is asked for, their way to the outbox.

    Args:
        settings: The merged settings.
        meter: Reports both.

    Attributes:
        captures: The account.
    """

    def __init__(self, settings: Settings, meter: Meter) -> None:
        self.captures = Captures()
        self._durable: DurableCaptures | None = None
        if settings.durable_capture:
            self._durable = DurableCaptures.from_entry_point(settings, self.captures, meter)
        observe(meter, self.captures)
        # Before clients are made: what is registered later runs earlier, and they get their last chance first.
        atexit.register(self.captures.tell_at_exit)

    def put_around(self, patches: Patches, switch: Switch) -> None:
        """Puts it around the SDK. To be called first: the meters of calls are above it."""

        def put(waists: Sequence[tuple[str, str, Callable[[_Subject, Switch], Around]]], subject: _Subject) -> None:
            for module, name, around in waists:
                patches.replace(module, name, around(subject, switch))

        # An event is accounted for where it enters a queue, be it the SDK's or the outbox, and where it is sent only
        # if the outbox did not take it there.
        if self._durable is not None:
            has_lanes = hasattr(import_module("posthog.client"), "_Lane")
            queues = LANE_WAISTS if has_lanes else QUEUE_WAISTS
            put((*queues, *DURABLE_WAISTS, *ASYNC_DURABLE_WAISTS), self._durable)
        put((*CAPTURE_WAISTS, *ASYNC_CAPTURE_WAISTS), self.captures)
        if self._durable is not None:
            put(DURABLE_SENDER_WAISTS, self._durable)

    def close(self) -> None:
        """Ends, once it has been taken off."""
        atexit.unregister(self.captures.tell_at_exit)
        if self._durable is not None:
            self._durable.close()
