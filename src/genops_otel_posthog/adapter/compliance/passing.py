"""Events that an adapter has admitted already, so that a hook further down does not ask, and record, a second time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_admitted: ContextVar[bool] = ContextVar("genops-compliance-admitted", default=False)


@contextmanager
def already_admitted() -> Iterator[None]:
    """Around a call of the SDK that compliance has admitted. The SDK calls its hooks from within."""
    token = _admitted.set(True)
    try:
        yield
    finally:
        _admitted.reset(token)


def is_admitted() -> bool:
    """Whether this is within such a call."""
    return _admitted.get()
