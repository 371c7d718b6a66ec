"""What the arguments of a session say of it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from genops_otel_posthog.attribution import FIELDS, Attribution
from genops_otel_posthog.errors import GenOpsConfigurationError, GenOpsValidationError

_OWNER_ATTRIBUTES: Final = frozenset(FIELDS) - {"session_id"}


def session_owner(
    attributes: Mapping[str, Any], given: Mapping[str, Any]
) -> tuple[Attribution, dict[str, Any], Decimal | None]:
    """What the arguments of a session say of it.

    Args:
        attributes: Its keyword arguments without a meaning of their own.
        given: Its other owner fields.

    Returns:
        Its owner, as far as it names one; the attributes that are left; its limit.

    Raises:
        GenOpsConfigurationError: The limit is no amount of money.
    """
    rest = {name: value for name, value in attributes.items() if value is not None}
    limit = rest.pop("budget_limit", None)
    tags_given = rest.get("tags")
    if isinstance(tags_given, Mapping):  # as for an adapter
        del rest["tags"]
        rest = {**{str(name): value for name, value in tags_given.items() if value is not None}, **rest}
    fields = {name: rest.pop(name) for name in list(rest) if name in _OWNER_ATTRIBUTES}
    fields.update({name: value for name, value in given.items() if value is not None})
    tags = tuple([(name, str(value)) for name, value in rest.items()])
    try:
        owner = _remembered_owner(tuple(fields.items()), tags)
    except TypeError:  # a field cannot be hashed
        owner = _owner(tuple(fields.items()), tags)
    return owner, rest, None if limit is None else _limit(limit)


def _owner(fields: tuple[tuple[str, Any], ...], tags: tuple[tuple[str, str], ...]) -> Attribution:
    return Attribution(**dict(fields), tags=dict(tags))


# The same customers come again, request after request.
_remembered_owner = lru_cache(maxsize=1024, typed=True)(_owner)


def _limit(given: object) -> Decimal:
    try:
        limit = Decimal(str(given))
        if not limit.is_finite() or limit < 0:
            raise ValueError
    except (ArithmeticError, ValueError):
        raise GenOpsConfigurationError(
            f"budget_limit={given!r} cannot be used: it must be an amount in US dollars, 0 or more"
        ) from None
    return limit


def worth_of(given: object) -> Decimal:
    """What a conversion was worth.

    Raises:
        GenOpsValidationError: It is no number.
    """
    try:
        worth = Decimal(str(given))
        if isinstance(given, bool) or not worth.is_finite():
            raise ValueError
    except (ArithmeticError, ValueError):
        raise GenOpsValidationError(f"value={given!r} cannot be used: it must be a number") from None
    return worth
