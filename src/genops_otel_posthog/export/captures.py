"""The application's own events in the outbox: what ``GENOPS_DURABLE_CAPTURE`` means.

The instrumentation of the SDK knows :func:`open_captures` by its entry point and not by import. It hands over events as
the SDK would send them; here they are appended to the outbox and delivered as they are, to the project and the host of
the client that captured them, by the endpoint that the SDK would use.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.metrics import Meter

from genops_otel_posthog.export.destinations.posthog import PostHogDestination
from genops_otel_posthog.export.destinations.protocol import Destination, identity
from genops_otel_posthog.export.export_metrics import observe_outbox
from genops_otel_posthog.export.outbox import Outbox, OutboxFullError
from genops_otel_posthog.export.outbox.answers import HELD, OK
from genops_otel_posthog.export.outbox.waiting import waits_for
from genops_otel_posthog.settings import Settings

_logger = logging.getLogger(__name__)

DESTINATION = "posthog-captures"
"""The name of these destinations: the account of the application's events is apart from that of exported spans."""

_ENDPOINTS = ("/batch/", "/i/v0/ai/batch/")
_LOOK_AGAIN = 30.0  # seconds
_STEP = 1.0
_FOR_OTHERS = 2.0  # seconds that the end of a client waits for what other processes left behind


class Address(NamedTuple):
    """Where a client of the SDK sends to.

    Attributes:
        key: Project key.
        host: Scheme and host.
        path: Of the batch API.
        protocol: ``batch`` or ``v1``.
        historical: Whether its events are imported from the past.
        library: Which library its events say that they come from; capture v1 takes that from the request.
    """

    key: str
    host: str
    path: str = "/batch/"
    protocol: str = "batch"
    historical: bool = False
    library: str = "posthog-python"

    @property
    def account(self) -> str:
        """All of it as a fingerprint: what was captured for one host is not sent to another."""
        return hashlib.blake2b(repr(tuple(self)).encode(), digest_size=5).hexdigest()

    def destination(self, sdk: str | None = None) -> PostHogDestination:
        """The destination.

        Args:
            sdk: The library and its version; the name alone when not given.

        Raises:
            GenOpsConfigurationError: Key or host cannot be right.
        """
        return PostHogDestination(
            self.key,
            self.host,
            protocol=self.protocol,
            historical_migration=self.historical,
            name=DESTINATION,
            account=self.account,
            path=self.path,
            sdk=sdk or self.library,
        )


def capture_destinations(settings: Settings, directory: Path) -> list[Destination]:
    """Those of clients with the key and the host of the environment for whom something waits in a directory.

    Raises:
        GenOpsConfigurationError: Key or host cannot be right.
    """
    if settings.api_key is None:
        return []
    addresses = [Address(settings.api_key, settings.host, path) for path in _ENDPOINTS]
    addresses.append(Address(settings.api_key, settings.host, protocol="v1"))
    destinations = [address.destination() for address in addresses]
    return [each for each in destinations if waits_for(directory, identity(each))]


class CaptureOutbox:
    """The outbox as one kind of client of the SDK uses it.

    Args:
        outbox: Open, for one destination.
    """

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        (self._identity,) = outbox.destinations
        self._again = time.monotonic() + _LOOK_AGAIN  # it has just looked

    def offer(self, body: bytes) -> bool:
        """Takes an event.

        Args:
            body: As the SDK would send it.

        Returns:
            Whether it was taken. It is not when it would be no safer here than in the SDK's own queue.
        """
        if not self.outbox.durable:
            now = time.monotonic()
            if now < self._again:
                return False
            self._again = now + _LOOK_AGAIN  # appending is what finds out whether the directory can be used again
        try:
            return self.outbox.append(body)
        except OutboxFullError:
            return False

    def flush(self, timeout: float | None, patience: float) -> bool:
        """Waits until everything is delivered that this process captured, or for as long as the SDK would.

        Args:
            timeout: Most seconds; ``None``: as long as there is progress, and then a moment for what processes before
                have left behind, so that those that live for a moment deliver it at last.
            patience: Seconds without progress after which the SDK would give up.

        Returns:
            Whether everything is delivered. What is not stays where it is.
        """
        return self._flush(timeout, patience) and (timeout is not None or self._deliver_for_others())

    def _flush(self, timeout: float | None, patience: float) -> bool:
        now = time.monotonic()
        deadline = None if timeout is None else now + timeout
        settled, patient_until = self._settled(), now + patience
        while True:
            left = min(patient_until, deadline if deadline is not None else patient_until) - time.monotonic()
            if self.outbox.flush(min(max(left, 0.0), _STEP)):
                return True
            account = self.outbox.accounting().destinations[self._identity]
            if left <= 0 or account.state == HELD:
                return False
            if self._settled() != settled:
                settled, patient_until = self._settled(), time.monotonic() + patience

    def _deliver_for_others(self) -> bool:
        until = time.monotonic() + _FOR_OTHERS
        while True:
            account, now = self.outbox.accounting().destinations[self._identity], time.monotonic()
            if not account.pending:
                return True
            if now >= until or account.state != OK:
                return False
            self.outbox.wait(until - now)

    def close(self, timeout: float) -> None:
        """Delivers what it can; what is left waits for the next process."""
        self.outbox.shutdown(timeout)

    def _settled(self) -> int:
        account = self.outbox.accounting().destinations[self._identity]
        return account.acked + account.dead + sum(account.dropped.values())


def open_captures(
    settings: Settings, meter: Meter, address: Sequence[object], *, sdk: str, only_if_waiting: bool = False
) -> CaptureOutbox | None:
    """Opens the outbox for clients that send to one address.

    Args:
        settings: The merged settings.
        meter: Reports the outbox.
        address: What :class:`Address` is made of.
        sdk: Name and version of the SDK.
        only_if_waiting: Only when there is something to deliver.

    Returns:
        ``None`` when there is nothing to deliver, and that is asked for.

    Raises:
        GenOpsConfigurationError: Key or host cannot be right, or there is no place for the directory.
    """
    destination = Address(*address).destination(sdk)  # type: ignore[arg-type]  # the door between the two rooms is untyped
    if only_if_waiting and not waits_for(settings.outbox_path, identity(destination)):
        return None
    opened = CaptureOutbox(Outbox(settings.outbox_path, [destination], quietly=suppress_instrumentation))
    observe_outbox(meter, opened.outbox)
    return opened
