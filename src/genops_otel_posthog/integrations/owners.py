"""What an application may answer when it is asked whose a request is."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from genops_otel_posthog.attribution import FIELDS, Attribution
from genops_otel_posthog.settings.once import WarnOnce

_warn = WarnOnce(logging.getLogger(__name__))

#: A customer's id, fields of :class:`Attribution` by name, one of these itself, or nobody.
Owned: TypeAlias = str | int | Mapping[str, object] | Attribution | None

#: What may be named; a session's id is its own.
OWNER_FIELDS: Final = frozenset(FIELDS) - {"session_id"} | {"tags"}

_NO_TAGS: Final = frozenset(FIELDS) | {"session_name", "budget_limit"}


def fields_of(owned: Owned) -> dict[str, Any]:
    """What an answer names, as arguments of
    :meth:`~genops_otel_posthog.GenOpsPostHogAdapter.track_analytics_session`.

    Raises:
        TypeError: It is none of the kinds that are understood.
        ValueError: It names a field that does not exist.
    """
    if owned is None:
        return {}
    if isinstance(owned, (str, int)):
        return {"customer_id": owned}
    if isinstance(owned, Attribution):
        owned = {name: getattr(owned, name) for name in OWNER_FIELDS}
    if not isinstance(owned, Mapping):
        raise TypeError(
            f"owner answered a {type(owned).__name__}; it answers a customer's id, a mapping of "
            f"{', '.join(sorted(OWNER_FIELDS))}, an Attribution or None"
        )
    unknown = owned.keys() - OWNER_FIELDS
    if unknown:
        raise ValueError(
            f"owner named {', '.join(sorted(map(str, unknown)))}; the fields of an owner are "
            f"{', '.join(sorted(OWNER_FIELDS))}"
        )
    fields = {name: value for name, value in owned.items() if value}
    return {**_tags(fields.pop("tags", {})), **fields}


def _tags(tags: Any) -> dict[str, Any]:
    taken = sorted(_NO_TAGS.intersection(tags))
    if taken:
        _warn("tags", f"A tag cannot be called {', '.join(taken)} in a session, where that is something else; left out")
    return {name: value for name, value in tags.items() if name not in _NO_TAGS}
