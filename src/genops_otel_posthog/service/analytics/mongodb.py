"""Analytics in MongoDB, one collection for each kind of record, through pymongo.

Moments are kept to the millisecond, as MongoDB keeps them. Names with dots in metadata need MongoDB 5 or newer.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any, Final

from pymongo import ASCENDING, DESCENDING, MongoClient
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError, PyMongoError

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.service.analytics.records import RECORDS, R, Record, record_from, values_of
from genops_otel_posthog.service.analytics.store import AnalyticsStoreError

DEFAULT_DATABASE: Final = "genops_analytics"
PATIENCE_MS: Final = 3_000
"""How long to look for a server, milliseconds: an application does not wait for its analytics."""

Document = dict[str, Any]


class MongoDbStore:
    """A MongoDB; see :class:`~.store.AnalyticsStore`.

    Args:
        client: The application's own client, or ``mongodb://…``. Nothing is connected to before it is used.
        database: The database; that of the URL, else ``genops_analytics``, when not given.

    Raises:
        GenOpsConfigurationError: The URL cannot be used. It is not repeated.
    """

    waits = True

    def __init__(self, client: MongoClient[Document] | str, database: str | None = None) -> None:
        self._process = os.getpid()
        self._is_ready = False
        self._made_here = isinstance(client, str)
        if isinstance(client, str):
            self._new_client: Callable[[], MongoClient[Document]] | None = lambda: _client(client)
            self._client = self._new_client()
        else:
            self._new_client = None
            self._client = client
        self._database = database

    def prepare(self) -> None:
        """See :meth:`~.store.AnalyticsStore.prepare`."""
        with self._collection(RECORDS[0]):
            pass

    def put(self, record: Record) -> None:
        """See :meth:`~.store.AnalyticsStore.put`."""
        document = _document(values_of(record))
        key = document["_id"] = document[record.KEY]
        with self._collection(type(record)) as collection:
            collection.replace_one({"_id": key}, document, upsert=True)

    def change(self, kind: type[Record], key: str, changes: Mapping[str, Any]) -> None:
        """See :meth:`~.store.AnalyticsStore.change`."""
        update = {"$set": {**_document(changes), kind.KEY: key}}
        with self._collection(kind) as collection:
            try:
                collection.update_one({"_id": key}, update, upsert=True)
            except DuplicateKeyError:  # somebody else made it in between; MongoDB leaves it to us to try again
                collection.update_one({"_id": key}, update, upsert=True)

    def get(self, kind: type[R], key: str) -> R | None:
        """See :meth:`~.store.AnalyticsStore.get`."""
        with self._collection(kind) as collection:
            found = collection.find_one({"_id": key})
        return None if found is None else record_from(kind, _aware(found))

    def find(self, kind: type[R], user_id: str, limit: int) -> list[R]:
        """See :meth:`~.store.AnalyticsStore.find`."""
        with self._collection(kind) as collection:
            found = collection.find({"user_id": user_id}).sort(kind.MOMENT, DESCENDING).limit(limit)
            return [record_from(kind, _aware(document)) for document in found] if limit else []

    def remove_before(self, kind: type[Record], moment: datetime) -> int:
        """See :meth:`~.store.AnalyticsStore.remove_before`."""
        return self._remove(kind, {kind.MOMENT: {"$lt": moment}})

    def remove_user(self, kind: type[Record], user_id: str) -> int:
        """See :meth:`~.store.AnalyticsStore.remove_user`."""
        return self._remove(kind, {"user_id": user_id})

    def _remove(self, kind: type[Any], condition: Document) -> int:
        with self._collection(kind) as collection:
            return int(collection.delete_many(condition).deleted_count)

    def close(self) -> None:
        """See :meth:`~.store.AnalyticsStore.close`."""
        if self._made_here and self._process == os.getpid():
            self._client.close()

    @contextmanager
    def _collection(self, kind: type[Any]) -> Iterator[Collection[Document]]:
        if self._new_client is not None and self._process != os.getpid():
            # A client is good for the process that it was made in.
            self._client, self._process = self._new_client(), os.getpid()
        try:
            if self._database is None:
                database = self._client.get_default_database(DEFAULT_DATABASE)
            else:
                database = self._client[self._database]
            if not self._is_ready:
                for each in RECORDS:
                    database[each.COLLECTION].create_index([("user_id", ASCENDING), (each.MOMENT, DESCENDING)])
                    database[each.COLLECTION].create_index([(each.MOMENT, ASCENDING)])
                self._is_ready = True
            yield database[kind.COLLECTION]
        except PyMongoError as problem:
            # The whole message may repeat the document.
            raise AnalyticsStoreError(f"MongoDB cannot be used: {type(problem).__name__}") from problem


def _client(url: str) -> MongoClient[Document]:
    try:
        return MongoClient(url, tz_aware=True, serverSelectionTimeoutMS=PATIENCE_MS, appname="genops-otel-posthog")
    except (PyMongoError, ValueError) as problem:
        raise GenOpsConfigurationError(
            f"the URL of MongoDB cannot be used: {type(problem).__name__}; write it like mongodb://host:27017/database"
        ) from problem


def _document(values: Mapping[str, Any]) -> Document:
    return {name: _for_bson(value) for name, value in values.items()}


def _for_bson(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return dict(value) if isinstance(value, Mapping) else value


def _aware(document: Mapping[str, Any]) -> Document:
    """A document whose moments are aware UTC, be the application's client as it may."""
    return {
        name: value.replace(tzinfo=timezone.utc) if isinstance(value, datetime) and value.tzinfo is None else value
        for name, value in document.items()
    }
