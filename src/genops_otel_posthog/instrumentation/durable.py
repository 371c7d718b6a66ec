"""``GENOPS_DURABLE_CAPTURE=true``: what the SDK has admitted waits in the outbox instead of in its memory.

An event is taken where the SDK has made it final, after its own enrichment and ``before_send``, and appended as the
SDK would send it. Where the outbox cannot take it, it goes the SDK's own way.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from importlib.metadata import entry_points
from time import monotonic
from typing import Any, Final, NamedTuple, Protocol

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.instrumentation.captures import STORED, Captures
from genops_otel_posthog.settings import Settings
from genops_otel_posthog.settings.once import WarnOnce

_logger = logging.getLogger(__name__)
_warn = WarnOnce(_logger)

ENTRY_POINT_GROUP: Final = "genops_otel_posthog_captures"

_PATH = "/batch/"
_CLOSE_SECONDS = 2.0
_MOST_PATIENCE = 30.0


class Address(NamedTuple):
    """Where a client sends to: each has a queue of its own.

    Attributes:
        key: Project key.
        host: Scheme and host.
        path: Of the batch API; the SDK has another one for events about AI.
        protocol: ``batch`` or ``v1``.
        historical: Whether its events are imported from the past.
        library: Which library its events say that they come from.
    """

    key: str
    host: str
    path: str
    protocol: str
    historical: bool
    library: str


class Kept(Protocol):
    """The outbox, as it is open for one address."""

    def offer(self, body: bytes) -> bool:
        """Takes an event; whether it did."""
        ...

    def flush(self, timeout: float | None, patience: float) -> bool:
        """Waits until everything is delivered, for so many seconds, or while there is progress within ``patience``."""
        ...

    def close(self, timeout: float) -> None:
        """Delivers what it can; the rest waits for the next process."""
        ...


OpenKept = Callable[..., "Kept | None"]
"""``open(address, sdk=…, only_if_waiting=…)``"""


class DurableCaptures:
    """Takes events to the outbox.

    Args:
        captures: Counts them.
        open_kept: Opens the outbox for an address.

    Attributes:
        captures: As given.
    """

    def __init__(self, captures: Captures, open_kept: OpenKept) -> None:
        self.captures = captures
        self._open_kept = open_kept
        self._kept: dict[Address, Kept | None] = {}
        request = import_module("posthog.request")
        self._encode: Callable[[Any], str] = request.DatetimeSerializer(separators=(",", ":")).encode
        self._default_host = str(request.DEFAULT_HOST)
        self._sdk = str(request.USER_AGENT)

    def address_of(self, sender: Any) -> Address:
        """Where a client, a lane or a consumer of the SDK sends to."""
        return self.address(
            sender.api_key,
            sender.host,
            getattr(sender, "endpoint", _PATH),
            is_v1=getattr(sender, "capture_mode", None) == "v1",
            historical=sender.historical_migration,
            sdk=getattr(sender, "sdk_info", None) or getattr(sender, "_sdk_info", None),
        )

    def address(
        self, key: str, host: str | None, path: str, *, is_v1: bool, historical: object, sdk: str | None
    ) -> Address:
        """The same from its parts."""
        protocol = "v1" if is_v1 else "batch"
        library = (sdk or self._sdk).partition("/")[0]
        return Address(key, host or self._default_host, path, protocol, bool(historical), library)

    def kept_for(self, address: Address, *, only_if_waiting: bool = False) -> Kept | None:
        """The outbox of an address, opened when it is first asked for; ``None`` where there is none.

        Args:
            address: Where events go.
            only_if_waiting: Do not open it unless there is something that was left behind.
        """
        try:
            return self._kept[address]
        except KeyError:
            pass
        kept: Kept | None = None
        try:
            sdk = f"{address.library}/{self._sdk.partition('/')[2]}"
            kept = self._open_kept(address, sdk=sdk, only_if_waiting=only_if_waiting)
            if kept is None and only_if_waiting:
                return None
        except GenOpsConfigurationError as error:
            _warn("outbox", f"GENOPS_DURABLE_CAPTURE: events wait in the memory of the SDK as before. {error}")
        except Exception:
            _logger.exception("GENOPS_DURABLE_CAPTURE: events wait in the memory of the SDK as before")
        known = self._kept.setdefault(address, kept)
        if kept is not None and known is not kept:
            kept.close(0.0)  # another thread was faster
        return known

    def kept_by(self, sender: Any, *, only_if_waiting: bool = False) -> Kept | None:
        """The same for a client, a lane or a consumer of the SDK. Never raises."""
        try:
            return self.kept_for(self.address_of(sender), only_if_waiting=only_if_waiting)
        except Exception:
            _logger.exception("GENOPS_DURABLE_CAPTURE: this PostHog client is not understood; it works as before")
            return None

    def keep(self, kept: Kept, event: Mapping[str, Any]) -> bool:
        """Appends an event; whether it is there. Never raises."""
        try:
            # The name first: destinations tell events about AI by how the bytes begin.
            body = self._encode({"event": event["event"], **event}).encode()
            taken = kept.offer(body)
        except Exception as error:
            # The SDK finds the same out later and says so.
            _logger.debug("An event goes the SDK's own way: %s", type(error).__name__)
            return False
        if taken:
            self.captures.settle((event["uuid"],), STORED)
        else:
            _warn(
                "full",
                "GENOPS_DURABLE_CAPTURE: the outbox cannot be used at the moment; events wait in the memory of the "
                "SDK meanwhile, and are lost if this process ends before they are delivered",
            )
        return taken

    def passed_by(self, number: int = 1) -> None:
        """Events went the SDK's own way."""
        self.captures.pass_outbox(number)

    def flush(self, key: object, host: object, timeout: float | None, patience: float) -> None:
        """Waits for everything of clients with a key and a host. Never raises.

        Args:
            key: Project key.
            host: Scheme and host.
            timeout: Most seconds; ``None``: while there is progress.
            patience: Seconds without progress.
        """
        deadline = None if timeout is None else monotonic() + timeout
        for address, kept in list(self._kept.items()):
            if kept is not None and (address.key, address.host) == (key, host):
                try:
                    kept.flush(None if deadline is None else max(0.0, deadline - monotonic()), patience)
                except Exception:
                    _logger.exception(
                        "GENOPS_DURABLE_CAPTURE: nobody could wait for the outbox; it delivers all the same"
                    )

    def close(self) -> None:
        """Lets go of the outbox; what is not delivered waits there for the next process."""
        while self._kept:
            _, kept = self._kept.popitem()
            if kept is not None:
                kept.close(_CLOSE_SECONDS)

    @classmethod
    def from_entry_point(cls, settings: Settings, captures: Captures, meter: Any) -> DurableCaptures | None:
        """With the outbox that is installed; ``None``, and a line in the log, when there is none."""
        found = list(entry_points(group=ENTRY_POINT_GROUP))
        if found:
            return cls(captures, partial(found[0].load(), settings, meter))
        _logger.warning("GENOPS_DURABLE_CAPTURE: there is no outbox installed; install this package again")
        return None


def patience_of(client: Any) -> float:
    """How long a client tries to deliver a batch before it gives up, seconds: its pauses of 1, 2, 4 … seconds."""
    retries = int(getattr(client, "max_retries", 3))
    return min(max(1.0, 2.0 ** min(retries, 10) - 1.0), _MOST_PATIENCE)
