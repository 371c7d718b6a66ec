"""The door between flags and a database."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from genops_otel_posthog.errors import GenOpsProviderError
from genops_otel_posthog.flags.row import FlagRow, Scope


class FlagStoreError(GenOpsProviderError):
    """The database of flags cannot be used. The message holds no value of a row."""


class StoredDefinitions(NamedTuple):
    """PostHog's flag definitions as they were last received.

    Attributes:
        document: JSON of what the SDK's cache providers exchange.
        received_at: When, seconds since the epoch.
    """

    document: str
    received_at: float


class FlagStore(Protocol):
    """A database with flags. Safe to use from any thread and after a fork. Everything raises ``FlagStoreError``."""

    def state(self) -> object:
        """Something that is equal as long as no row has been changed by this package."""

    def rows(self) -> list[FlagRow]:
        """Every row that can be read; one that cannot is left out with a warning."""

    def put(self, row: FlagRow) -> FlagRow:
        """Stores a row in place of that for the same flag and scope; returns it with its version and time."""

    def remove(self, flag_key: str, scope: Scope, scope_id: str = "") -> bool:
        """Deletes a row; returns whether there was one."""

    def definitions(self, project: str) -> StoredDefinitions | None:
        """PostHog's definitions of a project."""

    def put_definitions(self, project: str, stored: StoredDefinitions) -> None:
        """Stores them."""

    def lead(self, project: str, holder: str, *, now: float, until: float) -> bool:
        """Whether ``holder`` is the one process that fetches definitions until then; asking again prolongs it."""

    def resign(self, project: str, holder: str) -> None:
        """Lets another process lead."""

    def close(self) -> None:
        """Gives back what is held open."""
