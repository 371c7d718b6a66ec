"""The door between the sender of the outbox and a destination.

The sender knows batches, cursors, retries and deadlines; a destination knows one service: how a batch becomes a
request, and what the answer means for each event of it. A third party adds a destination by the entry point group
``genops_otel_posthog_destinations``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple, Protocol

from genops_otel_posthog.errors import GenOpsConfigurationError

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_ACCOUNT = re.compile(r"[a-z0-9]{0,32}")
_NOTHING: Mapping[int, str] = MappingProxyType({})


class Verdict(Enum):
    """What an answer means."""

    ACCEPTED = "accepted"
    """Every event of the batch has been taken, but for those that the answer names."""
    RETRY = "retry"
    """Nobody is at fault: the network, an overload, a time-out. The same batch again, later."""
    TOO_LARGE = "too_large"
    """The batch is too large as a whole: halve it. A single event that is too large becomes a dead letter."""
    REJECTED = "rejected"
    """At least one event of the batch is not acceptable: find it by halving. A single event becomes a dead letter."""
    HELD = "held"
    """The account is at fault (key, quota, address): nothing is dropped or sent but a probe, and people are told."""


class Answer(NamedTuple):
    """What became of a batch.

    Attributes:
        verdict: What to do.
        reason: Short, stable and fit for a metric: ``http_503``, ``timeout``, ``quota_limited``.
        retry_after: Seconds that the service asked to wait, at least.
        detail: For people; never a key, never the content of an event.
        rejected: With ``ACCEPTED``: positions of events that were not taken and never will be, each with its reason;
            they become dead letters.
        again: With ``ACCEPTED``: positions of events that are to be sent again; neither taken nor refused.
    """

    verdict: Verdict
    reason: str = ""
    retry_after: float | None = None
    detail: str = ""
    rejected: Mapping[int, str] = _NOTHING
    again: tuple[int, ...] = ()


class Destination(Protocol):
    """A service that takes events. Used by one thread alone, which is another one after a fork.

    What it opened in one process must not be used in another: sockets are shared with a forked child.

    Attributes:
        name: Short and stable: ``posthog``. Lower case, digits, ``-`` and ``_``; at most 32 characters.
        account: Whose account it is, as a fingerprint of at most 32 lower-case letters and digits; never the key
            itself. What was written for one account is never sent to another, although both may share a directory
            with the events that a process left behind. Empty where there is only one.
        max_batch_events: Most events of a request.
        max_batch_bytes: Most bytes of all event bodies of a request.
        max_event_bytes: Most bytes of a single event; larger ones become dead letters without being sent.
    """

    name: str
    account: str
    max_batch_events: int
    max_batch_bytes: int
    max_event_bytes: int

    def send(self, bodies: Sequence[bytes], timeout: float) -> Answer:
        """Sends a batch.

        Args:
            bodies: Events as JSON, each as :meth:`~genops_otel_posthog.export.event.Event.body` serialised.
            timeout: Most seconds to wait.

        Returns:
            The answer. It never raises for anything the network or the service may do.
        """
        ...

    def close(self) -> None:
        """Lets go of connections."""
        ...


def identity(destination: Destination) -> str:
    """Name and account as one word, fit for a file name: what cursors and segments call the destination.

    Raises:
        GenOpsConfigurationError: One of them is not of the form that :class:`Destination` asks for.
    """
    if not _NAME.fullmatch(destination.name):
        raise GenOpsConfigurationError(
            f"a destination cannot be named {destination.name!r}: use at most 32 lower-case letters, digits, - and _"
        )
    if not _ACCOUNT.fullmatch(destination.account):
        raise GenOpsConfigurationError(
            f"the account of destination {destination.name} is not of lower-case letters and digits, at most 32; "
            "a hexadecimal hash of the key will do"
        )
    return f"{destination.name}.{destination.account}" if destination.account else destination.name
