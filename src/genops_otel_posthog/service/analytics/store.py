"""The door between analytics and where they are kept."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from genops_otel_posthog.errors import GenOpsProviderError
from genops_otel_posthog.service.analytics.records import R, Record


class AnalyticsStoreError(GenOpsProviderError):
    """Where analytics are kept cannot be used. The message holds no value of a record."""


class AnalyticsStore(Protocol):
    """Keeps records. Safe to use from any thread and after a fork. Everything raises :class:`AnalyticsStoreError`.

    Attributes:
        waits: Whether a call waits for a disk or the network, so that a loop must not make it itself.
    """

    waits: bool

    def prepare(self) -> None:
        """Makes what is needed, tables and indexes, and finds out whether it can be used."""

    def put(self, record: Record) -> None:
        """Keeps a record, in place of one with the same key."""

    def change(self, kind: type[Record], key: str, changes: Mapping[str, Any]) -> None:
        """Changes fields of a record, in one step; makes it of the changes when it is not there."""

    def get(self, kind: type[R], key: str) -> R | None:
        """The record with a key."""

    def find(self, kind: type[R], user_id: str, limit: int) -> list[R]:
        """The latest records of a user, the latest first."""

    def remove_before(self, kind: type[Record], moment: datetime) -> int:
        """Forgets what is older than a moment, aware UTC; returns how many."""

    def remove_user(self, kind: type[Record], user_id: str) -> int:
        """Forgets what is known of a user; returns how many."""

    def close(self) -> None:
        """Gives back what is held open."""
