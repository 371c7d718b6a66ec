"""Where flags are kept beside PostHog: SQLite out of the box, or any database that SQLAlchemy speaks to."""

from genops_otel_posthog.flags.database.store import FlagStore, FlagStoreError, StoredDefinitions
from genops_otel_posthog.flags.database.url import open_flag_store

__all__ = ["FlagStore", "FlagStoreError", "StoredDefinitions", "open_flag_store"]
