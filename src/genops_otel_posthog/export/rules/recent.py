"""What was seen a moment ago, bounded, without a lock: rules run in any thread and on both sides of a fork."""

from __future__ import annotations

from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """A mapping that forgets its oldest entries, half of them at a time.

    Every step is one operation on a dictionary, so threads cannot break it; at worst an entry is forgotten early.

    Args:
        size: About how many entries are kept at least.
    """

    __slots__ = ("_old", "_size", "_young")

    def __init__(self, size: int = 2_048) -> None:
        self._size = size
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        """The value, ``None`` when the key was not seen lately."""
        young = self._young.get(key)
        return self._old.get(key) if young is None else young

    def put(self, key: K, value: V) -> None:
        """Remembers."""
        if len(self._young) >= self._size:
            self._old, self._young = self._young, {}
        self._young[key] = value

    def pop(self, key: K) -> V | None:
        """The value, forgotten with this."""
        young, old = self._young.pop(key, None), self._old.pop(key, None)
        return old if young is None else young
